"""Receipts: what each device gave in an hour, what of it was delivered, and a hash over it."""

import asyncio
import json
import math
import re
import shutil
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.model import GatewaySection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device, Tag, Tags
from gateway.encode.columns import encode
from gateway.encode.record_hash import RecordHash
from gateway.outbox import Outbox, Reader
from gateway.outbox import outbox as outbox_module
from gateway.outbox.format.frames import HEAD_SIZE, scan
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.outbox.receipts import receipt_files as files
from gateway.outbox.receipts.period import HOUR_NS, Period
from gateway.outbox.write.intake import ROWS_AT_MOST
from gateway.outbox.write.writer import Writer
from gateway.publish import JsonEncoder, SinkSurroundings
from gateway.status import rendered

from .making import Log, block, fill, spec, take, until


@dataclass
class Polls:
    """Devices that were polled too late so often."""

    missed_by: dict[str, int]

    def missed(self) -> Mapping[str, int]:
        return dict(self.missed_by)


PAGE = (Path(__file__).parents[2] / "docs/consumer.md").read_text(encoding="utf-8")
HOUR = 3600
T0 = 1_800_000_000_000_000_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_TICK", 0.05)
    monkeypatch.setattr(outbox_module, "_LAST_RECORDS", 25.0)


def messages(record: Record, device: Device) -> list[dict[str, Any]]:
    """What a broker gets of it."""
    around = SinkSurroundings(GatewaySection(name="gw"), "0", FakeClock(), LiveTable(), lambda: [device])
    encoder = JsonEncoder("{device}", False, around)
    return [json.loads(message.payload) for message in encoder.messages(record)]


def consumers_digest() -> Any:
    """The function of the inspector's program: it shares no code with the gateway."""
    (code,) = re.findall(r"<!-- inspector -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    scope: dict[str, Any] = {"math": math, "struct": struct, "sha256": sha256}
    functions = re.findall(r"^def (?:leaves|short|digest)\(.*?(?=^\S|\Z)", code, re.DOTALL | re.MULTILINE)
    exec("".join(functions), scope)
    return scope["digest"]


TYPES = ("float32", "float64", "int16", "uint32", "int64", "bool", "string", "bytes", "")
FLOATS = st.floats(width=32) | st.floats() | st.integers(-(2**53), 2**53).map(float)


@st.composite
def records(draw: st.DrawFn) -> tuple[Record, Device]:
    kinds = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=6) | st.just(["float32"] * 3))
    step = draw(st.sampled_from([1, 3]))
    tags = [Tag(step * n + 1, "d", f"tag {n} °", kind) for n, kind in enumerate(kinds)]
    device = Device("d", "x", Tags("d", tags), Context(site=draw(st.text("ab=", max_size=2)), batch="B-7"))
    rows = draw(st.lists(st.integers(0, len(tags) - 1), min_size=1, max_size=9))
    exact: dict[int, Any] = {}
    value = np.array([draw(FLOATS) for _ in rows])
    for row, n in enumerate(rows):
        if kinds[n] == "bool":
            value[row] = draw(st.sampled_from([0.0, 1.0]))
        elif kinds[n] in ("int16", "uint32", "int64"):
            value[row] = draw(st.integers(-(2**31), 2**31) | st.just(-0.0))
        elif kinds[n] in ("string", "bytes", ""):
            arrays = st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=2), max_size=3)
            structures = st.dictionaries(st.text(max_size=2), arrays | st.text(max_size=2) | st.integers(), max_size=3)
            exact[row] = draw(
                {"string": st.text(max_size=5), "bytes": st.binary(max_size=5), "": arrays | structures}[kinds[n]]
            )
            value[row] = np.nan
    quality = np.array([draw(st.sampled_from([0, 0, 0, 0x8031_0000, 0x408F_0020, 64, 4096])) for _ in rows], np.uint32)
    times = np.array([T0 + draw(st.sampled_from([0, 0, -1_500_001, 7])) for _ in rows], np.int64)
    ids = np.array([tags[n].id for n in rows], np.uint32)
    ids.flags.writeable = draw(st.booleans())
    readings = Readings(device, times, ids, value, quality, exact)
    wall = T0 + draw(st.integers(0, 10**9))
    return Record("0123456789abcdef", Lane.DATA, draw(st.integers(1, 2**40)), Kind.READINGS, wall, 0, 1, 0, "0", len(rows),
                  readings), device  # fmt: skip


