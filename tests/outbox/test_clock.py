"""The clock may be wrong, be set, and be trusted only later: order, times and flags of the log all the same."""

import csv
import io
import random
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import ClockState
from gateway.core.record import Kind, Lane, Record
from gateway.outbox import Outbox, Reader
from gateway.outbox.format.clock_correction import ClockCorrections, read_synced, synced_path
from gateway.outbox.format.frames import scan
from gateway.outbox.format.identity import read_numbers
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.outbox.inspect.export import Wanted, export_csv
from gateway.outbox.inspect.log_files import LogFiles
from gateway.outbox.start import state
from gateway.outbox.write.log_clock import LogClock
from tests.outbox.making import Log, block, fill, spec, take, until, values

HOUR = 3600
YEARS_56 = 1_767_225_600
"""Seconds from 1970 to 2026."""


def data(records: list[Record]) -> list[Record]:
    return [record for record in records if record.lane is Lane.DATA]


async def taken(reader: Reader, count: int, events: int = 0) -> list[Record]:
    """Records until so many are of readings, and so many events of the clock."""
    records: list[Record] = []
    while len(data(records)) < count or len(clock_events(records)) < events:
        records += await take(reader, 1)
    return records


def clock_events(records: list[Record]) -> list[tuple[str, str]]:
    return [
        (record.body["state"], record.body["message"])
        for record in records
        if record.kind is Kind.EVENT and record.body is not None and record.body["kind"] == "clock"
    ]


def now(log: Log, device, number: float, *, own_time: bool = True):
    """A block that is read at this moment of the log's clock."""
    times = np.full(len(device.tags), log.clock.wall_ns(), np.int64)
    readings = block(device, number, t_ns=times)
    return type(readings)(device, times, readings.tag, readings.value, readings.quality, {}, own_time)


async def accepted(outbox: Outbox, count: int) -> None:
    await until(lambda: outbox.status().lanes["data"].accepted >= count)


def _offset(path):
    numbers = read_numbers(path)
    return numbers.offset if numbers is not None else None


@pytest.fixture
def boots(monkeypatch):
    """Sets the number of the boot for the next start."""
    return lambda number: monkeypatch.setattr(state, "boot_number", lambda: number)


@pytest.fixture
def dead_battery(log: Log, boots) -> Log:
    """A log whose PC has just booted in 1970."""
    boots(1)
    log.clock.wall, log.clock.boot, log.clock.synced = 20_000_000_000, 20_000_000_000, False
    return log


async def test_numbers_order_the_records_whatever_the_clock_does(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict")
        steps = [0, HOUR, -2 * HOUR, HOUR, -YEARS_56, YEARS_56]
        for number, step in enumerate(steps):
            log.clock.step(step)
            outbox.append(block(device, number))
        await accepted(outbox, 3 * len(steps))
        records = await taken(reader, 6, events=5)
        assert values(data(records)) == [0, 1, 2, 3, 4, 5]
        assert [record.seq for record in data(records)] == [1, 2, 3, 4, 5, 6]
        assert [record.epoch for record in data(records)] == [0, 1, 2, 3, 4, 5]
        assert [words for words, _ in clock_events(records)] == ["stepped"] * 5


async def test_blocks_of_one_write_are_stamped_with_the_clock_that_they_were_read_by(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict")
        before = log.clock.wall_ns()
        outbox.append(now(log, device, 1))
        log.clock.step(HOUR)
        outbox.append(now(log, device, 2))
        await accepted(outbox, 6)
        old, new = data(await taken(reader, 2))
        assert (old.wall_ns, old.epoch) == (before, 0)
        assert (new.wall_ns, new.epoch) == (before + HOUR * 10**9, 1)
        assert all(record.readings.t_ns[0] == record.wall_ns for record in (old, new))


def test_small_corrections_and_suspend_are_no_steps(log):
    """A leap smear moves both clocks alike; suspend is counted by both; a time zone changes no UTC."""
    stamps = LogClock(log.clock, 1, 0, log.clock.wall - log.clock.boot, ClockCorrections({1: 0}), Mock())
    for _ in range(100):
        log.clock.step(0.4)
        log.clock.advance(8 * HOUR)
        assert not stamps.stepped
        assert stamps.look() == []
        assert stamps.stamp(0).wall_ns == log.clock.wall
    assert stamps.epoch == 0


async def test_a_leap_second_that_the_kernel_inserts_is_a_step_of_one_second(log, context):
    async with log.opened() as outbox:
        reader = outbox.reader("central", "strict")
        log.clock.step(-1)
        await fill(outbox, outbox.bind(spec(), context), range(1))
        assert ("stepped", "The clock was set back by 1.0 s.") in clock_events(await taken(reader, 1, events=1))


async def test_a_step_while_the_gateway_stood_still_is_told_at_the_start(log, context):
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(1))
    log.clock.step(HOUR)
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(1, 2))
        records = await taken(outbox.reader("central", "strict"), 2, events=1)
        assert [record.epoch for record in data(records)] == [0, 1]
        assert clock_events(records) == [("stepped", "The clock was set forward by 3600.0 s.")]
    log.clock.step(-HOUR)
    log.clock.step(HOUR)
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(2, 3))
        records = await taken(outbox.reader("other", "strict"), 3)
        assert data(records)[-1].epoch == 1, "back again before anybody looked is no step"


