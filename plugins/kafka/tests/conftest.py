"""One Kafka for all tests of this folder; those that kill it have one of their own."""

from collections.abc import Iterator

import pytest

from tests.peers.kafka_server import KafkaServer


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path_factory.mktemp("kafka")) as server:
        server.acls("--add", "--topic", "locked", "--operation", "All", "--allow-principal", "User:nobody")
        server.make("plant", "cut", "lost", "numbers", "typed", "refused", "judged", "proto")
        server.make("contract", max_message_bytes=20_000)
        server.make("small", max_message_bytes=3000)
        server.make("clocks", message_timestamp_after_max_ms=3_600_000)
        yield server
