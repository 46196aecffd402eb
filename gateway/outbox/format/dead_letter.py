"""A record that a far side will never take, as a file of its own: JSON, and a line with its CRC-32."""

import base64
import hashlib
import zlib
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson

from gateway.core.clock import ClockState
from gateway.core.parsing import doubting, parse_json
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.text import cleaned
from gateway.core.times import EARLIEST, LATEST
from gateway.encode import columns
from gateway.outbox.format.bodies import encoded
from gateway.outbox.format.definition import define, read_definition
from gateway.outbox.format.frames import FARTHEST, PAYLOAD_AT_MOST, ROWS_AT_MOST
from gateway.outbox.format.identity import LOG_ID
from gateway.outbox.format.record_reading import check_body

LETTER_AT_MOST = 2 * PAYLOAD_AT_MOST
"""Bytes of a letter's file."""
_LONGEST_NAME = 150
"""Bytes of a sink's name in the name of a file; 255 is what file systems take, and there is more in it."""
_ENUMS = {"lane": Lane, "kind": Kind, "clock": ClockState}
_NUMBERS = {
    "seq": (1, FARTHEST),
    "wall_ns": (EARLIEST, LATEST),
    "boot_ns": (0, FARTHEST),
    "boot": (0, 1 << 32),
    "epoch": (0, 1 << 32),
    "rows": (1, ROWS_AT_MOST),
}
"""Of a record: least and greatest."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A record, for which sink it was, and why that did not take it."""

    sink: str
    reason: str
    died_ns: int
    """When it was refused, ns since 1970."""
    record: Record

    @property
    def name(self) -> str:
        """Name of its file; the same for the same record and sink."""
        return f"{file_name(self.sink)}.{self.record.log}.{self.record.lane.word}.{self.record.seq}.dead"

    @property
    def about(self) -> str:
        """The device whose readings it holds, or what else it is."""
        readings = self.record.readings
        return self.record.kind.name.lower() if readings is None else readings.device.name

    def summary(self) -> dict[str, Any]:
        """What a list shows of it."""
        return {
            "id": self.record.id,
            "sink": self.sink,
            "about": self.about,
            "readings": self.record.rows,
            "accepted_ns": self.record.wall_ns,
            "died_ns": self.died_ns,
            "reason": self.reason,
        }


def file_name(sink: str) -> str:
    """A sink's name as a part of the name of a file; of a long one, its beginning and its hash."""
    name = quote(sink, safe=" ")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 17]}~{hashlib.sha256(sink.encode()).hexdigest()[:16]}"


def dump_letter(letter: Letter) -> bytes:
    """The file's content."""
    record = letter.record
    body: dict[str, Any] = {field.name: getattr(record, field.name) for field in fields(record)}
    if record.readings is not None:
        body["readings"] = _dump_readings(record.readings)
    said = {"sink": letter.sink, "reason": letter.reason, "died_ns": letter.died_ns, "record": body}
    try:
        content = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # what the log holds may hold what this does not: half a character, a number of many digits
        body["body"] = encoded(record.kind, record.body or {})[1] if record.readings is None else None
        content = orjson.dumps({**said, "sink": cleaned(letter.sink), "reason": cleaned(letter.reason)})
    return content + b"\n%08x\n" % zlib.crc32(content)


def _dump_readings(readings: Readings) -> dict[str, Any]:
    definition = define(1, readings.device, "")
    with np.errstate(over="ignore"):
        shape, payload = columns.encode(readings, readings.device.tags.ids.tobytes())
    return {
        "device": orjson.Fragment(definition.text),
        "rows": len(readings),
        "codec": columns.CODEC,
        "shape": shape,
        "payload": base64.b64encode(payload).decode(),
        "own_time": readings.own_time,
    }


def load_letter(data: bytes) -> Letter:
    """The inverse. Raises ValueError for a file that is not as it was written."""
    content, _, crc = data.rstrip(b"\n").rpartition(b"\n")
    if crc != b"%08x" % zlib.crc32(content):
        raise ValueError("its checksum is wrong, or a part of it is missing")
    with doubting(ValueError):
        said = parse_json(content, size=LETTER_AT_MOST)
        letter = Letter(str(said["sink"]), str(said["reason"]), said["died_ns"], _load_record(said["record"]))
        _check_number("died_ns", letter.died_ns, EARLIEST, LATEST)
        return letter


def _load_record(body: dict[str, Any]) -> Record:
    for name, kind in _ENUMS.items():
        body[name] = kind(body[name])
    for name, (least, greatest) in _NUMBERS.items():
        _check_number(name, body[name], least, greatest)
    if body["corrected_ns"] is not None:
        _check_number("corrected_ns", body["corrected_ns"], EARLIEST, LATEST)
    if not LOG_ID.fullmatch(body["log"]) or len(str(body["config"])) > 8:
        raise ValueError("it does not say which log and configuration it is of")
    if body["kind"] is Kind.READINGS:
        body["readings"], body["body"] = _load_readings(body["readings"]), None
    else:
        body["readings"], body["body"] = None, check_body(body["kind"], body["body"])
    return Record(**body)


def _check_number(name: str, value: Any, least: int, greatest: int) -> None:
    if type(value) is not int or not least <= value <= greatest:
        raise ValueError(f"{name} cannot be {value!r}")


def _load_readings(body: dict[str, Any]) -> Readings:
    if body["codec"] != columns.CODEC:
        raise ValueError(f"codec {body['codec']} is not known")
    _check_number("rows", body["rows"], 1, ROWS_AT_MOST)
    device = read_definition(orjson.dumps(body["device"])).device
    payload = memoryview(base64.b64decode(body["payload"]))
    readings = columns.decode(payload, body["shape"], body["rows"], device)
    if not columns.are_of(readings.tag, device):
        raise ValueError(f"it has rows of tags that {device} has not")
    return readings if not body["own_time"] else _with_own_time(readings)


def _with_own_time(readings: Readings) -> Readings:
    return Readings(
        readings.device, readings.t_ns, readings.tag, readings.value, readings.quality, readings.exact, own_time=True
    )
