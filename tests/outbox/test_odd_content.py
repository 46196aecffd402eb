"""What is handed to the log may hold anything; and whatever a parser's inside raises comes out as the parser's own error."""

import asyncio
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from gateway.core.context import Context
from gateway.core.event import Event
from gateway.core.record import Kind, Lane, Record
from gateway.encode import columns
from gateway.encode import exact_bytes as exact
from gateway.outbox.format import clock_correction as synced
from gateway.outbox.format import cursor as progress
from gateway.outbox.format import dead_letter, definition, dictionary, identity, record_reading
from gateway.outbox.format.bodies import BODY_AT_MOST, encoded
from gateway.outbox.format.frames import HEAD_SIZE, frame, peek, scan
from gateway.outbox.format.record_reading import read_body
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.outbox.receipts import receipt_files as receipts_files
from gateway.outbox.start import recovery
from gateway.outbox.start.recovery import recover
from gateway.plugin.driver import Found
from tests.outbox.making import Log, block, fill, spec, take, values
from tests.outbox.test_wild import encoder, make


class Bad:
    """Raises whatever is asked of it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


ODD_DETAILS = {
    "surrogates": {"text": "half \ud83d", "half \udcff": 1},
    "numbers": {"nan": float("nan"), "inf": float("inf"), "huge": 10**5000, "wide": 1 << 70, "numpy": np.float32(2.5)},
    "bytes": {"raw": b"\xff\0", "array": np.arange(3), "zero": np.zeros(())},
    "keys": {1: "one", None: "none", (1, 2): "pair", b"x": "bytes"},
    "deep": {"deep": nested(200)},
    "very deep": {"deep": nested(100_000)},
    "objects": {"bad": Bad(), "list": [Bad()], "type": int, "set": {1, 2}},
    "large": {"text": "x" * (BODY_AT_MOST + 1)},
    "its own device": {"device": 7},
    "no mapping": 7,
}


@pytest.mark.parametrize("detail", ODD_DETAILS.values(), ids=ODD_DETAILS)
async def test_an_event_with_odd_content_is_stored_and_sent_and_says_what_it_lacks(log: Log, detail) -> None:
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        outbox.append_event(Event("odd", "alarm", "raised", "press-1", 1, "hot \ud800", detail=detail))
        outbox.append_event(Event("next", "alarm", "raised", "press-1", 1, "next"))
        records = await take(reader, 2)
        assert [record.body["event"] for record in records] == ["odd", "next"]
        assert all(encoder().messages(record) for record in records)
        assert records[0].body["not_kept"]
    async with log.opened() as outbox:  # the same from disk
        again = await take(outbox.reader("central"), 2)
        assert [dict(record.body) for record in again] == [dict(record.body) for record in records]


def test_what_json_holds_is_stored_as_it_is() -> None:
    body = {"event": "e", "device": "press-1", "n": [1, 2.5, None, True, {"a": "é"}]}
    data, said = encoded(Kind.EVENT, body)
    assert said == body == read_body(Kind.EVENT, data)


ODD_BLOCKS = {
    "short values": {"value": np.zeros(2)},
    "long times": {"t_ns": np.zeros(4, np.int64)},
    "a table": {"value": np.zeros((3, 1))},
    "objects": {"value": np.array([Bad(), 1, 2], object)},
    "texts": {"value": np.array(["a", "b", "c"])},
    "foreign tags": {"tag": np.array([1, 2, 4_000_000_000], np.uint32)},
    "lists": {"quality": [0, 0, 0]},
    "rows it has not": {"exact": {3: "x"}},
    "rows that are none": {"exact": {"a": "x"}},
    "a giant": {"exact": {0: "x" * (17 * 1024 * 1024)}},
}


@pytest.mark.parametrize("columns", ODD_BLOCKS.values(), ids=ODD_BLOCKS)
async def test_a_block_that_cannot_be_stored_is_counted_and_told_and_the_next_one_flows(
    log: Log, context, columns
) -> None:
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        outbox.append(block(device, 1, **columns))
        await fill(outbox, device, range(2, 3))
        log.clock.advance(2)
        outbox._tick()
        records = await take(reader, 2)
        (loss,) = [record.body for record in records if record.kind is Kind.LOSS]
        assert (loss["rows"], loss["accepted"]) == (3, False)
        assert "press-1 gave cannot be stored" in loss["reason"]
        assert [record.readings.value[0] for record in records if record.kind is Kind.READINGS] == [2.0]
        (receipt,) = await outbox.receipts.so_far(-(2**63), 2**63 - 1)
        assert (receipt["readings"], receipt["not_accepted"]) == (3, 3)


ODD_VALUES = [
    10**5000,
    -(10**5000),
    nested(100),
    nested(100_000),
    Bad(),
    [Bad()],
    np.zeros(()),
    {"a": 1},
    "\ud800",
    1 << 64,
]


@pytest.mark.parametrize("value", ODD_VALUES, ids=[type(each).__name__ + str(n) for n, each in enumerate(ODD_VALUES)])
async def test_an_odd_value_is_the_same_in_memory_and_from_disk_and_can_be_sent(log: Log, context, value) -> None:
    async with log.opened() as outbox:
        outbox.append(block(outbox.bind(spec(), context), 1, exact={1: value}))
        (record,) = await take(outbox.reader("central"), 1)
        said = encoder().messages(record)
        kept = record.readings.exact[1]
    async with log.opened() as outbox:
        (again,) = await take(outbox.reader("central"), 1)
        assert again.readings.exact[1] == kept
        payloads = [message.payload.replace(b',"historical":true', b"") for message in encoder().messages(again)]
        assert payloads == [message.payload for message in said]


RAISED = [
    RecursionError("deep"),
    MemoryError(),
    TypeError("type"),
    struct.error("short"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    KeyError("key"),
    OverflowError("wide"),
]


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    log = Log(tmp_path_factory.mktemp("real") / "outbox")
    files = asyncio.run(make(log))
    for name, data in files.items():
        (log.directory / name).parent.mkdir(exist_ok=True)
        (log.directory / name).write_bytes(data)
    return log.directory


def a(real: Path, pattern: str) -> Path:
    return next(iter(sorted(real.glob(pattern))))


def read_frame(real: Path) -> None:
    data = a(real, "data/*.seg").read_bytes()
    at, head = next((at, head) for at, head in scan(data, HEADER_SIZE) if head.kind == Kind.READINGS)
    known = dictionary.Dictionary()
    known.load((real / "tags").read_bytes())
    record_reading.read_record(head, memoryview(data)[at + HEAD_SIZE : at + head.size], real, "x" * 16, known)


def learned(real: Path) -> None:
    definition.read_definition((real / "tags").read_bytes().splitlines()[0][9:])


PARSERS = {
    "identity": (identity, "parse_json", lambda real: identity.read_identity(real / "log.json")),
    "cursor": (progress, "parse_json", lambda real: progress.read_cursor(a(real, "cursors/*.json"), "x")),
    "definition": (definition.orjson, "loads", learned),
    "dead letter": (dead_letter, "parse_json", lambda real: dead_letter.load_letter(a(real, "dead/*").read_bytes())),
    "frame": (record_reading.columns, "decode", read_frame),
    "body": (
        record_reading,
        "check_body",
        lambda real: record_reading.read_record(head_of_event(), memoryview(b"{}"), real, "x", None),
    ),
    "exact": (exact, "_get", lambda real: exact.decode(b"\1\0\0\0\0\0\0\0N")),
    "column": (record_reading.columns.np, "frombuffer", read_frame),
}


def head_of_event():
    return peek(frame(Lane.ALARM, Kind.EVENT, b"{}", seq=1, rows=1), 0)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", PARSERS)
def test_whatever_is_raised_inside_a_parser_is_its_own_error(real, name, error, monkeypatch) -> None:
    module, inner, call = PARSERS[name]

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, inner, fails)
    with pytest.raises(ValueError):
        call(real)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_and_those_that_go_on_without_say_nothing_is_there(real, error, monkeypatch, tmp_path: Path) -> None:
    real = Path(shutil.copytree(real, tmp_path / "outbox"))

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(synced, "parse_json", fails)
    assert not synced.read_synced(real / "synced.json")._offsets
    monkeypatch.setattr(receipts_files, "parse_json", fails)
    assert receipts_files.load(a(real, "receipts/*.pending")) is None
    monkeypatch.setattr(recovery, "read_header", fails)
    log_id = identity.orjson.loads((real / "log.json").read_bytes())["log"]
    found = recover(real, log_id)
    assert found.unreadable
    assert not any(found.lanes.values())


def test_a_sinks_long_name_has_a_cursor_and_dead_letters_too(tmp_path: Path) -> None:
    """A file's name has 255 bytes, and 27 letters of Korean become 243."""

    async def twice() -> None:
        log = Log(tmp_path / "outbox")
        names = ["게" * 27, "게" * 80, "게" * 79 + "a", "Central", "central", "..", "a/b%"]
        async with log.opened() as outbox:
            device = outbox.bind(spec(), Context())
            readers = [outbox.reader(name) for name in names]
            await fill(outbox, device, range(3))
            for number, reader in enumerate(readers):
                records = await take(reader, 3)
                reader.refused(records[0], "no", final=True)
                reader.acknowledged(records[1 : 1 + number % 3])
        async with log.opened() as outbox:
            for number, name in enumerate(names):
                assert outbox.reader(name).status().lanes["data"].acknowledged == 3 * min(number % 3, 2)
            assert outbox.dead.status().sinks == dict.fromkeys(names, 1)

    asyncio.run(twice())


