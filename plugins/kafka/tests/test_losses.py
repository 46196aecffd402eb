"""What breaks costs no record, and while the gateway runs none comes twice: counted in a real Kafka's log."""

import asyncio
import functools
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import eventually, load_plugin
from tests.peers.broker import Received
from tests.peers.kafka_server import KafkaServer, cluster
from tests.peers.proxy import FaultProxy
from tests.publish.test_with_outbox import Running, outbox_into
from tests.system import accounting
from tests.system.daemon import Daemon, all_up

from .log import in_log

KafkaSink: Any = load_plugin(Path(__file__).parents[1])
LONG = 100.0
"""Seconds in which a busy machine must bring through what takes a few."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path_factory.mktemp("kafka")) as server:
        server.make("cuts", "kills", "restarts", "freezes")
        yield server


@asynccontextmanager
async def gateway(directory: Path, port: int, **options: Any) -> AsyncIterator[Running]:
    said = {"plugin": "kafka", "servers": [f"127.0.0.1:{port}"], "order": "strict", **options}
    async with outbox_into(KafkaSink, directory, said) as running:
        yield running


async def judged(kafka: KafkaServer, running: Running, topic: str, count: int) -> None:
    """All that was accepted stands in the log once, in its order."""
    await eventually(lambda: running.delivered, LONG, explain=lambda: str(running.publisher.status()))
    found = [each for each in await in_log(kafka.port, topic) if dict(each.headers)["kind"] == b"readings"]
    names = [dict(each.headers)["id"].decode() for each in found]
    assert Counter(names).most_common(1)[0][1] == 1, "a record came twice"
    assert len(names) == count, "records are missing"
    numbers = [int(name.rpartition(":")[2]) for name in names]
    assert numbers == sorted(numbers), "the device's records are not in their order"
    assert not running.balance().get("dropped")


async def read_in_steps(running: Running, count: int, seconds: float) -> None:
    """So many scans, spread over so much time."""
    for start in range(0, count, 100):
        running.read(*range(start, min(start + 100, count)))
        await asyncio.sleep(seconds * 100 / count)


async def test_20_000_records_over_a_link_that_is_cut_again_and_again(kafka: KafkaServer, tmp_path: Path) -> None:
    chance = random.Random(14)
    async with FaultProxy("127.0.0.1", kafka.port) as link, gateway(tmp_path, link.port, topic="cuts") as running:
        reading = asyncio.ensure_future(read_in_steps(running, 20_000, 20.0))
        cuts = 0
        while not reading.done():
            await asyncio.sleep(chance.uniform(0.2, 0.6))
            link.drop()
            cuts += 1
        await reading
        await judged(kafka, running, "cuts", 20_000)
        print(f"20,000 records, {cuts} cuts, {link.accepted} connections: 0 lost, 0 twice, in order")


async def test_a_broker_that_is_killed_and_comes_back(kafka: KafkaServer, tmp_path: Path) -> None:
    async with gateway(tmp_path, kafka.port, topic="restarts") as running:
        reading = asyncio.ensure_future(read_in_steps(running, 4000, 8.0))
        await asyncio.sleep(1.0)
        await asyncio.to_thread(kafka.stop)
        await asyncio.to_thread(kafka.start)
        await reading
        await judged(kafka, running, "restarts", 4000)


async def test_a_broker_that_stands_still_is_noticed_and_named(kafka: KafkaServer, tmp_path: Path) -> None:
    async with gateway(tmp_path, kafka.port, topic="freezes", ack_timeout="2s") as running:
        running.read(*range(10))
        await eventually(lambda: running.delivered, LONG)
        kafka.freeze(True)
        try:
            running.read(*range(10, 20))
            named = re.compile("swallows packets|does not answer within")
            await eventually(lambda: named.search(str(running.publisher.status())), LONG)
        finally:
            kafka.freeze(False)
        await judged(kafka, running, "freezes", 20)


async def test_brokers_of_a_cluster_that_die_one_after_the_other(tmp_path: Path) -> None:
    """First leaders change; then too few replicas are left to take anything, until one comes back."""
    with cluster(tmp_path) as nodes:
        await asyncio.to_thread(functools.partial(nodes[0].make, "moves", replicas=3, min_insync_replicas=2))
        servers = [f"127.0.0.1:{node.port}" for node in nodes]
        async with gateway(tmp_path / "log", 0, topic="moves", servers=servers) as running:
            running.read(*range(100))
            await eventually(lambda: running.delivered, LONG)
            reading = asyncio.ensure_future(read_in_steps(running, 3000, 9.0))
            await asyncio.sleep(1.0)
            nodes[0].stop()
            await asyncio.sleep(5.0)
            nodes[1].stop()
            await asyncio.sleep(2.0)
            await asyncio.to_thread(nodes[1].start)
            await reading
            await judged(nodes[2], running, "moves", 3100)


CONFIG = """
[[device]]
name = "press-{number}"
driver = "simulated"
scan = "50ms"
[device.tags]
force = {{ wave = "counter", period = "50ms" }}
"""
SINK = """
[[sink]]
name = "central"
plugin = "kafka"
servers = ["127.0.0.1:{port}"]
topic = "kills"
"""


async def test_a_gateway_that_is_killed_every_second_loses_nothing_that_it_accepted(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    config = "".join(CONFIG.format(number=number) for number in range(4)) + SINK.format(port=kafka.port)
    kills = 10
    async with Daemon(tmp_path / "gateway", config) as daemon:
        for _ in range(kills):
            await daemon.until(all_up, "all is up", LONG)
            await asyncio.sleep(1.0)
            await daemon.kill()
            await daemon.start()
        await daemon.until(all_up, "all is up", LONG)
        status = await daemon.delivered()
        assert await daemon.stop() == 0
        assert "Traceback" not in daemon.log
    assert all(not lane["dropped"] for each in status["sinks"] for lane in each["outbox"]["lanes"].values())
    found = await in_log(kafka.port, "kills")
    records = accounting.records(_received(found))
    accounting.every_hole_is_named(records)
    window = 200
    assert len(found) - len(records) <= kills * window
    print(f"{kills} kills: {len(records)} records, 0 accepted ones lost, {len(found) - len(records)} came twice")


def _received(found: Sequence[Any]) -> list[Received]:
    """As accounting wants it, which knows kinds by the last level of a topic."""
    level = {b"readings": "", b"event": "/_event", b"loss": "/_loss", b"receipt": "/_receipt", b"skip": "/_skip"}
    return [
        Received(each.key.decode() + level[dict(each.headers)["kind"]], each.value.decode(), False) for each in found
    ]
