"""Outbox, publisher, NATS sink and a real nats-server whose link is cut again and again, or that is killed; counted by the
server."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.publish import publisher
from gateway.testing import eventually, load_plugin
from tests.peers.nats_server import NatsServer, kept
from tests.peers.proxy import FaultProxy

from .test_with_outbox import Running, outbox_into

SINK: Any = load_plugin(Path(__file__).parents[2] / "plugins/nats")
STREAM = {"plugin": "nats", "stream": "EDGE", "create": True, "backfill_rate": "unlimited"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.1)


async def each_number_once(server: NatsServer, running: Running, count: int) -> None:
    """The stream has all that was accepted, and nothing twice."""
    await eventually(lambda: running.balance()["acknowledged"] == count, 100)
    ids = Counter(each.headers["Record"] for each in await kept(server.port, "EDGE") if "Record" in each.headers)
    log = running.outbox.log_id
    numbers = sorted(int(name.rsplit(":", 1)[1]) for name in ids if name.startswith(f"{log}:data:"))
    assert numbers == list(range(numbers[0], numbers[0] + count))
    assert set(ids.values()) == {1}


async def test_a_killed_server_costs_nothing(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        options = {**STREAM, "servers": [f"127.0.0.1:{server.port}"]}
        async with outbox_into(SINK, tmp_path / "outbox", options) as running:
            for turn in range(3):
                running.read(*range(100 * turn, 100 * turn + 50))
                await eventually(lambda: running.publisher.health.state == "up")
                server.kill()
                running.read(*range(100 * turn + 50, 100 * turn + 100))
                await eventually(lambda: running.publisher.health.state == "down")
                server.start()
            await each_number_once(server, running, 300)


@pytest.mark.slow
async def test_a_link_that_is_cut_again_and_again_costs_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    dice, count, cuts, repeats = random.Random(14), 20_000, 0, 0

    class Counted(SINK):
        async def close(self) -> None:
            nonlocal repeats
            repeats += self.session.repeats
            await super().close()

    with NatsServer(tmp_path) as server:
        async with FaultProxy("127.0.0.1", server.port) as link:
            link.delay = 0.002
            options = {**STREAM, "servers": [f"127.0.0.1:{link.port}"], "window": 50}
            async with outbox_into(Counted, tmp_path / "outbox", options) as running:
                began, sent = time.monotonic(), 0
                while running.balance()["acknowledged"] < count:
                    until = time.monotonic() + dice.uniform(0.2, 0.6)
                    while time.monotonic() < until:
                        running.read(*range(sent, min(sent + 20, count)))
                        sent = min(sent + 20, count)
                        await asyncio.sleep(0.01)
                    if sent < count or time.monotonic() - began < 15:
                        link.drop()
                        cuts += 1
                await each_number_once(server, running, count)
    assert cuts >= 15
    assert repeats, "a test without repeats proves nothing"
