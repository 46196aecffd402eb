"""What every sink promises, kept against a real mosquitto."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gateway.plugin import Device, DeviceConfig, Record, SinkConfig, TagConfig
from gateway.testing import SinkContract, bind, build_sink_config, load_plugin, records
from tests.peers.broker import Broker


class TestMqttSink(SinkContract):
    sink = load_plugin(Path(__file__).parents[1])

    @pytest_asyncio.fixture
    async def server(self, tmp_path: Path) -> AsyncIterator[int]:
        rights = tmp_path / "rights"
        rights.write_text("topic readwrite #\ntopic deny forbidden/#\n")
        with Broker(tmp_path, [f"acl_file {rights}"]) as broker:
            yield broker.port

    def config(self, port: int) -> SinkConfig:
        return build_sink_config(self.sink, {"host": "127.0.0.1", "port": port, "topic": "{device}"})

    def refusable(self, device: Device) -> Record | None:
        forbidden = bind(DeviceConfig(name="forbidden", driver="test"), {"left": TagConfig()})
        return records(forbidden, 1)[0]
