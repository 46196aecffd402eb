"""What a device works for: on each record, in each file by itself, and nowhere else."""

import gc
import os
import random
import signal
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from gateway.cli.outbox.peek import plain
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.event import Event
from gateway.core.quality import HISTORICAL
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device
from gateway.encode import columns
from gateway.outbox import Outbox
from gateway.outbox.format import CONTEXT, DEFINITION, PLAIN, WITH_CONTEXTS, frame, header, read_frames, scan
from gateway.outbox.format.frames import CONTEXTS_AT_MOST, HEAD_SIZE, Stamp
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.outbox.inspect import LogFiles, verify, verify_receipts
from tests.outbox.making import Log, block, fill, spec, take, until


def work(batch: str, phase: str = "", by: str = "rule 1") -> Context:
    return Context(batch=batch, phase=phase, by=(("batch", by),) if batch else ())


def worked(records: list[Record]) -> list[tuple[str, str]]:
    contexts = [each.readings.device.context for each in records if each.readings is not None]
    return [(context.batch, context.phase) for context in contexts]


def kept(log: Log) -> list[Record]:
    """All readings, as another process finds them."""
    files = LogFiles(log.directory)
    return [files.record(*found) for found in files.heads(files.segments(Lane.DATA))]


def version(path: Path) -> int:
    """The minor version of a file's format."""
    assert path.read_bytes()[8:10] == b"\1\0"  # a release goes back by one, and then reads what this one wrote
    return path.read_bytes()[11]


