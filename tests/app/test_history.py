"""Draining and replaying a gateway that runs, by the command line as people type it."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.cli import main
from gateway.cli.outbox import drain, replay
from gateway.core.quality import HISTORICAL
from gateway.core.record import Record
from tests.app.plant import Ahead, Site, device, sink

KEPT = '[outbox]\nkeep = "1h"'


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The gateway's log, which goes to the same standard output in a test, is kept apart."""
    monkeypatch.setattr(drain, "EVERY", 0.02)
    monkeypatch.setattr(replay, "EVERY", 0.02)
    with capture_logs():
        yield


async def typed(site: Site, *words: str) -> int:
    """The exit code of `edge-gateway outbox …`."""
    return await asyncio.to_thread(main, ["outbox", *words, "--socket", str(site.socket)])


def readings(site: Site, late: bool) -> list[Record]:
    """What the far side got, marked historical or not."""
    return [
        record
        for record in site.far.records
        if record.readings is not None and bool((record.readings.quality & HISTORICAL).any()) is late
    ]


async def balance(site: Site) -> dict[str, Any]:
    (told,) = (await site.ask("status"))["outbox"]["readers"]
    lane = told["lanes"]["data"]
    return {
        "adds up": lane["accepted"] == lane["acknowledged"] + lane["pending"] + sum(lane["dropped"].values()),
        "dropped": lane["dropped"],
    }