ODD_WORDS = "half \ud800 \x1b[31m\nand more " + "x" * 5000


async def test_odd_reasons_of_devices_and_far_sides_end_neither_the_house_keeping_nor_a_restart(
    log: Log, context
) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        await fill(outbox, device, range(3))
        records = await take(reader, 3)
        reader.refused(records[0], ODD_WORDS, final=True)
        reader.acknowledged(records[1:])
        outbox.receipts.device_changed(device, False, ODD_WORDS)
        log.clock.advance(3700)
        for _ in range(3):
            outbox._tick()
            await outbox._issue_receipts()
        await outbox.written_out(5)
        assert all(encoder().messages(record) for record in await take(reader, 3))
    async with log.opened() as outbox:
        (reason,) = outbox.reader("central").status().lanes["data"].dropped
        assert reason.startswith("refused: half \N{REPLACEMENT CHARACTER}  [31m and more")
        assert outbox.dead.status().letters == 1
        assert (await outbox.revive()) == [records[0].id]


async def test_odd_words_that_a_device_finds_for_its_tags_are_kept_as_text(log: Log, context) -> None:
    found = {"tag0": Found("float64", "\ud800C", "line\nfeed \udcff"), "tag1": Found("", 7, None)}  # type: ignore[arg-type]
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context, found)
        await fill(outbox, device, range(1))
    async with log.opened() as outbox:
        again = outbox.bind(spec(), context)
        assert [tag.id for tag in again.tags] == [tag.id for tag in device.tags]
        assert again.tags[0].description == "line feed \N{REPLACEMENT CHARACTER}"