async def test_a_record_says_the_work_that_its_device_had_and_who_said_so(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        for number, batch in enumerate(["", "B-1", "B-2", "B-1", ""]):
            outbox.works.set("press-1", work(batch, "mixing" if batch else ""))
            await fill(outbox, device, range(number, number + 1))
        live = await take(reader, 5)
        assert len({id(each.readings.device.tags) for each in live}) == 1
    due = [("", ""), ("B-1", "mixing"), ("B-2", "mixing"), ("B-1", "mixing"), ("", "")]
    assert worked(live) == worked(kept(log)) == due
    async with log.opened() as outbox:
        again = await take(outbox.reader("central"), 5)
    assert worked(again) == due
    assert again[1].readings.device.context == Context(
        site="north", line="coating", batch="B-1", phase="mixing", by=(("batch", "rule 1"),)
    )
    assert plain(again[1])["said_by"] == {"batch": "rule 1"}
    assert again[1].readings.device is again[3].readings.device  # what is planned for a device is planned once
    assert verify(LogFiles(log.directory), lambda _: None).problems == []


async def test_what_a_device_recorded_earlier_is_given_to_no_batch_of_today(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        await fill(outbox, device, range(1))
        outbox.works.set("press-1", work("B-1", "mixing"))
        past = block(device, 1)
        outbox.append(replace(past, quality=past.quality | np.uint32(HISTORICAL)))
        outbox.append(block(device, 2))
        records = await take(reader, 3)
    assert worked(records) == worked(kept(log)) == [("", ""), ("", ""), ("B-1", "mixing")]
    assert [bool(each.readings.device.context.unknown) for each in records if each.readings] == [False, True, False]
    assert verify(LogFiles(log.directory), lambda _: None).problems == []


async def test_an_event_says_the_work_of_its_device_at_that_moment(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        outbox.bind(spec(), context)
        outbox.works.set("press-1", work("B-1"))
        foreign = {"context": {"batch": "what a device calls so"}}
        for device in ("press-1", "press-2", ""):
            outbox.append_event(Event("e", "device", "reported", device, 0, "it is", "info", foreign))
        records = await take(outbox.reader("central"), 3)
    assert [record.body.get("context") for record in records] == [{"batch": "B-1"}, None, None]


async def test_a_batch_leaves_definitions_and_ids_alone(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        await fill(outbox, device, range(1))
        tags = (log.directory / "tags").read_bytes()
        for number in range(50):
            outbox.works.set("press-1", work(f"B-{number}"))
            await fill(outbox, device, range(1))
        again = outbox.bind(spec(), context)
        assert again.tags.ids.tolist() == device.tags.ids.tolist()
    assert (log.directory / "tags").read_bytes() == tags
    assert len({head.source for head, *_ in read_frames(log.files()[-1], HEADER_SIZE, 1 << 30) if head.rows}) == 1


@pytest.mark.slow
@pytest.mark.alone
async def test_memory_and_dictionary_do_not_grow_with_batches(log: Log, context: Context) -> None:
    """A day of 1,000 batches on 100 devices, in ever new orders."""
    devices, chance = 100, random.Random(7)

    async def batches(outbox: Outbox, bound: list[Device], numbers: range) -> None:
        reader = outbox.reader("central")
        for number in numbers:
            for device in chance.sample(bound, 10):
                outbox.works.set(device.name, work(f"B-{number}", f"phase {number % 7}"))
                outbox.append(block(device, number))
            outbox.flush()
            reader.acknowledged(await take(reader, 10))

    async with log.opened() as outbox:
        bound = [outbox.bind(spec(f"press-{n}"), context) for n in range(devices)]
        await batches(outbox, bound, range(100))
        tags = (log.directory / "tags").stat().st_size
        tracemalloc.start()
        try:
            await batches(outbox, bound, range(100, 300))
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            await batches(outbox, bound, range(300, 1000))
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert (log.directory / "tags").stat().st_size == tags
    # of 7,000 records, and as many devices in a context of their own
    assert grown < 4_000_000


async def test_each_file_says_the_contexts_of_its_own_records(log: Log, context: Context) -> None:
    async with log.opened(segment_size=64 * 1024) as outbox:
        device = outbox.bind(spec(tags=50), context)
        outbox.reader("central")
        outbox.works.set("press-1", work("B-1"))
        await fill(outbox, device, range(600))
    assert len(log.files()) > 2
    for path in log.files()[:-1]:
        path.unlink()
    (log.directory / "tags").unlink()
    async with log.opened() as outbox:
        (record,) = await take(outbox.reader("other"), 1, limit=1)
        assert record.readings.device.context.batch == "B-1"


async def test_a_file_without_contexts_is_as_earlier_versions_read_it(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        await fill(outbox, device, range(2))
        outbox.works.set("press-1", work("B-1"))
        await fill(outbox, device, range(2, 4))
        outbox.works.set("press-1", Context())
        await fill(outbox, device, range(4, 6))
    first, second = log.files()
    assert (version(first), version(second)) == (PLAIN, WITH_CONTEXTS)
    assert [each for each, _ in worked(kept(log))] == ["", "", "B-1", "B-1", "", ""]


@pytest.mark.parametrize("damage", ["a bit", "no JSON", "a wrong form", "gone"])
async def test_of_a_damaged_context_the_readings_are_read_and_the_work_is_unknown(
    log: Log, context: Context, damage: str
) -> None:
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        for number, batch in enumerate(["B-1", "B-2"]):
            outbox.works.set("press-1", work(batch))
            await fill(outbox, device, range(number, number + 1))
    (path,) = log.files()
    data = path.read_bytes()
    (at, size, number), _ = [
        (behind - head.size, head.size, head.context)
        for head, _, behind in read_frames(path, HEADER_SIZE, len(data))
        if head.kind == CONTEXT
    ]
    instead = {
        "a bit": data[at : at + size - 3] + bytes([data[at + size - 3] ^ 4]) + data[at + size - 2 : at + size],
        "no JSON": frame(Lane.DATA, CONTEXT, b"x" * (size - HEAD_SIZE), context=number),
        "a wrong form": frame(Lane.DATA, CONTEXT, b'{"context":[]}'.ljust(size - HEAD_SIZE), context=number),
        "gone": frame(Lane.DATA, CONTEXT, data[at + HEAD_SIZE : at + size], context=number + 7),
    }[damage]
    path.write_bytes(data[:at] + instead + data[at + size :])
    found = kept(log)
    assert [each.readings.value[0] for each in found] == [0.0, 1.0]
    assert [each.readings.device.context.said() for each in found] == [
        {"site": "north", "line": "coating", "unknown": "the log does not say it any more"},
        {"site": "north", "line": "coating", "batch": "B-2"},
    ]
    report = verify(LogFiles(log.directory), lambda _: None)
    assert any("what its device worked for is not known" in str(each) for each in report.problems)
    async with log.opened() as outbox:
        assert worked(await take(outbox.reader("central"), 2)) == [("", ""), ("B-2", "")]


async def test_wherever_a_file_ends_what_is_left_says_its_own_work(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        for number in range(12):
            outbox.works.set("press-1", work(f"B-{number // 2}", f"phase {number}"))
            await fill(outbox, device, range(number, number + 1))
    (path,) = log.files()
    data = path.read_bytes()
    for end in range(HEADER_SIZE + 1, len(data), 13):
        path.write_bytes(data[:end])
        for record in kept(log):
            number = int(record.readings.value[0])
            assert worked([record]) == [(f"B-{number // 2}", f"phase {number}")]


async def test_a_batch_that_an_old_definition_says_is_still_told(log: Log, context: Context) -> None:
    """Versions before had order, batch and phase in the definition."""
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        await fill(outbox, device, range(1))
    (path,) = log.files()
    said = {"site": "north", "line": "coating", "order": "O-9", "batch": "B-9", "phase": "drying"}
    tags = [{"id": tag.id, "name": tag.name} for tag in device.tags]
    text = orjson.dumps(
        {"source": 7, "device": "press-1", "driver": "fake", "context": said, "config": "", "tags": tags}
    )
    shape, payload = columns.encode(block(device, 5), device.tags.ids.tobytes())
    (log.directory / "tags").write_bytes(b"%08x %b\n" % (zlib.crc32(text), text))
    path.write_bytes(
        header(LogFiles(log.directory).log_id, Lane.DATA, 1, 0)
        + frame(Lane.DATA, DEFINITION, zlib.compress(text), source=7, codec=2)
        + frame(Lane.DATA, Kind.READINGS, payload, seq=1, rows=3, source=7, codec=columns.CODEC, shape=shape)
    )
    async with log.opened() as outbox:
        now = outbox.bind(spec(), context)
        await fill(outbox, now, range(6, 7))
        old, new = await take(outbox.reader("central"), 2)
    assert old.readings.device.context.said() == said
    assert new.readings.device.context.said() == {"site": "north", "line": "coating"}
    assert [each.get("phase") for each in (x.readings.device.context.said() for x in kept(log))] == ["drying", None]


async def test_receipts_of_stamped_batches_match_the_log(log: Log, context: Context) -> None:
    async with log.opened(keep=3600.0) as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        for number, batch in enumerate(["", "B-1", "B-2", "B-1"]):
            outbox.works.set("press-1", work(batch))
            await fill(outbox, device, range(number * 3, number * 3 + 3))
        reader.acknowledged(await take(reader, 12))
        log.clock.advance(3600)
        await until(lambda: not outbox.receipts.hour_is_open)
        told = []
        while len(told) < 3:
            told += [each.body for each in await take(reader, 1) if each.kind is Kind.RECEIPT]
    assert [(each["context"].get("batch"), each["readings"]) for each in told] == [(None, 9), ("B-1", 18), ("B-2", 9)]
    assert all(each.matches for each in verify_receipts(LogFiles(log.directory), told, lambda _: None))


def test_a_number_of_a_context_goes_up_to_its_last_bit() -> None:
    for number in (0, 1, 0xFFFF, 0x10000, CONTEXTS_AT_MOST):
        data = frame(Lane.DATA, CONTEXT, b"{}", context=number, own_time=True, stamp=Stamp(0, 0, 0, 0, 0, 3))
        (head,) = [head for _, head in scan(data)]
        assert (head.context, head.flags & 0b111) == (number, 0b111)


async def test_killed_while_contexts_change_no_record_says_another_ones(tmp_path: Path) -> None:
    """Each record's value is the number of its batch and phase."""
    child = Path(__file__).with_name("context_child.py")
    log = Log(tmp_path / "outbox")
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, str(child), str(log.directory)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert process.stdout is not None
        said = 0
        while said < 40:
            line = process.stdout.readline()
            assert line, "the child has ended"
            said += line.strip().isdecimal()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    found = kept(log)
    assert len(found) > 100
    for record in found:
        number = int(record.readings.value[0])
        assert worked([record]) == [(f"B-{number // 3}" if number % 3 else "", f"phase {number}" if number % 3 else "")]
    clock = FakeClock()
    outbox = Outbox.open(log.directory, log.section, clock=clock, config_hash="")
    assert outbox.status().recovered.unreadable == []
    await outbox.close()
