"""What every sink promises, kept against a real nats-server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gateway.plugin import Device, DeviceConfig, Record, SinkConfig, TagConfig
from gateway.testing import SinkContract, bind, build_sink_config, load_plugin, records
from tests.peers.nats_server import NatsServer


class TestNatsSink(SinkContract):
    sink = load_plugin(Path(__file__).parents[1])

    @pytest_asyncio.fixture
    async def server(self, tmp_path: Path) -> AsyncIterator[int]:
        with NatsServer(tmp_path, ["max_payload: 2000"]) as server:
            yield server.port

    def config(self, port: int) -> SinkConfig:
        return build_sink_config(
            self.sink, {"servers": [f"127.0.0.1:{port}"], "subject": "edge.{device}", "stream": "EDGE", "create": True}
        )

    def refusable(self, device: Device) -> Record | None:
        wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(500)})
        return records(wide, 1)[0]
