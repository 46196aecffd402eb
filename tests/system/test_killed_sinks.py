"""The gateway is killed again and again while it sends: to NATS, by HTTP, as a Sparkplug node. What it accepted is there."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import eventually
from plugins.sparkplug.tests.plant import Ears
from tests.peers.broker import Broker
from tests.peers.http_server import HttpServer
from tests.peers.nats_server import NatsServer, kept

from .daemon import Daemon, pending, sink

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
        await daemon.until(lambda status: not pending(status), "all is taken")
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


async def test_a_sparkplug_host_has_all_values_that_http_has(tmp_path: Path) -> None:
    """Sparkplug has no place for a record's id, so what was accepted is told by a second sink beside it."""
    async with HttpServer() as server:
        with Broker(tmp_path) as broker, Ears(broker, "spBv1.0/g/DDATA/#") as ears:
            options = (
                f'[[sink]]\nname = "central"\nplugin = "sparkplug"\nhost = "127.0.0.1"\nport = {broker.port}\ngroup = "g"\n'
                f'[[sink]]\nname = "truth"\nplugin = "http_post"\nurl = "{server.url}"\n'
            )
            await killed_again_and_again(tmp_path / "gw", options)
            accepted = {
                (each["topic"].split("/")[-1], each["ts"], value)
                for each in server.messages
                for value in each.get("values", {}).values()
            }

            def heard() -> set[tuple[str, int, float]]:
                return {
                    (each.topic.split("/")[-1], metric.timestamp, getattr(metric, metric.WhichOneof("value")))
                    for each in ears.said
                    for metric in each.payload.metrics
                }

            await eventually(lambda: accepted <= heard(), 60)
    assert len(accepted) > 20 * KILLS
