"""Summaries beside finished segments: the same answer as from all frames, whatever is asked and whatever stands there, and
never at the cost of a reading."""

import asyncio
import errno
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.quality import BAD, BAD_TIMEOUT, STALE, UNCERTAIN
from gateway.core.readings import Readings
from gateway.core.record import Lane
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.outbox.format import Points, Segment
from gateway.outbox.inspect import LogFiles
from gateway.outbox.kept import summaries, thinning
from gateway.outbox.kept.series import Query, SeriesReader
from gateway.outbox.kept.summarising import Summarising
from gateway.outbox.kept.thinning import Series
from gateway.plugin.driver import Found
from gateway.testing import eventually as until
from tests.outbox.making import Log

NAMES = [f"tag{number}" for number in range(6)]
SECOND, HOUR = 10**9, 3_600 * 10**9
SECTION = OutboxSection.model_validate({"max_size": "1 GiB", "min_free": "0 B", "segment_size": "64 KiB", "keep": "9d"})
Reading = tuple[int, float]


def bound(outbox: Outbox, name: str, unit: str = "°C", kind: str = "") -> Device:
    tags = {tag: TagConfig(unit=unit) for tag in NAMES}
    spec = DeviceSpec(DeviceConfig(name=name, driver="none"), tags)
    return outbox.bind(spec, Context(site="north"), {tag: Found(kind) for tag in NAMES})


def block(device: Device, now_ns: int, rng: random.Random) -> Readings:
    """Of any layout, late or ahead, with whatever a value can be."""
    rows = rng.choice([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [1, 2], [5], [4, 4, 4], sorted(rng.sample(range(6), 3))])
    late = rng.choice([0, 0, 0, 0, rng.randrange(SECOND), rng.randrange(30 * HOUR), -rng.randrange(HOUR)])
    times = np.array([now_ns - late - (rng.randrange(SECOND) if rng.random() < 0.2 else 0) for _ in rows], np.int64)
    if rng.random() < 0.005:
        times[0] = rng.choice([0, -1, 1 << 62])
    some = [0.0, 1.0, 1.0, 1.0, rng.gauss(0, 1), np.float32(rng.random()), 2.0**70, np.nan, np.inf, -np.inf]
    values = np.array([rng.choice(some) for _ in rows])
    codes = [0, 0, 0, 0, UNCERTAIN, BAD_TIMEOUT, STALE, BAD]
    quality = [rng.choice(codes) for _ in rows] if rng.random() < 0.5 else [rng.choice(codes)] * len(rows)
    exact: dict[int, Any] = {}
    if rng.random() < 0.1:
        exact, values[0] = {0: rng.choice(["a text", {"a": [1, "b"]}, [1, 2.5], b"bytes", 1 << 70, True])}, np.nan
    ids = device.tags.ids if len(rows) == 6 and rng.random() < 0.5 else device.tags.ids[rows].copy()
    return Readings(device, times, ids, values, np.array(quality, np.uint32), exact)


class Written(NamedTuple):
    path: Path
    begin: int
    end: int
    truth: dict[str, list[Reading]]