@given(records())
@settings(deadline=None, max_examples=150)
def test_a_consumer_computes_the_same_hash_from_the_messages(made: tuple[Record, Device]) -> None:
    record, device = made
    assert record.readings is not None
    with np.errstate(over="ignore", invalid="ignore"):
        content = RecordHash(device.tags, device.context)
        own = content.digests(record)
        assert content.digests(record) == own
        assert content.digests(record, *encode(record.readings, device.tags.ids.tobytes())) == own
    assert own == [consumers_digest()(message) for message in messages(record, device)]


@given(
    st.sampled_from(TYPES),
    st.lists(FLOATS | st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9),
    st.sampled_from([np.float64, np.float32, ">f8"]),
)
@settings(deadline=None, max_examples=300)
def test_a_plain_block_is_hashed_from_what_is_stored_as_from_its_columns(kind: str, values: list[float], dtype: Any):
    tags = Tags("d", [Tag(n + 1, "d", f"tag{n}", kind) for n in range(len(values))])
    device = Device("d", "x", tags, Context(site="north"))
    n = len(values)
    with np.errstate(over="ignore", invalid="ignore"):
        column = np.array(values).astype(dtype)
        readings = Readings(device, np.full(n, T0, np.int64), tags.ids, column, np.zeros(n, np.uint32))
        record = Record("0123456789abcdef", Lane.DATA, 7, Kind.READINGS, T0, 0, 1, 0, "0", n, readings)
        content = RecordHash(tags, device.context)
        assert content.digests(record, *encode(readings, tags.ids.tobytes())) == content.digests(record)


@given(records(), st.data())
@settings(deadline=None, max_examples=50)
def test_whatever_is_altered_in_a_message_alters_its_hash(made: tuple[Record, Device], data: st.DataObject) -> None:
    record, device = made
    digest = consumers_digest()
    message = data.draw(st.sampled_from(messages(record, device)))
    before = digest(message)
    name = data.draw(st.sampled_from(sorted(message["values"])))
    altered = [
        {**message, "values": {**message["values"], name: "other" if message["values"][name] != "other" else 1}},
        {**message, "ts": message["ts"] + 1} if len(message.get("t", ())) < len(message["values"]) else None,
        {**message, "accepted": message["accepted"] + 1},
        {**message, "id": message["id"] + ":9"},
        {**message, "q": {**message.get("q", {}), name: "bad no such word"}},
        {**message, "context": {**message["context"], "batch": "B-8"}},
        {**message, "values": {each: message["values"][each] for each in message["values"] if each != name}},
        {**message, "values": {f"{each}x": value for each, value in message["values"].items()}},
    ]
    assert before not in [digest(each) for each in altered if each is not None]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "x\ny", "b": "z"}, {"a": "x", "b": "y\nz"}),
        ({"a": None, "b": "x"}, {"a": "x", "b": None}),
        ({"a": ["x", 1]}, {"a": [1, "x"]}),
        ({"a": 16777217}, {"a": 16777216}),
    ],
)
def test_values_that_look_alike_have_another_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    message = {"id": "0:data:1", "ts": 1, "accepted": 2}
    digest = consumers_digest()
    assert digest({**message, "values": one}) != digest({**message, "values": other})


async def receipts(reader: Reader, count: int) -> list[Mapping[str, Any]]:
    """The next receipts; readings that come meanwhile stay open."""
    got: list[Mapping[str, Any]] = []
    async with asyncio.timeout(25):
        while len(got) < count:
            await reader.wait()
            for record in await reader.take(1000):
                if record.lane is Lane.ALARM:
                    reader.acknowledged([record])
                if record.kind is Kind.RECEIPT and record.body is not None:
                    got.append(record.body)
    return got


def chain(digests: Sequence[bytes]) -> str:
    value = bytes(32)
    for each in digests:
        value = sha256(value + each).digest()
    return value.hex()


def expected(device: Device, taken: Sequence[Record]) -> str:
    digest = consumers_digest()
    own = [each for each in taken if each.readings is not None and each.readings.device is device]
    return chain([digest(message) for each in own for message in messages(each, device)])