async def test_an_epoch_is_never_used_twice_though_the_process_is_killed(log, context):
    """The files as a kill leaves them, after each step."""
    epochs: list[int] = []
    for _ in range(3):
        async with log.opened() as outbox:
            device = outbox.bind(spec(), context)
            reader = outbox.reader("central", "strict")
            log.clock.step(HOUR)
            before = outbox.status().lanes["data"].accepted
            outbox.append(now(log, device, 1))
            await accepted(outbox, before + 3)
            numbers = log.directory / "numbers"
            await until(lambda path=numbers: _offset(path) == log.clock.wall - log.clock.boot)
            kept = numbers.read_bytes()
            records = await taken(reader, 1, events=1)
            epochs.append(data(records)[-1].epoch)
            reader.acknowledged(records)
        numbers.write_bytes(kept)
    assert epochs == [1, 2, 3]


async def test_a_new_boot_is_a_new_epoch_and_no_step(log, context, boots):
    for boot in (1, 2):
        boots(boot)
        log.clock.boot = 5_000_000_000
        async with log.opened() as outbox:
            await fill(outbox, outbox.bind(spec(), context), range(1))
    async with log.opened() as outbox:
        records = data(await taken(outbox.reader("central", "strict"), 2))
        assert [(record.boot, record.epoch) for record in records] == [(1, 0), (2, 1)]


@pytest.mark.parametrize(
    ("synced", "words"), [(True, "synchronised"), (False, "not yet synchronised"), (None, "unknown")]
)
async def test_each_record_carries_the_state_of_the_clock_in_memory_and_on_disk(log, context, boots, synced, words):
    boots(1)
    log.clock.synced = synced
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        outbox.append(now(log, device, 1))
        outbox.append(now(log, device, 2, own_time=False))
        await accepted(outbox, 6)
        records = data(await taken(outbox.reader("central"), 2))
    found = LogFiles(log.directory)
    read = [found.record(*each) for each in found.heads(found.segments(Lane.DATA))]
    for each in (records, read):
        assert [record.clock.words for record in each] == [words] * 2
        assert [record.readings.own_time for record in each] == [True, False]
        assert [record.corrected_ns for record in each] == [None, None]