@lru_cache
def written(folder: Path, seed: int) -> Written:
    """A log of two devices, with a clock that is set forth and back, and a definition that changes; and what is in it."""
    rng, clock, path = random.Random(seed), FakeClock(), folder / f"log-{seed}"
    pace = [1.0, 30.0, 600.0][seed % 3]

    async def fill() -> tuple[int, int]:
        outbox = Outbox.open(path, SECTION, clock=clock, config_hash="00000000")
        outbox.reader("nobody")
        task = asyncio.create_task(outbox.run())
        devices = [bound(outbox, "oven"), bound(outbox, "press", "bar")]
        begin = clock.wall_ns()
        for number in range(2000):
            clock.advance(pace * (rng.random() if rng.random() < 0.99 else 200))
            outbox.append(block(rng.choice(devices), clock.wall_ns(), rng))
            if rng.random() < 0.002:
                clock.step(rng.uniform(-20 * pace, 20 * pace))
            if number in (700, 1400):
                devices[0] = bound(outbox, "oven", "K", ["", "int32"][number // 1400])
            if number % 100 == 0:
                await outbox.written_out(60)
        await outbox.written_out(60)
        task.cancel()
        await outbox.close()
        return begin, clock.wall_ns()

    begin, end = asyncio.run(fill())
    return Written(path, begin, end, all_of(path, "oven"))


def all_of(path: Path, device: str) -> dict[str, list[Reading]]:
    """The readings of a device as record after record gives them, NaN for what is no number or not to be shown."""
    log = LogFiles(path)
    found: dict[str, list[Reading]] = {name: [] for name in NAMES}
    for segment, head, payload in log.heads(log.segments(Lane.DATA)):
        readings = log.record(segment, head, payload).readings
        assert readings is not None
        if readings.device.name != device:
            continue
        names = {each.id: each.name for each in readings.device.tags}
        rows = (column.tolist() for column in (readings.t_ns, readings.tag, readings.value, readings.quality))
        for t_ns, number, value, quality in zip(*rows, strict=True):
            is_hole = quality & 0xC000_0000 == BAD or quality & STALE or value in (float("inf"), float("-inf"))
            found[names[number]].append((t_ns, float("nan") if is_hole else value))
    return found


def shown(readings: Sequence[Reading], from_ns: int, to_ns: int, points: int) -> list[str]:
    """What a chart shows of them, said plainly."""
    inside = [each for each in readings if from_ns <= each[0] < to_ns]
    if len(inside) > points:
        width = Series(from_ns, to_ns, points).width
        steps: dict[int, list[Reading]] = {}
        for each in inside:
            steps.setdefault(each[0] // width, []).append(each)
        inside = []
        for step in steps.values():
            there = [each for each in step if each[1] == each[1]]
            low = min(there, key=lambda each: (each[1], each[0]), default=min(step))
            high = max(there, key=lambda each: (each[1], each[0]), default=low)
            inside += [low] if low[0] == high[0] and str(low[1]) == str(high[1]) else [low, high]
    return sorted(f"{t_ns} {value + 0.0}" for t_ns, value in inside)


def summarise(path: Path, segments: Sequence[Segment]) -> None:
    """Make those that are not there."""
    log = LogFiles(path)
    (path / "summaries").mkdir(exist_ok=True)
    for segment in segments:
        if segment.summary_path.exists():
            segment.summary = segment.summary_path.stat().st_size
            continue
        making = Summarising(log.log_id, segment, log.dictionary)
        list(making.run())
        data = making.file()
        assert data is not None
        segment.summary_path.write_bytes(data)
        segment.summary = len(data)


def read(path: Path, segments: Sequence[Segment], from_ns: int, to_ns: int, points: int) -> dict[str, Series]:
    log = LogFiles(path)
    wanted = Query("oven", {name: Series(from_ns, to_ns, points) for name in NAMES}, from_ns, to_ns)
    SeriesReader(log.log_id, log.dictionary).read(segments, wanted)
    return wanted.series


def said(series: Series) -> list[str]:
    t_ns, value = series.done()
    assert list(t_ns) == sorted(t_ns)
    return sorted(f"{each} {number + 0.0}" for each, number in zip(t_ns.tolist(), value.tolist(), strict=True))


def check(log: Written, segments: Sequence[Segment], from_ns: int, to_ns: int, points: int) -> None:
    found = read(log.path, segments, from_ns, to_ns, points)
    for name, readings in log.truth.items():
        assert found[name].readings == sum(from_ns <= t_ns < to_ns for t_ns, _ in readings), name
        assert said(found[name]) == shown(readings, from_ns, to_ns, points), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.mark.parametrize("seed", range(3))
@settings(max_examples=25, deadline=None)
@given(
    st.one_of(st.floats(-0.1, 1.1), st.just(-1e6)), st.one_of(st.floats(1e-9, 1.2), st.just(1e9)), st.integers(2, 3000)
)
def test_a_summary_and_all_frames_give_the_same_points(
    folder: Path, seed: int, begin: float, length: float, points: int
) -> None:
    log = written(folder, seed)
    segments = LogFiles(log.path).segments(Lane.DATA)
    summarise(log.path, segments)
    span = log.end - log.begin
    from_ns = max(-(1 << 62), log.begin + int(begin * span))
    check(log, segments, from_ns, min((1 << 62) + 5, from_ns + max(1, int(length * span))), points)


@pytest.mark.parametrize("points", [10, 500, 20_000])
def test_segments_that_have_none_yet_are_read_beside_those_that_have_one(folder: Path, points: int) -> None:
    log = written(folder, 1)
    segments = LogFiles(log.path).segments(Lane.DATA)
    summarise(log.path, segments)
    for segment in segments[::2]:
        segment.summary = 0
    check(log, segments, -(1 << 62), (1 << 62) + 5, points)


def test_steps_of_one_reading_are_taken_from_the_summary_and_no_segment_is_opened(folder: Path) -> None:
    log = written(folder, 2)
    segments = LogFiles(log.path).segments(Lane.DATA)
    summarise(log.path, segments)
    for segment in segments:
        segment.path = segment.path.with_name(segment.path.stem + ".gone")  # the summary's name stays
    found = read(log.path, segments, -(1 << 62), (1 << 62) + 5, 40)
    for name, readings in log.truth.items():
        assert said(found[name]) == shown(readings, -(1 << 62), (1 << 62) + 5, 40)


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_summary_is_as_good_as_none(folder: Path, seed: int) -> None:
    rng, log = random.Random(seed), written(folder, seed % 3)
    segments = LogFiles(log.path).segments(Lane.DATA)
    summarise(log.path, segments)
    victim, other = rng.sample(segments, 2)
    data = bytearray(victim.summary_path.read_bytes())
    kind = seed % 5
    if kind == 0:
        data = data[: rng.randrange(len(data))]
    elif kind == 1:
        data = bytearray(other.summary_path.read_bytes())
    elif kind == 2:
        data = bytearray(rng.randbytes(rng.randrange(2000)))
    else:
        for _ in range(kind * 3):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    victim.summary_path.write_bytes(data)
    victim.times = None
    check(log, segments, -(1 << 62), (1 << 62) + 5, rng.choice([10, 200, 10_000]))
    assert victim.summary == 0 or bytes(data) == victim.summary_path.read_bytes()
    if kind in (1, 2):
        assert not victim.summary_path.exists(), (
            "what is no summary of this segment is removed, so that one is made anew"
        )
    victim.summary_path.unlink(missing_ok=True)
    victim.summary = 1  # as it was known
    check(log, segments, -(1 << 62), (1 << 62) + 5, 100)


@pytest.mark.parametrize("seed", range(6))
def test_a_segment_that_is_damaged_later_costs_what_is_damaged(tmp_path: Path, seed: int) -> None:
    rng, log = random.Random(seed), written(tmp_path, seed % 3)
    segments = LogFiles(log.path).segments(Lane.DATA)
    summarise(log.path, segments)
    for segment in segments:
        data = bytearray(segment.path.read_bytes())
        for _ in range(3):
            data[rng.randrange(60, segment.size)] ^= 1 << rng.randrange(8)
        segment.path.write_bytes(data)
    found = read(log.path, segments, -(1 << 62), (1 << 62) + 5, 20_000)
    left = all_of(log.path, "oven")
    for name, series in found.items():
        here = set(said(series))
        assert here >= set(shown(left[name], -(1 << 62), (1 << 62) + 5, 20_000)), "what is sound is found"
        assert here <= set(shown(log.truth[name], -(1 << 62), (1 << 62) + 5, 20_000)), "nothing else is"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_thinning_in_portions_and_through_narrower_steps_is_thinning_at_once(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1 << 30))
    rng = np.random.default_rng(seed)
    n = data.draw(st.integers(1, 300))
    t_ns = rng.integers(-500, 5000, n)
    value = rng.choice([np.nan, 0.0, 1.0, 2.5, -3.0], n)
    narrow = 1 << data.draw(st.integers(0, 6))
    wide = narrow * data.draw(st.integers(1, 20))
    whole = thinning.raw(t_ns, value)
    _, once = thinning.thinned(t_ns // wide, whole)
    cut = data.draw(st.integers(0, n))
    parts = [whole.some(slice(0, cut)), whole.some(slice(cut, None))]
    parts = [thinning.thinned(part.t_ns // narrow, part)[1] for part in parts]
    joined = Points.joined(parts)
    _, twice = thinning.thinned(joined.t_ns // wide, joined)
    for one, other in zip(once, twice, strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(once.readings.sum()) == n


@pytest.mark.parametrize("points", [2, 3, 4, 10, 1000, 20_000])
def test_a_chart_gets_no_more_points_than_it_has_room_for(points: int) -> None:
    rng = np.random.default_rng(points)
    for _ in range(20):
        begin, span = int(rng.integers(-(10**18), 10**18)), int(rng.integers(1, 10**17))
        series = Series(begin, begin + span, points)
        t_ns = begin + rng.integers(0, span, 50_000)
        series.add(thinning.raw(t_ns, rng.normal(size=50_000)))
        assert len(series.done()[0]) <= max(4, points)
        assert series.width % series.unit == 0
        assert series.unit & (series.unit - 1) == 0


# How they come and go


def wide(tags: int) -> DeviceSpec:
    named = {f"a rather long name of a tag that is number {number}": TagConfig() for number in range(tags)}
    return DeviceSpec(DeviceConfig(name="wide", driver="none"), named)


async def several_files(log: Log, outbox: Outbox, count: int = 4) -> Device:
    device = bound(outbox, "oven")
    rng = random.Random(1)
    while len(log.files()) < count:
        for _ in range(25):
            log.clock.advance(1.0)
            outbox.append(block(device, log.clock.wall_ns(), rng))
        await outbox.written_out(60)
    outbox._housekeeping.tick()  # it is known from now on how old they are
    return device


def made(log: Log) -> list[str]:
    return sorted(path.stem for path in log.directory.glob("summaries/*.sum"))


def names(log: Log) -> list[str]:
    return [path.stem for path in log.files()]


def next_made(outbox: Outbox) -> bool:
    """Begin the next one, and say that it has been looked for: sooner than the second that it takes by itself."""
    outbox.kept.summaries.tick(outbox._housekeeping.may_be_summarised)
    return True


WISHED: dict[str, Any] = {"segment_size": 64 * 1024, "keep": 7 * 86_400.0, "max_size": 2**30, "min_free": 0}


async def test_they_are_made_of_finished_segments_counted_and_gone_with_them(log: Log) -> None:
    async with log.opened(**WISHED) as outbox:
        outbox.reader("nobody")
        await several_files(log, outbox)
        before, written_before = outbox.size, outbox.status().room.written_bytes
        log.clock.advance(120.0)
        await until(lambda: next_made(outbox) and made(log) == names(log)[:-1])
        sizes = [path.stat().st_size for path in log.directory.glob("summaries/*")]
        await until(lambda: outbox.size == before + sum(sizes))
        await until(lambda: outbox.status().room.written_bytes >= written_before + sum(sizes))
    folder = log.directory / "summaries"
    (folder / "00000000000000ff.sum").write_bytes(b"of no segment")
    (folder / "0000000000000001.sum.part").write_bytes(b"of a kill")
    async with log.opened(**{**WISHED, "keep": 0.0}) as outbox:
        assert {path.name for path in folder.iterdir()} == {f"{name}.sum" for name in names(log)[:-1]}
        reader = outbox.reader("nobody")
        outbox.append(block(bound(outbox, "oven"), log.clock.wall_ns(), random.Random(1)))
        while reader.status().lanes["data"].pending:
            await reader.wait()
            reader.acknowledged(await reader.take(500))
        outbox._tick()
        await until(lambda: made(log) == [])


@contextmanager
def refusing(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[Path]]:
    tried: list[Path] = []

    def refuse(path: Path, data: bytes, *, sync: bool = True) -> None:
        tried.append(path)
        path.with_name(path.name + ".part").write_bytes(data[:100])
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(summaries, "write_whole", refuse)
        yield tried


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
async def test_a_disk_that_does_not_take_one_is_tried_again_later(
    log: Log, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async with log.opened(**WISHED) as outbox:
        outbox.reader("nobody")
        await several_files(log, outbox)
        with refusing(monkeypatch, number) as tried:
            log.clock.advance(120.0)
            await until(lambda: outbox.kept.summaries._not_before)
            assert not list(log.directory.glob("summaries/*")), "the room is needed"
            outbox.kept.summaries.tick(lambda _: True)
            assert len(tried) == 1, "not every second"
        assert outbox.status().disk == "ok"
        log.clock.advance(700.0)
        await until(lambda: next_made(outbox) and made(log) == names(log)[:-1])


async def test_they_go_before_a_reading_is_lost(log: Log) -> None:
    async with log.opened(**WISHED) as outbox:
        outbox.reader("away")
        await several_files(log, outbox)
        log.clock.advance(120.0)
        await until(lambda: next_made(outbox) and made(log) == names(log)[:-1])
        files = names(log)
        outbox._housekeeping.max_size = outbox.size - 1
        outbox._housekeeping.measured(2**40)
        await until(lambda: len(made(log)) < len(files) - 1)
        assert names(log) == files
        assert not outbox._housekeeping.may_be_summarised(outbox._lanes[Lane.DATA].segments[0])


async def test_they_go_where_new_readings_would_be_turned_away(log: Log) -> None:
    async with log.opened(**{**WISHED, "max_size": 2**21, "when_full": "drop_newest"}) as outbox:
        outbox.reader("away")
        device = bound(outbox, "oven")
        n, begin, had_some = 60, log.clock.wall_ns(), False
        for number in range(5000):
            ids = np.tile(device.tags.ids, n // len(device.tags))
            values = np.arange(n) / 7.0 + number
            outbox.append(Readings(device, np.full(n, begin + number), ids, values, np.zeros(n, np.uint32)))
            if number % 10 == 0:
                await outbox.written_out(30)
                outbox._housekeeping.measured(2**40)
                if outbox.status().room.not_accepted:
                    break
            if number == 1000:
                outbox._housekeeping.tick()
                log.clock.advance(120.0)
                had_some = await until(lambda: next_made(outbox) and len(made(log)) == len(names(log)) - 1)
        assert had_some
        assert outbox.status().room.not_accepted
        await until(lambda: made(log) == [])
        assert outbox._lanes[Lane.DATA].size > outbox._housekeeping.max_size * 3 // 4, (
            "all that readings may take is theirs"
        )


async def test_a_file_of_many_tags_that_are_read_a_few_times_gets_none(log: Log) -> None:
    async with log.opened(**WISHED) as outbox:
        outbox.reader("nobody")
        n = 3000
        device = outbox.bind(wide(n), Context(site="north"))
        while len(log.files()) < 3:
            log.clock.advance(1.0)
            now = np.full(n, log.clock.wall_ns())
            outbox.append(
                Readings(device, now, device.tags.ids, np.arange(n, dtype=np.float64) + 0.1, np.zeros(n, np.uint32))
            )
            await outbox.written_out(30)
        outbox._housekeeping.tick()
        log.clock.advance(120.0)
        await until(lambda: next_made(outbox) and len(outbox.kept.summaries._without) == 2)
        assert made(log) == []


@pytest.mark.parametrize(
    "kind", ["a file for the folder", "a FIFO", "a folder", "a link to nowhere", "a link to itself"]
)
async def test_what_is_no_file_where_they_stand_is_moved_away_and_costs_only_time(log: Log, kind: str) -> None:
    async with log.opened(**WISHED) as outbox:
        outbox.reader("nobody")
        await several_files(log, outbox)
    folder = log.directory / "summaries"
    path = folder / f"{names(log)[1]}.sum"
    if kind == "a file for the folder":
        folder.write_bytes(b"odd")
    else:
        folder.mkdir()
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind.startswith("a link"):
        path.symlink_to("nowhere" if kind.endswith("nowhere") else path.name)
    async with log.opened(**WISHED) as outbox:
        outbox.reader("nobody")
        end = log.clock.wall_ns() + HOUR
        before = await outbox.kept.series("oven", NAMES, end - 9 * HOUR, end, 100)
        log.clock.advance(120.0)
        await until(lambda: next_made(outbox) and set(made(log)) >= set(names(log)[:3]))
        after = await outbox.kept.series("oven", NAMES, end - 9 * HOUR, end, 100)
        assert {name: said(series) for name, series in before.items()} == {n: said(s) for n, s in after.items()}


async def test_a_running_gateway_answers_whatever_happens_to_a_summary(log: Log) -> None:
    async with log.opened(**WISHED) as outbox:
        outbox.reader("nobody")
        await several_files(log, outbox)
        end = log.clock.wall_ns() + HOUR
        log.clock.advance(120.0)
        await until(lambda: next_made(outbox) and made(log) == names(log)[:-1])
        before = await outbox.kept.series("oven", NAMES, end - 9 * HOUR, end, 100)
        first, second, third = sorted(log.directory.glob("summaries/*.sum"))
        first.unlink()
        second.write_bytes(third.read_bytes())
        third.unlink()
        os.mkfifo(third)
        after = await outbox.kept.series("oven", NAMES, end - 9 * HOUR, end, 100)
        assert {name: said(series) for name, series in before.items()} == {n: said(s) for n, s in after.items()}
        await until(lambda: next_made(outbox) and {first.stem, second.stem} <= set(made(log)))