async def test_an_hour_of_two_devices_gives_a_receipt_each_that_adds_up(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        press, oven = outbox.bind(spec("press"), context), outbox.bind(spec("oven", 2), context)
        reader = outbox.reader("central")
        for number in range(5):
            outbox.receipts.read(press, 3)
            await fill(outbox, press, range(number, number + 1))
        outbox.receipts.read(oven, 8)
        await fill(outbox, oven, range(3))
        taken = await take(reader, 8)
        reader.acknowledged(taken)
        log.clock.advance(HOUR)
        told = {body["device"]: body for body in await receipts(reader, 2)}
    assert told["press"]["hash"] == expected(press, taken)
    assert told["oven"]["hash"] == expected(oven, taken)
    assert (told["press"]["read"], told["press"]["readings"], told["press"]["records"]) == (15, 15, 5)
    assert (told["oven"]["read"], told["oven"]["readings"], told["oven"]["first"], told["oven"]["last"]) == (8, 6, 6, 8)
    assert all(body["final"] and body["revision"] == 1 for body in told.values())
    assert told["oven"]["sinks"] == {"central": {"acknowledged": 6, "pending": 0, "dropped": {}}}
    assert told["oven"]["context"] == {"site": "north", "line": "coating"}


async def test_a_receipt_is_issued_anew_until_nothing_is_pending(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device, other = outbox.bind(spec("press"), context), outbox.bind(spec("oven"), context)
        central, lake = outbox.reader("central"), outbox.reader("lake")
        await fill(outbox, device, range(4))
        await fill(outbox, other, range(4))
        log.clock.advance(HOUR)
        await until(lambda: not outbox.receipts.hour_is_open)
        log.clock.advance(11)
        first = await receipts(central, 2)
        assert [(body["revision"], body["final"]) for body in first] == [(1, False)] * 2
        assert first[0]["sinks"]["lake"] == {"acknowledged": 0, "pending": 12, "dropped": {}}
        central.rewind()
        taken = [record for record in await take(central, 8) if record.lane is Lane.DATA]
        central.acknowledged(taken)
        second = await receipts(central, 2)
        assert [(body["revision"], body["final"]) for body in second] == [(2, False)] * 2
        assert [body["sinks"]["central"]["acknowledged"] for body in second] == [12, 12]
        got = [record for record in await take(lake, 8) if record.lane is Lane.DATA]
        lake.refused(got[1], "too large", final=True)
        lake.acknowledged([got[0], *got[2:]])
        last = {body["device"]: body for body in await receipts(central, 2)}
    assert all(body["final"] and body["revision"] == 3 for body in last.values())
    assert last["press"]["sinks"]["lake"] == {"acknowledged": 9, "pending": 0, "dropped": {"refused: too large": 3}}
    assert last["oven"]["sinks"]["lake"] == {"acknowledged": 12, "pending": 0, "dropped": {}}


async def test_what_was_read_counts_to_the_hour_of_its_own_record_though_the_disk_is_slow(
    log: Log, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, write = threading.Event(), Writer._write
    monkeypatch.setattr(Writer, "_write", lambda writer, group: (free.wait(25), write(writer, group))[1])
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec("press"), context), outbox.reader("central")
        for number, read in enumerate((4, 7)):
            outbox.receipts.read(device, read)
            outbox.append(block(device, number))
            outbox.flush()
            log.clock.advance(HOUR)
        free.set()
        reader.acknowledged([record for record in await take(reader, 2) if record.lane is Lane.DATA])
        told = await receipts(reader, 2)
    assert [(body["read"], body["readings"]) for body in told] == [(4, 3), (7, 3)]


async def test_a_block_that_becomes_several_records_is_counted_once(log: Log, context: Context) -> None:
    rows = 2 * ROWS_AT_MOST + 1
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec("press", tags=3), context), outbox.reader("central")
        columns = {"t_ns": np.full(rows, T0), "tag": np.full(rows, device.tags.ids[0])}
        outbox.receipts.read(device, rows)
        outbox.append(block(device, 0, **columns, value=np.zeros(rows), quality=np.zeros(rows, np.uint32)))
        reader.acknowledged(await take(reader, 3))
        log.clock.advance(HOUR)
        (told,) = await receipts(reader, 1)
    assert (told["read"], told["readings"]) == (rows, rows)


async def test_another_batch_has_a_receipt_of_its_own(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        for batch in ("B-1", "B-2"):
            await fill(outbox, outbox.bind(spec("press"), Context(site="north", batch=batch)), range(2))
        reader.acknowledged(await take(reader, 4))
        log.clock.advance(HOUR)
        told = await receipts(reader, 2)
    assert [(body["context"]["batch"], body["readings"]) for body in told] == [("B-1", 6), ("B-2", 6)]


async def test_a_step_of_the_clock_ends_a_receipt(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec("press"), context), outbox.reader("central")
        await fill(outbox, device, range(2))
        log.clock.step(-120)
        await fill(outbox, device, range(3))
        reader.acknowledged([record for record in await take(reader, 5) if record.lane is Lane.DATA])
        log.clock.advance(2 * HOUR)
        told = await receipts(reader, 2)
    assert [body["readings"] for body in told] == [6, 9]
    assert told[1]["epoch"] == told[0]["epoch"] + 1


async def test_it_says_when_a_device_was_away_and_what_was_missed(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec("press"), context), outbox.reader("central")
        polls = {"press": 4}
        outbox.receipts.count_missed(Polls(polls))
        await fill(outbox, device, range(1))
        start = log.clock.wall // 10**6
        outbox.receipts.device_changed(device, False, "no answer within 3 s")
        log.clock.advance(60)
        outbox.receipts.device_changed(device, True, "")
        log.clock.advance(60)
        outbox.receipts.device_changed(device, False, "no route")
        reader.acknowledged(await take(reader, 1))
        log.clock.advance(HOUR)
        (first,) = await receipts(reader, 1)
        polls["press"] = 7
        log.clock.advance(HOUR)
        (second,) = await receipts(reader, 1)
    assert first["gaps"] == [
        {"reason": "offline: no answer within 3 s", "from": start, "to": start + 60_000},
        {"reason": "offline: no route", "from": start + 120_000, "to": None},
    ]
    assert (first["missed_polls"], second["missed_polls"]) == (4, 3)
    assert (second["records"], second["readings"], second["final"]) == (0, 0, True)
    assert [gap["reason"] for gap in second["gaps"]] == ["offline: no route"]


def copy_as_killed(outbox: Outbox, log: Log, target: Path) -> None:
    """The directory as a kill -9 would leave it now: the event loop stands still, and the writer has nothing to do."""
    idle = threading.Event()
    outbox._writer._jobs.put(idle.set)
    assert idle.wait(30)
    shutil.copytree(log.directory, target)


@pytest.mark.parametrize("size", [64 * 1024, 2**40], ids=["many files", "one file"])
async def test_a_kill_leaves_a_right_receipt_that_says_what_was_interrupted(
    log: Log, context: Context, size: int, tmp_path: Path
) -> None:
    options = {"segment_size": 64 * 1024, "max_size": 2**40 if size > 2**30 else 2**30}
    async with log.opened(**options) as outbox:
        device, reader = outbox.bind(spec("press", 40), context), outbox.reader("central")
        outbox.receipts.read(device, 1)
        await fill(outbox, device, range(800))
        taken = [record for record in await take(reader, 800) if record.lane is Lane.DATA]
        reader.acknowledged(taken[:600])
        await until(lambda: len(log.files()) < 3 or size > 2**30)
        last = taken[-1].wall_ns
        saved = tmp_path / "killed"
        copy_as_killed(outbox, log, saved)
    for path in [path for path in log.directory.rglob("*") if path.is_file()]:
        path.unlink()
    shutil.copytree(saved, log.directory, dirs_exist_ok=True)
    log.clock.advance(300)
    async with log.opened(**options) as outbox:
        device, reader = outbox.bind(spec("press", 40), context), outbox.reader("central")
        await fill(outbox, device, range(1))
        while reader.pending["data"]:
            reader.acknowledged([record for record in await take(reader, 1) if record.lane is Lane.DATA])
        log.clock.advance(HOUR)
        first, second = await receipts(reader, 2)
    assert (first["readings"], first["records"], first["interrupted"], first["read"]) == (32000, 800, True, None)
    assert first["hash"] == expected(taken[0].readings.device, taken)  # type: ignore[union-attr]
    assert first["final"]
    assert first["sinks"]["central"]["acknowledged"] == 32000
    assert not second["interrupted"]
    (gap,) = second["gaps"]
    assert (gap["reason"], gap["from"]) == ("the gateway was killed", last // 10**6)


async def test_an_orderly_restart_goes_on_with_receipts_that_were_not_final(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device = outbox.bind(spec("press"), context)
        outbox.reader("central")
        outbox.receipts.read(device, 9)
        await fill(outbox, device, range(3))
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        reader.acknowledged([record for record in await take(reader, 3) if record.lane is Lane.DATA])
        (told,) = await receipts(reader, 1)
    assert (told["read"], told["readings"], told["interrupted"], told["final"]) == (9, 9, False, True)
    assert [path.name for path in (log.directory / "receipts").iterdir()] == [f"{1:016x}.final"]


async def test_what_is_given_up_or_not_accepted_stands_in_the_receipt(log: Log, context: Context) -> None:
    async with log.opened(segment_size=64 * 1024, max_size=1024 * 1024) as outbox:
        device, reader = outbox.bind(spec("press", 500), context), outbox.reader("central")
        await fill(outbox, device, range(600))
        outbox.receipts.not_accepted(device, 7)
        await until(lambda: reader.status().lanes["data"].dropped, 25)
        left: list[Record] = []
        while reader.pending["data"]:
            left = await take(reader, 1)
            reader.acknowledged(left)
        balance = rendered(reader.status())["lanes"]["data"]
        log.clock.advance(HOUR)
        (told,) = await receipts(reader, 1)
    account = told["sinks"]["central"]
    assert (told["readings"], told["not_accepted"]) == (300_000, 7)
    assert account["dropped"] == balance["dropped"]
    assert account["acknowledged"] == balance["acknowledged"]
    assert account["acknowledged"] + sum(account["dropped"].values()) == told["readings"]


@pytest.mark.parametrize("damage", [b"", b"00000000 {}\n", b'58d395ac {"period":{}}\n'], ids=["empty", "crc", "shape"])
async def test_damaged_files_of_receipts_stop_no_start_and_what_is_on_disk_is_counted_again(
    log: Log, context: Context, damage: bytes, tmp_path: Path
) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec("press"), context), outbox.reader("central")
        await fill(outbox, device, range(9))
        await until(lambda: (log.directory / "receipts" / "open.json").exists())
        copy_as_killed(outbox, log, tmp_path / "killed")
    for path in [path for path in log.directory.rglob("*") if path.is_file()]:
        path.unlink()
    shutil.copytree(tmp_path / "killed", log.directory, dirs_exist_ok=True)
    for name in ("open.json", f"{1:016x}.pending", f"{0:016x}.final"):
        (log.directory / "receipts" / name).write_bytes(damage)
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        while reader.pending["data"]:
            reader.acknowledged([record for record in await take(reader, 1) if record.lane is Lane.DATA])
        (told,) = await receipts(reader, 1)
    assert (told["readings"], told["records"], told["interrupted"], told["final"]) == (27, 9, True, True)


async def test_a_record_that_is_damaged_after_a_kill_makes_a_receipt_that_says_it_is_incomplete(
    log: Log, context: Context, tmp_path: Path
) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec("press"), context), outbox.reader("central")
        await fill(outbox, device, range(9))
        copy_as_killed(outbox, log, tmp_path / "killed")
    for path in [path for path in log.directory.rglob("*") if path.is_file()]:
        path.unlink()
    shutil.copytree(tmp_path / "killed", log.directory, dirs_exist_ok=True)
    (path,) = log.files()
    data = bytearray(path.read_bytes())
    (place,) = [at for at, head in scan(bytes(data), HEADER_SIZE) if head.seq == 4 and head.kind == Kind.READINGS]
    data[place + HEAD_SIZE] ^= 1
    path.write_bytes(data)
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        while reader.pending["data"]:
            reader.acknowledged([record for record in await take(reader, 1) if record.lane is Lane.DATA])
        (told,) = await receipts(reader, 1)
    assert (told["readings"], told["records"], told["incomplete"]) == (24, 8, True)


@pytest.mark.parametrize("step", [-365 * 86_400.0, 365 * 86_400.0])
async def test_a_clock_that_is_set_ends_the_hour_also_when_nothing_is_read_any_more(log, context, step):
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(3))
        assert outbox.receipts.hour_is_open
        log.clock.step(step)
        await until(lambda: not outbox.receipts.hour_is_open)


def test_only_the_files_of_hours_that_are_asked_for_are_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = [0, 1, 2, 5, 4, 3, 9]  # the clock was set back between them
    for number, hour in enumerate(hours, 1):
        wall_ns = 1_800_000_000_000_000_000 + hour * HOUR_NS + number
        period = Period(number, wall_ns, 1, final=True, wall_to_ns=wall_ns + 1)
        (tmp_path / f"{number:016x}.final").write_bytes(files.packed(period, []))
    (tmp_path / f"{20:016x}.final").write_bytes(b"damaged")
    loaded: list[str] = []

    def load(path: Path) -> None:
        loaded.append(path.name)

    monkeypatch.setattr(files, "load", load)
    first = 1_800_000_000_000_000_000 // HOUR_NS * HOUR_NS
    for low, high in [(0, 1), (2, 3), (3, 6), (-5, 20), (6, 7)]:
        for inside in (0, 1, HOUR_NS // 2, HOUR_NS - 1):
            loaded.clear()
            files.kept(tmp_path, first + low * HOUR_NS + inside, first + (high - 1) * HOUR_NS + inside + 1)
            wanted = [f"{number:016x}.final" for number, hour in enumerate(hours, 1) if low <= hour < high]
            assert loaded == [*wanted, f"{20:016x}.final"]
