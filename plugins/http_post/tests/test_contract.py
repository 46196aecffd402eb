"""What every sink promises, kept against a real HTTP server (uvicorn)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from starlette.requests import Request
from starlette.responses import Response

from gateway.plugin import Device, DeviceConfig, Record, SinkConfig, TagConfig
from gateway.testing import SinkContract, bind, build_sink_config, load_plugin, records
from gateway.testing.loops import BOTH
from tests.peers.http_server import HttpServer


def refuse_what_is_wide(_: Request, said: list[dict[str, Any]]) -> Response | None:
    return Response("too many tags", 422) if any(len(each.get("values", ())) > 100 for each in said) else None


class TestHttpPostSink(SinkContract):
    loops = BOTH
    sink = load_plugin(Path(__file__).parents[1])

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with HttpServer(refuse_what_is_wide) as server:
            yield server.port

    def config(self, port: int) -> SinkConfig:
        return build_sink_config(self.sink, {"url": f"http://127.0.0.1:{port}/ingest"})

    def refusable(self, device: Device) -> Record | None:
        wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(500)})
        return records(wide, 1)[0]
