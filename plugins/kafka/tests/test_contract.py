"""What every sink promises, kept against a real Kafka."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.plugin import Device, DeviceConfig, Record, SinkConfig, TagConfig
from gateway.testing import SinkContract, bind, build_sink_config, load_plugin, records
from tests.peers.kafka_server import KafkaServer

pytestmark = pytest.mark.timeout(300)


class TestKafkaSink(SinkContract):
    sink = load_plugin(Path(__file__).parents[1])

    @pytest_asyncio.fixture
    async def server(self, kafka: KafkaServer) -> AsyncIterator[int]:
        yield kafka.port

    def config(self, port: int) -> SinkConfig:
        return build_sink_config(self.sink, {"servers": [f"127.0.0.1:{port}"], "topic": "contract"})

    def refusable(self, device: Device) -> Record | None:
        wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(2000)})
        return records(wide, 1)[0]
