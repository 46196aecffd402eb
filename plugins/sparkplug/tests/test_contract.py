"""What every sink promises, kept against a real mosquitto."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gateway.plugin import SinkConfig
from gateway.testing import SinkContract, build_sink_config, load_plugin
from tests.peers.broker import Broker


class TestSparkplugSink(SinkContract):
    sink = load_plugin(Path(__file__).parents[1])

    @pytest_asyncio.fixture
    async def server(self, tmp_path: Path) -> AsyncIterator[int]:
        with Broker(tmp_path) as broker:
            yield broker.port

    def config(self, port: int) -> SinkConfig:
        return build_sink_config(self.sink, {"host": "127.0.0.1", "port": port, "group": "g"})