async def test_history_goes_to_the_sink_once_more_beside_what_is_new_and_the_audit_trail_tells(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(sink(), device("oven"), device("press"), KEPT)
    async with site.running(Ahead()):
        await site.until(
            lambda: len([each for each in readings(site, False) if each.readings.device.name == "oven"]) > 5
        )
        assert await typed(site, "replay", "--sink", "central", "--from", "1h ago", "--device", "oven", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        again = readings(site, True)
        first = {record.id: record for record in readings(site, False) if record.readings.device.name == "oven"}
        assert (told["done"], told["records"], told["missing"]) == (True, len(again), 0)
        assert len(again) > 3
        assert all(record.id in first for record in again)
        assert all((record.readings.value == first[record.id].readings.value).all() for record in again)
        now = len(readings(site, False))
        await site.until(lambda: len(readings(site, False)) > now, "new readings after the replay")
        assert await balance(site) == {"adds up": True, "dropped": {}}
        await site.until(lambda: [line for line in site.audit() if line["action"] == "replay.end"], "the end, audited")
    start, end = (line for line in site.audit() if line["action"] in ("replay.start", "replay.end"))
    assert (start["action"], start["target"], start["devices"], start["to"]) == (
        "replay.start",
        "central",
        ["oven"],
        "now",
    )
    assert start["who"] not in ("", "system")
    assert (end["outcome"], end["records"]) == ("all of it was sent", told["records"])


async def test_a_replay_goes_on_after_a_lost_link(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write(sink(), device("oven"), KEPT)
    async with site.running(Ahead()):
        await site.until(lambda: len(readings(site, False)) > 5)
        site.far.down = True
        await site.heard("closed")
        watching = asyncio.create_task(typed(site, "replay", "--sink", "central", "--from", "1h ago"))
        await site.until(lambda: any(line["action"] == "replay.start" for line in site.audit()), "the start")
        site.far.down = False
        assert await watching == 0
    assert "sent once more" in capsys.readouterr().out
    assert readings(site, True)


async def test_a_replay_can_be_cancelled(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write(sink(), device("oven"), KEPT)
    async with site.running(Ahead()):
        await site.until(lambda: len(readings(site, False)) > 5)
        begin = ("replay", "--sink", "central", "--from", "1h ago", "--rate", "0.001", "--background")
        assert await typed(site, *begin) == 0
        await typed(site, "status")
        status = capsys.readouterr().out
        assert "replay to central: " in status
        assert "what all sinks have stays for 1 h" in status
        assert ", the oldest " in status
        assert await typed(site, *begin) == 1
        assert "replay --cancel" in capsys.readouterr().err
        assert await typed(site, "replay", "--sink", "central", "--cancel") == 0
        assert "cancelled by" in capsys.readouterr().out
        assert await typed(site, "replay", "--sink", "central", "--cancel") == 1
        assert "no replay to central is under way" in capsys.readouterr().err
        assert await typed(site, *begin) == 0
        site.write(sink(more='note = "new"'), device("oven"), KEPT)
        await site.ask("reload")
        assert await typed(site, "replay", "--sink", "central", "--cancel") == 1
        assert "there was no replay" in capsys.readouterr().err
        assert await typed(site, *begin) == 0
        await site.until(lambda: len([line for line in site.audit() if line["action"] == "replay.end"]) == 2)
    outcomes = [line["outcome"] for line in site.audit() if line["action"] == "replay.end"]
    assert outcomes[0].startswith("cancelled by")
    assert outcomes[1:] == ["its sink was changed or removed", "the gateway stopped"]


@pytest.mark.usefixtures("interruptible")
async def test_ctrl_c_cancels_the_replay_in_the_gateway(site: Site) -> None:
    site.write(sink(), device("oven"), KEPT)
    async with site.running(Ahead()):
        await site.until(lambda: len(readings(site, False)) > 5)
        words = ("replay", "--sink", "central", "--from", "1h ago", "--rate", "0.001", "--socket", str(site.socket))
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "outbox", *words), stdout=asyncio.subprocess.PIPE
        )
        await site.until(lambda: any(line["action"] == "replay.start" for line in site.audit()), "the start")
        command.send_signal(signal.SIGINT)
        out, _ = await command.communicate()
        await site.until(lambda: any(line["action"] == "replay.end" for line in site.audit()), "the end")
    assert b"cancelled by" in out
    assert command.returncode == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--sink", "nowhere", "--from", "1h ago"), 1, 'no sink "nowhere"; there are: central'),
        (("--sink", "central", "--from", "2h ago", "--to", "1h ago"), 1, "the log reaches from"),
        (("--sink", "central", "--from", "1h ago", "--device", "saw"), 1, 'nothing of a device "saw"; it has: oven'),
        (("--sink", "central"), 2, "--from"),
        (("--sink", "central", "--from", "now", "--to", "1h ago"), 2, "is not before --to"),
    ],
)
async def test_a_replay_that_cannot_be_is_refused_with_what_there_is(
    site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    site.write(sink(), device("oven"), KEPT)
    async with site.running(Ahead()):
        await site.heard("north/oven")
        assert await typed(site, "replay", *words) == code
    assert said in capsys.readouterr().err
    assert not any(line["action"].startswith("replay") for line in site.audit())


async def test_drain_waits_until_every_sink_has_what_was_accepted(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(sink(), device("oven"))
    async with site.running(Ahead()) as gateway:
        await site.heard("north/oven")
        site.far.down = True
        await site.heard("closed")
        await site.until(lambda: gateway.outbox._readers["central"].pending["data"], "something to wait for")
        await site.until(
            lambda: gateway.publishers.status()[0].reason == "the far side is down",
            "the first attempt to return",
        )
        assert await typed(site, "drain", "--timeout", "50ms") == 1
        assert "central: " in (said := capsys.readouterr().out)
        assert "not acknowledged yet" in said
        assert "the far side is down" in said
        marks = (await site.ask("drain"))["marks"]
        draining = asyncio.create_task(typed(site, "drain", "--json"))
        site.far.down = False
        assert await draining == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["drained"], [each["pending"] for each in told["sinks"]]) == (True, [0])
        assert (await site.ask("drain", marks=marks))["sinks"][0]["pending"] == 0
        assert await typed(site, "drain", "--sink", "nowhere") == 1
        assert 'no sink "nowhere"; there are: central' in capsys.readouterr().err


async def test_without_a_gateway_both_say_to_start_it(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert await typed(site, "drain") == 3
    assert "start it, and drain then" in capsys.readouterr().err
    assert await typed(site, "replay", "--sink", "central", "--from", "1h ago") == 3
    assert "Is it running?" in capsys.readouterr().err
