"""What a device has recorded itself is imported into a gateway that runs, each value once."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.cli import history, main
from gateway.core.quality import BAD, HISTORICAL
from gateway.operate import device_history
from tests.app.plant import Site, device, sink

KEPT = '[outbox]\nkeep = "1h"'
SECOND = 1_000_000_000
T = 1_700_000_000 * SECOND
SPAN = ("--device", "logger", "--from", "2023-11-14T00:00:00Z", "--to", "2023-11-15T12:00:00Z")
"""Around T."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(history, "EVERY", 0.02)
    with capture_logs():
        yield


@pytest.fixture
def past(site: Site) -> dict[str, Any]:
    """What the device has recorded, as `write` gives it to the device."""
    return {
        "temp": [[T + row * SECOND, float(row), 0] for row in range(35)],
        "speed": [[T, 5.0, 0], [T, 6.0, 0], [T + 1, 7.0, 0x8000_0000], [T + 10 * 365 * 86400 * SECOND, 9.0, 0]],
    }


def write(site: Site, past: dict[str, Any], *more: str) -> None:
    file = site.path / "past.json"
    file.write_text(json.dumps(past))
    table = device("logger", f'past = "{file}"').replace('"lab"', '"recorder"')
    site.write(sink(), table, KEPT, *more)


async def typed(site: Site, *words: str) -> int:
    """The exit code of `edge-gateway history import …`."""
    return await asyncio.to_thread(main, ["history", "import", *words, "--socket", str(site.socket)])


async def imported(site: Site, *words: str) -> dict[str, Any]:
    """How an import ended."""
    await typed(site, *SPAN, "--background", *words)
    return await over(site)


async def over(site: Site) -> dict[str, Any]:
    while (told := await site.ask("history_import_status", device="logger"))["running"]:
        await asyncio.sleep(0.01)
    return dict(told)


def late(site: Site) -> list[tuple[str, int, float, int]]:
    """What the far side got of the past: tag, source time, value, quality."""
    found = []
    for record in site.far.records:
        if record.readings is not None:
            names = {tag.id: tag.name for tag in record.readings.device.tags}
            columns = (record.readings.tag, record.readings.t_ns, record.readings.value, record.readings.quality)
            for tag, t_ns, value, quality in zip(*(column.tolist() for column in columns), strict=True):
                if quality & HISTORICAL:
                    found.append((names[tag], t_ns, value, quality))
    return sorted(found)


async def read_once(site: Site) -> None:
    """The device is read: until then nothing is known of where its past ends."""
    await site.until(lambda: any(record.readings is not None for record in site.far.records), "readings")


async def test_each_value_lands_once_with_its_own_time_and_quality_and_historical(
    site: Site, past: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write(site, past)
    async with site.running():
        await read_once(site)
        assert await typed(site, *SPAN, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        await site.until(lambda: len(late(site)) == 37, "what was imported")
        assert [(tag, t_ns, value) for tag, t_ns, value, _ in late(site) if tag == "temp"] == [
            ("temp", t_ns, value) for t_ns, value, _ in past["temp"]
        ]
        (first, bad) = [row for row in late(site) if row[0] == "speed"]
        assert first[1:3] == (T, 5.0) and bad[1] == T + 1 and bad[3] & BAD and bad[3] & HISTORICAL
        assert (told["readings"], told["known"], told["bad"], told["done"]) == (37, 2, 1, True)
        again = await imported(site)
        assert (again["readings"], again["done"]) == (0, True)
    start = next(line for line in site.audit() if line["action"] == "history.import")
    assert (start["target"], start["tags"]) == ("logger", "all") and start["who"] not in ("", "system")
    ends = [line for line in site.audit() if line["action"] == "history.import.end"]
    assert [(end["readings"], end["outcome"]) for end in ends] == [(37, "done"), (0, "done")]


async def test_it_goes_on_where_it_was_and_after_a_kill_nothing_comes_twice(
    site: Site, past: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_history, "PORTION", 10)
    write(site, past)
    async with site.running():
        await read_once(site)
        await typed(site, *SPAN, "--tag", "temp", "--rate", "1", "--background")
        await site.until(lambda: late(site), "the first of them")
        assert await typed(site, "--device", "logger", "--cancel") == 0
        begun = len(late(site))
        assert 0 < begun < 35
    (file,) = (site.path / "state/history").iterdir()
    noted = json.loads(file.read_text())
    assert not noted["begun"]
    file.write_text(
        json.dumps({**noted, "spans": {}, "begun": True})
    )  # as after a kill: more was imported than is noted
    async with site.running():
        await read_once(site)
        told = await imported(site, "--tag", "temp", "--rate", "unlimited")
        await site.until(lambda: len(late(site)) >= 35, "the rest")
    assert (told["readings"], told["known"], told["done"]) == (35 - begun, begun, True)
    assert [t_ns for _, t_ns, *_ in late(site)] == [t_ns for t_ns, *_ in past["temp"]]


async def test_a_stop_of_the_gateway_ends_it_and_the_next_one_goes_on(
    site: Site, past: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_history, "PORTION", 10)
    write(site, past)
    async with site.running():
        await read_once(site)
        await typed(site, *SPAN, "--tag", "temp", "--rate", "1", "--background")
        await site.until(lambda: late(site), "the first of them")
    async with site.running():
        await read_once(site)
        assert (await imported(site, "--tag", "temp"))["done"]
        await site.until(lambda: len(late(site)) >= 35, "the rest")
    assert [t_ns for _, t_ns, *_ in late(site)] == [t_ns for t_ns, *_ in past["temp"]]


async def test_a_tag_without_history_is_named_and_the_others_are_imported(
    site: Site, past: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write(site, past | {"temp": "it keeps no history of it"}, device("oven"))
    async with site.running():
        await read_once(site)
        assert await typed(site, *SPAN) == 1
        said = capsys.readouterr().out
        assert "temp: it keeps no history of it" in said
        assert "2 readings imported" in said
        assert await typed(site, *SPAN, "--tag", "temperature") == 1
        assert 'has no tag "temperature"' in capsys.readouterr().err
        assert await typed(site, "--device", "oven", "--from", "1h ago") == 1
        assert "oven: its driver knows no history of devices" in capsys.readouterr().err
        assert await typed(site, "--device", "logger", "--from", "2199-01-01") == 1
        assert "nothing lies in it" in capsys.readouterr().err
        assert await typed(site, "--device", "logger", "--cancel") == 0
        assert await typed(site, "--device", "oven", "--cancel") == 1
        assert "nothing of oven was imported" in capsys.readouterr().err


async def test_a_damaged_note_of_what_was_imported_is_put_aside_and_the_log_is_asked(
    site: Site, past: dict[str, Any]
) -> None:
    write(site, past)
    async with site.running():
        await read_once(site)
        assert (await imported(site))["readings"] == 37
        (file,) = (site.path / "state/history").iterdir()
        file.write_text('{"device": "logger", "spans": {"a": [[1]]}, "begun": false}')
        told = await imported(site)
        assert (told["readings"], told["done"]) == (0, True)
        assert {each.suffix for each in (site.path / "state/history").iterdir()} == {".json", ".damaged"}
