"""Outbox, publisher, HTTP sink and a real server whose link is cut again and again; counted by the key of each request."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.publish import publisher
from gateway.testing import eventually, load_plugin
from tests.peers.http_server import HttpServer
from tests.peers.proxy import FaultProxy

from .test_with_outbox import Running, outbox_into

SINK: Any = load_plugin(Path(__file__).parents[2] / "plugins/http_post")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.1)


def post(port: int) -> dict[str, Any]:
    return {"plugin": "http_post", "url": f"http://127.0.0.1:{port}/ingest", "backfill_rate": "unlimited"}


async def each_number_once(server: HttpServer, running: Running, count: int) -> None:
    """The server keeps all that was accepted, and nothing twice."""
    await eventually(lambda: running.balance()["acknowledged"] == count, 100)
    counted = Counter(each["values"]["a"] for each in server.messages if "values" in each)
    assert sorted(counted) == list(range(count))
    assert set(counted.values()) == {1}


async def test_one_that_is_refused_costs_only_itself_and_is_a_dead_letter(tmp_path: Path) -> None:
    def judge(_: Any, said: list[dict[str, Any]]) -> Any:
        from starlette.responses import Response

        return Response("odd", 400) if any(each.get("values", {}).get("a") == 30 for each in said) else None

    async with HttpServer(judge) as server, outbox_into(SINK, tmp_path / "outbox", post(server.port)) as running:
        running.read(*range(60))
        await eventually(lambda: running.balance()["acknowledged"] == 59)
        assert running.balance()["dropped"] == {"refused": 1} or sum(running.balance()["dropped"].values()) == 1
        found = {each["values"]["a"] for each in server.messages if "values" in each}
        assert found == set(range(60)) - {30}


async def test_a_server_that_is_busy_for_long_is_waited_for(tmp_path: Path) -> None:
    from starlette.responses import Response

    later = Response("", 503, {"retry-after": "6"})
    async with HttpServer(lambda *_: later) as server, outbox_into(SINK, tmp_path / "o", post(server.port)) as running:
        running.read(*range(10))
        await eventually(lambda: "left alone" in running.publisher.health.reason)
        asked = len(server.requests)
        server.answer = lambda *_: None
        await each_number_once(server, running, 10)
        assert asked == 1


@pytest.mark.slow
async def test_a_link_that_is_cut_again_and_again_costs_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    dice, count, cuts = random.Random(14), 20_000, 0
    async with HttpServer() as server, FaultProxy("127.0.0.1", server.port) as link:
        link.delay = 0.002
        async with outbox_into(SINK, tmp_path / "outbox", {**post(link.port), "batch": 50}) as running:
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
        assert server.repeats, "a test without repeats proves nothing"
