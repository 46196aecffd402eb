"""A record that a far side will never take, as a file of its own: JSON, and a line with its CRC-32."""

import base64
import zlib
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson

from gateway.core.clock import ClockState
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.outbox import columns
from gateway.outbox.dictionary import Dictionary

_ENUMS = {"lane": Lane, "kind": Kind, "clock": ClockState}


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
        return f"{quote(self.sink, safe=' ')}.{self.record.log}.{self.record.lane.word}.{self.record.seq}.dead"

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


def dump(letter: Letter) -> bytes:
    """The file's content."""
    record = letter.record
    body: dict[str, Any] = {field.name: getattr(record, field.name) for field in fields(record)}
    if record.readings is not None:
        body["readings"] = _dump_readings(record.readings)
    said = {"sink": letter.sink, "reason": letter.reason, "died_ns": letter.died_ns, "record": body}
    content = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    return content + b"\n%08x\n" % zlib.crc32(content)


def _dump_readings(readings: Readings) -> dict[str, Any]:
    source = Dictionary().source(readings.device)
    with np.errstate(over="ignore"):
        shape, payload = columns.encode(readings, readings.device.tags.ids.tobytes())
    return {
        "device": orjson.Fragment(source.definition),
        "rows": len(readings),
        "codec": columns.CODEC,
        "shape": shape,
        "payload": base64.b64encode(payload).decode(),
        "own_time": readings.own_time,
    }


def load(data: bytes) -> Letter:
    """The inverse. Raises ValueError for a file that is not as it was written."""
    content, _, crc = data.rstrip(b"\n").rpartition(b"\n")
    try:
        if crc != b"%08x" % zlib.crc32(content):
            raise ValueError("its checksum is wrong, or a part of it is missing")
        said = orjson.loads(content)
        body = said["record"]
        for name, kind in _ENUMS.items():
            body[name] = kind(body[name])
        if body["readings"] is not None:
            body["readings"] = _load_readings(body["readings"])
        return Letter(said["sink"], said["reason"], said["died_ns"], Record(**body))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no dead letter: {error!r}") from error


def _load_readings(body: dict[str, Any]) -> Readings:
    if body["codec"] != columns.CODEC:
        raise ValueError(f"codec {body['codec']} is not known")
    dictionary = Dictionary()
    dictionary.learn(orjson.dumps(body["device"]))
    (source,) = dictionary.sources.values()
    payload = memoryview(base64.b64decode(body["payload"]))
    readings = columns.decode(payload, body["shape"], body["rows"], source.device)
    return readings if not body["own_time"] else _with_own_time(readings)


def _with_own_time(readings: Readings) -> Readings:
    return Readings(
        readings.device, readings.t_ns, readings.tag, readings.value, readings.quality, readings.exact, own_time=True
    )