def test_a_dead_letter_of_a_record_that_json_does_not_hold_is_still_a_letter() -> None:
    body = {"event": "e", "device": "a", "text": "\ud800", "n": 1 << 80}
    record = Record("0" * 16, Lane.ALARM, 1, Kind.EVENT, 1, 1, 1, 1, "c0ffee00", 1, None, body)
    letter = dead_letter.load_letter(dead_letter.dump_letter(dead_letter.Letter("central", "no \ud800", 1, record)))
    assert letter.record.body["not_kept"]
    assert letter.record.body["event"] == "e"


async def test_a_block_that_breaks_the_encoding_costs_no_other_of_its_group(log, context, monkeypatch):
    """A bug, or a block of a kind that nobody has thought of."""
    encode = columns.encode

    def breaks(readings, device_tags):
        if readings.device.name == "odd":
            raise ZeroDivisionError("a bug")
        return encode(readings, device_tags)

    monkeypatch.setattr(columns, "encode", breaks)
    async with log.opened() as outbox:
        odd, good = outbox.bind(spec("odd"), context), outbox.bind(spec("good"), context)
        reader = outbox.reader("central")
        for number in range(3):
            outbox.append(block(good, number))
            outbox.receipts.read(odd, 3)
            outbox.append(block(odd, number))
            outbox.append_event(Event(f"e{number}", "alarm", "raised", "good", 1, "hot", "alarm"))
        records = await take(reader, 7)
        assert values(records) == [0, 1, 2]
        assert [record.seq for record in records if record.readings is not None] == [1, 2, 3], "no number is left out"
        assert outbox.status().room.not_accepted == 9
        (loss,) = [record.body for record in records if record.kind is Kind.LOSS]
        assert (loss["rows"], loss["reason"]) == (9, "what odd gave cannot be stored: ZeroDivisionError: a bug")
        monkeypatch.undo()
        outbox.append(block(odd, 4))
        assert values(await take(reader, 1)) == [4.0]
    async with log.opened() as outbox:
        assert not outbox.status().recovered.damaged
