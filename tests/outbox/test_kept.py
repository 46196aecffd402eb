"""Values over time, out of the files: the same that record after record gives, least and greatest kept, damage leapt over."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.core.quality import BAD_TIMEOUT, STALE, UNCERTAIN
from gateway.core.readings import Readings
from gateway.core.record import Lane
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.outbox.inspect import LogFiles
from gateway.outbox.kept import Series, series
from gateway.outbox.kept import own_log as kept_log

SECTION = OutboxSection.model_validate({"max_size": "1 GiB", "min_free": "0 B", "segment_size": "64 KiB", "keep": "9d"})
NAMES = [f"tag{number}" for number in range(5)]


@asynccontextmanager
async def running(path: Path, clock: FakeClock) -> AsyncIterator[Outbox]:
    outbox = Outbox.open(path, SECTION, clock=clock, config_hash="00000000")
    outbox.reader("nobody")
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        await outbox.close()


def bound(outbox: Outbox, name: str, unit: str = "°C") -> Device:
    tags = {tag: TagConfig(unit=unit) for tag in NAMES}
    return outbox.bind(DeviceSpec(DeviceConfig(name=name, driver="none"), tags), Context(site="north"))


def block(device: Device, t_ns: int, rng: random.Random) -> Readings:
    """Of any layout that there is."""
    rows = sorted(rng.sample(range(5), rng.randint(1, 5)))
    if rng.random() < 0.3:
        rows = list(range(5))
    elif rng.random() < 0.3:
        rows = [rng.randrange(5)] * 3
    ids = device.tags.ids[rows]
    times = np.full(len(rows), t_ns) if rng.random() < 0.5 else np.array([t_ns - rng.randrange(10**9) for _ in rows])
    values = np.array([rng.choice([rng.random(), 0.1, 5.0, 2.0**70, np.nan]) for _ in rows])
    if rng.random() < 0.4:
        values = values.astype(np.float32).astype(np.float64)
    codes = [0, 0, 0, UNCERTAIN, BAD_TIMEOUT, STALE]
    quality = np.array([rng.choice(codes) for _ in rows] if rng.random() < 0.5 else [rng.choice(codes)] * len(rows))
    exact = {0: "a text"} if rng.random() < 0.1 else {}
    if exact:
        values[0] = np.nan
    return Readings(device, times.astype(np.int64), ids.copy(), values, quality.astype(np.uint32), exact)


def one_by_one(path: Path, device: str, tag: str) -> list[tuple[int, float | None]]:
    """What record after record gives."""
    log, found = LogFiles(path), []
    for segment, head, payload in log.heads(log.segments(Lane.DATA)):
        readings = log.record(segment, head, payload).readings
        assert readings is not None
        if readings.device.name != device:
            continue
        names = {each.id: each.name for each in readings.device.tags}
        for t_ns, number, value, quality in zip(
            readings.t_ns.tolist(),
            readings.tag.tolist(),
            readings.value.tolist(),
            readings.quality.tolist(),
            strict=True,
        ):
            if names[number] == tag:
                is_hole = value != value or quality in (BAD_TIMEOUT, STALE)
                found.append((t_ns, None if is_hole else value))
    return sorted(found, key=lambda each: (each[0], each[1] is None, each[1] or 0.0))


def as_pairs(series: Series) -> list[tuple[int, float | None]]:
    t_ns, value = series.done()
    pairs = zip(t_ns.tolist(), (None if each != each else each for each in value.tolist()), strict=True)
    return sorted(pairs, key=lambda each: (each[0], each[1] is None, each[1] or 0.0))


@pytest.mark.parametrize("seed", range(4))
async def test_it_finds_what_record_after_record_gives(tmp_path: Path, seed: int) -> None:
    rng, clock = random.Random(seed), FakeClock()
    async with running(tmp_path, clock) as outbox:
        begin = clock.wall_ns()
        devices = [bound(outbox, "oven"), bound(outbox, "press")]
        for number in range(1500):
            clock.advance(1.0)
            outbox.append(block(rng.choice(devices), clock.wall_ns(), rng))
            if number == 700:  # another definition, so other ids
                devices[0] = bound(outbox, "oven", unit="K")
            if number % 100 == 0:
                await outbox.written_out(30)
        await outbox.written_out(30)
        assert len(list((tmp_path / "data").glob("*.seg"))) > 1
        found = await outbox.kept.series("oven", NAMES, begin - 10**10, clock.wall_ns() + 1, 20_000)
        for name in NAMES:
            assert as_pairs(found[name]) == one_by_one(tmp_path, "oven", name), name
            assert not found[name].is_thinned
        first, last = begin + 400 * 10**9, begin + 500 * 10**9
        part = await outbox.kept.series("oven", ["tag1"], first, last, 20_000)
        whole = one_by_one(tmp_path, "oven", "tag1")
        assert as_pairs(part["tag1"]) == [each for each in whole if first <= each[0] < last]
        few = await outbox.kept.series("oven", ["tag2"], begin - 10**10, clock.wall_ns() + 1, 20)
        values = [value for _, value in one_by_one(tmp_path, "oven", "tag2") if value is not None]
        shown = [value for _, value in as_pairs(few["tag2"]) if value is not None]
        assert len(shown) <= 20 < few["tag2"].readings
        assert (min(shown), max(shown)) == (min(values), max(values))


@pytest.mark.parametrize("seed", range(6))
async def test_damage_costs_what_is_damaged(tmp_path: Path, seed: int) -> None:
    rng, clock = random.Random(seed), FakeClock()
    async with running(tmp_path, clock) as outbox:
        begin = clock.wall_ns()
        device = bound(outbox, "oven")
        for _ in range(300):
            clock.advance(1.0)
            outbox.append(block(device, clock.wall_ns(), rng))
            await outbox.written_out(30)
        path = min((tmp_path / "data").glob("*.seg"))
        data = bytearray(path.read_bytes())
        for _ in range(5):
            data[rng.randrange(80, len(data))] ^= 1 << rng.randrange(8)
        data[2000:2016] = b"\xff" * 16
        path.write_bytes(data)
        found = await outbox.kept.series("oven", ["tag0"], begin, clock.wall_ns() + 1, 20_000)
        sound = {each for each in one_by_one(tmp_path, "oven", "tag0") if each[0] >= begin}
        assert set(as_pairs(found["tag0"])) == sound
        path.unlink()
        await outbox.kept.series("oven", ["tag0"], begin, clock.wall_ns() + 1, 20_000)


async def test_too_many_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_log, "WAITING", 1)
    clock = FakeClock()
    async with running(tmp_path, clock) as outbox:
        one = asyncio.ensure_future(outbox.kept.series("oven", ["a"], 0, 1, 10))
        await asyncio.sleep(0)
        with pytest.raises(GatewayError, match="too many"):
            await outbox.kept.series("oven", ["a"], 0, 1, 10)
        assert (await one)["a"].readings == 0
        await outbox.kept.series("oven", ["a"], 0, 1, 10)


async def test_a_look_that_takes_long_leaves_the_road_its_share_and_is_broken_off_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    clock = FakeClock()
    async with running(tmp_path, clock) as outbox:
        begin = clock.wall_ns()
        outbox.append(block(bound(outbox, "oven"), begin, random.Random(1)))
        await outbox.written_out(30)
        monkeypatch.setattr(series, "time", SimpleNamespace(monotonic=time.monotonic, sleep=slept.append))
        monkeypatch.setattr(series, "SHORT", 0.0)
        await outbox.kept.series("oven", NAMES, begin - 10**9, begin + 1, 10)
        assert len(slept) == 1
        monkeypatch.setattr(series, "LONGEST_LOOK", 0.0)
        with pytest.raises(GatewayError, match="ask for a shorter span"):
            await outbox.kept.series("oven", NAMES, begin - 10**9, begin + 1, 10)


@pytest.mark.parametrize(("events", "size"), [(7, 1 << 20), (2000, 900)])
async def test_events_come_page_by_page_of_one_device_or_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: int, size: int
) -> None:
    monkeypatch.setattr(kept_log, "EVENTS_AT_MOST", events)
    monkeypatch.setattr(kept_log, "BYTES_AT_MOST", size)
    monkeypatch.setattr(kept_log, "_MORE", 2)
    clock = FakeClock()
    async with running(tmp_path, clock) as outbox:
        begin = clock.wall_ns()
        for number in range(60):
            clock.advance(1.0)
            device = ["öven", "press", 'od"d'][number % 3]
            outbox.append_event(
                Event(f"e{number}", "alarm", "raised", device, clock.wall_ns(), "öven, press", "warning")
            )
            await outbox.written_out(30)
            if number == 30:
                clock.step(-5.5)
        for name, wanted in [
            (None, range(60)),
            ("öven", range(0, 60, 3)),
            ('od"d', range(2, 60, 3)),
            ("none", range(0)),
        ]:
            found: list[str] = []
            rest: int | None = begin
            while rest is not None:
                page, rest = await outbox.kept.events(rest, clock.wall_ns() + 1, name)
                assert len(page) <= 7
                found += [event["event"] for event in page if event["kind"] == "alarm"]
            ids = [f"e{number}" for number in wanted]
            assert set(found) == set(ids)
            if name == "öven":
                some, _ = await outbox.kept.events(begin + 10 * 10**9 + 1, begin + 20 * 10**9, name)
                assert [event["event"] for event in some] == ["e12", "e15", "e18"]
