"""The gateway is killed again and again while it sends to NATS and by HTTP: what it had accepted is there, under its id."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import eventually
from tests.peers.http_server import HttpServer
from tests.peers.nats_server import NatsServer, kept

from .daemon import Daemon, sink

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

KILLS = 6

DEVICES = "\n".join(
    f'[[device]]\nname = "mixer-{n}"\ndriver = "simulated"\nscan = "100ms"\n'
    '[device.tags]\ntablets = { wave = "counter", period = "100ms" }\n'
    for n in range(10)
)


async def killed_again_and_again(directory: Path, options: str) -> None:
    """Run it, kill it in the middle of sending, and at last let it send all that waits."""
    daemon = Daemon(directory, f"{options}\n{DEVICES}")
    for _ in range(KILLS):
        await daemon.start()
        await daemon.until(lambda status: sink(status)["acknowledged_records"] > 20, "records are taken")
        await asyncio.sleep(0.3)  # somewhere in between
        await daemon.kill()
    daemon.write(
        f"{options}\n{DEVICES[: DEVICES.index('[[device]]', 1)].replace('100ms', '1h', 1)}"
    )  # nothing new comes
    async with daemon:
        await daemon.until(
            lambda status: all(not lane["pending"] for lane in sink(status)["outbox"]["lanes"].values()), "all is taken"
        )
        assert await daemon.stop() == 0
    assert "Traceback" not in daemon.log


def all_numbers_are_there(messages: list[dict[str, Any]]) -> None:
    """No number of the log is missing but those that the gateway itself says it will never use."""
    found: dict[str, set[int]] = {}
    for each in messages:
        if "id" in each:
            log, lane, number = each["id"].split(":")[:3]
            found.setdefault(f"{log}:{lane}", set()).add(int(number))
    skipped = [each for each in messages if each.get("topic", "").endswith("_skip")]
    assert skipped, "a gateway that was killed skips numbers"
    for lane, numbers in found.items():
        ranges = [each["ranges"][0] for each in skipped if lane.endswith(each["lane"])]
        named = {number for first, last in ranges for number in range(first, last + 1)}
        missing = set(range(1, max(numbers) + 1)) - numbers - named
        assert not missing, f"{lane}: {sorted(missing)[:20]}"
    assert sum(map(len, found.values())) > 20 * KILLS


async def test_nats_has_all_that_was_accepted_and_nothing_twice(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        options = f'servers = ["127.0.0.1:{server.port}"]\nstream = "EDGE"\ncreate = true'
        await killed_again_and_again(tmp_path / "gw", f'[[sink]]\nname = "central"\nplugin = "nats"\n{options}')
        messages = await kept(server.port, "EDGE")
    ids = [each.headers["Nats-Msg-Id"] for each in messages if "Nats-Msg-Id" in each.headers]
    assert len(ids) == len(set(ids))
    all_numbers_are_there([{**json.loads(each.payload), "topic": each.subject} for each in messages])


async def test_an_http_server_has_all_that_was_accepted(tmp_path: Path) -> None:
    async with HttpServer() as server:
        options = f'[[sink]]\nname = "central"\nplugin = "http_post"\nurl = "{server.url}"'
        await killed_again_and_again(tmp_path / "gw", options)
        await eventually(lambda: server.messages)
    all_numbers_are_there(server.messages)
