"""docs/format.md is enough to read a log by, and says what the gateway writes."""

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from gateway.core.clock import ClockState
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane
from gateway.core.tag import Device, Tag, Tags
from gateway.encode import columns
from gateway.outbox.format.frames import Stamp, frame
from gateway.outbox.format.segment import header

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
LOG, AT = "b41db82836474bc2", 1_767_225_600_000_000_000


def dumped() -> bytes:
    """The bytes of the page's dump."""
    rows = re.findall(r"^[0-9a-f]{8}  ([0-9a-f ]{47,48})  \|", PAGE, re.MULTILINE)
    return bytes.fromhex("".join(rows))


def fields(title: str) -> list[tuple[int, int]]:
    """Place and size of each field of a table."""
    table = PAGE.partition(f"| at | bytes | {title} |\n")[2].partition("\n\n")[0]
    return [(int(at), int(size)) for at, size in re.findall(r"^\| (\d+) \| (\d+) \|", table, re.MULTILINE)]


@pytest.mark.parametrize(("title", "whole"), [("header of a segment", 48), ("header of a frame", 72)])
def test_the_fields_stand_one_behind_the_other(title: str, whole: int) -> None:
    places = fields(title)
    assert [at for at, _ in places] + [whole] == [0, *(at + size for at, size in places)]


def test_the_dump_is_read_by_the_page_alone() -> None:
    data = dumped()

    def number(title: str, row: int, base: int) -> int:
        at, size = fields(title)[row]
        return int.from_bytes(data[base + at : base + at + size], "little")

    segment = [number("header of a segment", row, 0) for row in range(len(fields("header of a segment")))]
    assert data[:8] == b"EGWSEG1\n"
    assert data[12:28] == LOG.encode()
    assert segment[1:4] + segment[5:7] == [1, 1, 0, 42, 100]
    assert segment[7] == zlib.crc32(data[:44])
    record = [number("header of a frame", row, 48) for row in range(len(fields("header of a frame")))]
    assert data[48:52] == b"EGW1"
    payload = data[120:]
    assert record[1:] == [
        len(payload), 42, 100, AT + 100_000_000, 3_600_000_000_000, 2, 5, 1, 0xDEADBEEF, 3, 1, 0, 1, 1 + 2 + 4 + 16 + 64,
        1, 0, zlib.crc32(payload, zlib.crc32(data[48:116])),
    ]  # fmt: skip
    assert struct.unpack_from("<qff", payload)[:2] == (AT, 1.5)
    assert np.isnan(struct.unpack_from("<qff", payload)[2])
    assert struct.unpack_from("<IIcI", payload, 16) == (1, 1, b"s", 3)
    assert payload[29:] == b"A-1"


def test_the_gateway_writes_what_the_page_shows() -> None:
    tags = Tags("press-1", [Tag(7, "press-1", "speed", "float64"), Tag(8, "press-1", "serial", "string")])
    values, good = np.array([1.5, np.nan]), np.zeros(2, np.uint32)
    readings = Readings(Device("press-1", "simulated", tags), np.full(2, AT), tags.ids, values, good, {1: "A-1"})
    shape, payload = columns.encode(readings, tags.ids.tobytes())
    record = frame(
        Lane.DATA, Kind.READINGS, payload, seq=42, total=100, rows=2, source=3, codec=columns.CODEC, shape=shape,
        stamp=Stamp(AT + 100_000_000, 3_600_000_000_000, 5, 1, 0xDEADBEEF, ClockState.SYNCHRONISED),
    )  # fmt: skip
    assert header(LOG, Lane.DATA, 42, 100) + record == dumped()