async def test_a_synchronisation_that_is_lost_and_found_is_told_and_nothing_is_corrected(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict")
        for synced in (True, False, True):
            log.clock.synced = synced
            await until(lambda s=synced: (outbox.clock_state is ClockState.SYNCHRONISED) is s)
            outbox.append(now(log, device, 1))
        await accepted(outbox, 9)
        records = await taken(reader, 3, events=2)
        states = [record.clock for record in data(records)]
        assert states == [ClockState.SYNCHRONISED, ClockState.LOST, ClockState.SYNCHRONISED]
        assert [words for words, _ in clock_events(records)] == ["no longer synchronised", "synchronised"]
        assert {record.corrected_ns for record in records} == {None}


async def test_what_was_read_before_the_first_synchronisation_is_sent_with_the_right_times_after_it(
    dead_battery, context
):
    log = dead_battery
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict")
        outbox.append(now(log, device, 1))
        outbox.append(block(device, 2))  # a device's own times, of 2027
        await accepted(outbox, 6)
        early = data(await taken(reader, 2))
        assert [record.clock for record in early] == [ClockState.NOT_YET] * 2
        assert [record.corrected_ns for record in early] == [None, None], "nothing is known yet"
        assert early[0].readings.t_ns[0] == 20_000_000_000
        reader.rewind()
        log.clock.advance(40)
        log.clock.step(YEARS_56)
        log.clock.synced = True
        outbox.append(now(log, device, 3))
        await accepted(outbox, 9)
        await until(lambda: outbox.clock_state is ClockState.SYNCHRONISED)
        own, given, later = data(await taken(reader, 3))
        shift = YEARS_56 * 10**9
        assert own.corrected_ns == given.corrected_ns == shift
        assert own.wall_ns == own.readings.t_ns[0] == 20_000_000_000 + shift
        assert given.wall_ns == 20_000_000_000 + shift
        assert given.readings.t_ns[0] == early[1].readings.t_ns[0], "the device gave it"
        assert (later.clock, later.corrected_ns) == (ClockState.SYNCHRONISED, None)
        assert own.id == early[0].id
    found = LogFiles(log.directory)
    first = next(found.record(*each) for each in found.heads(found.segments(Lane.DATA)))
    assert (first.wall_ns, first.readings.t_ns[0]) == (20_000_000_000, 20_000_000_000), "the log is never rewritten"


async def test_the_correction_outlives_the_boot_and_does_not_pass_to_another(dead_battery, context, boots):
    log = dead_battery
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        outbox.reader("central")
        outbox.append(now(log, device, 1))
        await accepted(outbox, 3)
        log.clock.step(YEARS_56)
        log.clock.synced = True
        await until(synced_path(log.directory).exists)
    boots(2)
    log.clock.wall, log.clock.boot, log.clock.synced = 30_000_000_000, 30_000_000_000, False
    async with log.opened() as outbox:
        outbox.append(now(log, device, 2))
        await accepted(outbox, 6)
        records = data(await taken(outbox.reader("central", "strict"), 2))
        assert [(record.boot, record.corrected_ns) for record in records] == [(1, YEARS_56 * 10**9), (2, None)]
    boots(3)
    log.clock.wall, log.clock.synced = 1_800_000_000_000_000_000, True
    async with log.opened() as outbox:
        await until(lambda: 3 in read_synced(synced_path(log.directory)))
        records = data(await taken(outbox.reader("central", "strict"), 2))
        assert [record.corrected_ns for record in records] == [YEARS_56 * 10**9, None], "boot 2 was never synchronised"


async def test_an_export_gives_the_times_of_the_log_and_the_state_of_its_clock(dead_battery, context):
    log = dead_battery
    async with log.opened() as outbox:
        outbox.append(now(log, outbox.bind(spec(tags=1), context), 1))
        await accepted(outbox, 1)
        log.clock.step(YEARS_56)
        log.clock.synced = True
        await until(synced_path(log.directory).exists)
        out = io.StringIO()
        export_csv(LogFiles(log.directory), Wanted(), out, lambda _: None)
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert (row["time"], row["clock"]) == ("1970-01-01T00:00:20.000000000Z", "not yet synchronised")


@pytest.mark.parametrize("content", [b"", b"rubbish", b'{"boots": [["00000001", 5]], "check": "00000000"}', b"{}"])
async def test_a_damaged_file_of_synchronised_boots_corrects_nothing_and_stops_nothing(
    dead_battery, context, boots, content
):
    log = dead_battery
    async with log.opened() as outbox:
        outbox.append(now(log, outbox.bind(spec(), context), 1))
        await accepted(outbox, 3)
    synced_path(log.directory).write_bytes(content)
    boots(2)
    async with log.opened() as outbox:
        (record,) = data(await taken(outbox.reader("central"), 1))
        assert (record.clock, record.corrected_ns) == (ClockState.NOT_YET, None)


async def test_a_log_of_the_first_version_has_clocks_that_nothing_is_known_of(log, context):
    async with log.opened() as outbox:
        outbox.append(now(log, outbox.bind(spec(), context), 1))
        await accepted(outbox, 3)
    assert [head.flags for _, head in scan(log.files()[0].read_bytes(), HEADER_SIZE) if head.kind == Kind.READINGS] == [
        ClockState.SYNCHRONISED | 4
    ]
    assert ClockState(0) is ClockState.UNKNOWN


@given(
    wall=st.integers(0, 4 * 10**18),
    boot=st.integers(0, 10**17),
    right=st.integers(-(10**17), 4 * 10**18),
    taken=st.integers(-(10**9), 0),
)
def test_a_correction_is_whole_milliseconds_and_right_to_half_of_one(wall, boot, right, taken):
    record = Record("log", Lane.DATA, 1, Kind.READINGS, wall, boot, 7, 0, "", 1, clock=ClockState.NOT_YET)
    synced = ClockCorrections({7: right})
    sent = synced.corrected(record)
    assert sent.corrected_ns is not None
    assert sent.corrected_ns % 1_000_000 == 0
    assert sent.wall_ns - sent.corrected_ns == wall
    assert abs(sent.wall_ns - (boot + right)) <= 500_000
    assert (wall + taken) // 10**6 == (sent.wall_ns + taken) // 10**6 - sent.corrected_ns // 10**6
    assert synced.corrected(sent) is sent


def test_the_file_of_synchronised_boots_forgets_the_oldest_and_keeps_the_rest(tmp_path):
    synced, made = ClockCorrections(), random.Random(5)
    offsets = {boot: made.randrange(-(2**60), 2**60) for boot in range(1, 1202)}
    for boot, offset in offsets.items():
        synced.note(boot, offset)
    path = synced_path(tmp_path)
    path.write_bytes(synced.dump())
    read = read_synced(path)
    assert 201 not in read and all(boot in read for boot in range(202, 1202))
    assert read.dump() == synced.dump()
