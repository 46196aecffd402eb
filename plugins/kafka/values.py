"""Messages as Avro 1.11 or Protocol Buffers (proto3) in place of JSON, with the schema that a registry gets.

One schema serves all devices and kinds: a device with other tags is no other schema. What docs/json.md names and the schema
has no field for, such as the body of an event, stands as JSON in `more`.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from gateway.plugin import Record

_OWN = {"id", "ts", "accepted", "historical", "values", "t", "q", "context", "tag", "value", "device"}
_LONG = range(-(2**63), 2**63)

_TIME = {"type": "long", "logicalType": "timestamp-millis"}
AVRO: Mapping[str, Any] = {
    "type": "record",
    "name": "Message",
    "namespace": "edge_gateway",
    "doc": "Readings of one device, or an event, loss, receipt or skip.",
    "fields": [
        {"name": "id", "type": "string", "doc": "Names the message for ever: a repeat has the same."},
        {"name": "kind", "type": "string", "doc": "readings, event, loss, receipt or skip."},
        {"name": "gateway", "type": "string"},
        {"name": "device", "type": "string", "doc": "Empty: it is about the gateway itself."},
        {"name": "ts", "type": ["null", _TIME], "doc": "Source time."},
        {"name": "accepted", "type": ["null", _TIME], "doc": "When the gateway accepted it."},
        {"name": "historical", "type": "boolean"},
        {
            "name": "readings",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Reading",
                    "fields": [
                        {"name": "tag", "type": "string"},
                        {
                            "name": "value",
                            "type": ["null", "boolean", "long", "double", "string"],
                            "doc": "Null: bad. Arrays, structures and integers beyond a long are JSON in a string.",
                        },
                        {"name": "t", "type": ["null", _TIME], "doc": "Source time, where it is not ts."},
                        {"name": "quality", "type": ["null", "string"], "doc": "Where it is not plainly good."},
                    ],
                },
            },
        },
        {"name": "context", "type": {"type": "map", "values": "string"}},
        {"name": "more", "type": ["null", "string"], "doc": "All else that is said, as a JSON object."},
    ],
}

PROTOBUF = """syntax = "proto3";
package edge_gateway;

// Readings of one device, or an event, loss, receipt or skip.
message Message {
  string id = 1;          // names the message for ever: a repeat has the same
  string kind = 2;        // readings, event, loss, receipt or skip
  string gateway = 3;
  string device = 4;      // empty: it is about the gateway itself
  int64 ts = 5;           // source time, ms since 1970 UTC
  int64 accepted = 6;     // when the gateway accepted it, likewise
  bool historical = 7;
  repeated Reading readings = 8;
  map<string, string> context = 9;
  string more = 10;       // all else that is said, as a JSON object
}

message Reading {
  string tag = 1;
  oneof value {           // none: bad
    bool flag = 2;
    sint64 integer = 3;
    double number = 4;
    string text = 5;      // arrays, structures and integers beyond a long are JSON here
  }
  int64 t = 6;            // source time, where it is not ts
  string quality = 7;     // where it is not plainly good
}
"""


class _Said(NamedTuple):
    """A JSON message by the fields of the schemas."""

    texts: tuple[str, str, str, str]
    """Id, kind, gateway, device."""
    ts: int | None
    accepted: int | None
    historical: bool
    readings: list[tuple[str, bool | int | float | str | None, int | None, str | None]]
    context: Mapping[str, str]
    more: str | None


def _said(record: Record, gateway: str, payload: bytes) -> _Said:
    body = orjson.loads(payload)
    device = record.readings.device.name if record.readings is not None else body.get("device") or ""
    if "values" in body:
        times, words = body.get("t", {}), body.get("q", {})
        rows = [(tag, _plain(value), times.get(tag), words.get(tag)) for tag, value in body["values"].items()]
    else:
        rows = [(body["tag"], _plain(body["value"]), None, body.get("q"))] if "tag" in body else []
    readings = record.readings is not None
    more = {name: value for name, value in body.items() if name not in _OWN or (not readings and name in ("t", "q"))}
    return _Said(
        (body["id"], record.kind.name.lower(), gateway, str(device)),
        body.get("ts"),
        body.get("accepted"),
        bool(body.get("historical")),
        rows,
        {name: str(value) for name, value in body.get("context", {}).items()},
        orjson.dumps(more).decode() if more else None,
    )


def _plain(value: Any) -> bool | int | float | str | None:
    if isinstance(value, list | dict) or (isinstance(value, int) and value not in _LONG):
        return orjson.dumps(value).decode()
    return value  # type: ignore[no-any-return]


def avro(record: Record, gateway: str, payload: bytes) -> bytes:
    """A JSON message as the binary encoding of AVRO (Avro 1.11, "Binary encoding")."""
    said = _said(record, gateway, payload)
    parts = [_text(text) for text in said.texts]
    parts += (_optional(said.ts, _zigzag), _optional(said.accepted, _zigzag), b"\1" if said.historical else b"\0")
    if said.readings:
        parts.append(_zigzag(len(said.readings)))
        for tag, value, t, quality in said.readings:
            parts += (_text(tag), _union(value), _optional(t, _zigzag), _optional(quality, _text))
    parts.append(b"\0")
    if said.context:
        parts.append(_zigzag(len(said.context)))
        parts += (_text(name) + _text(value) for name, value in said.context.items())
    parts += (b"\0", _optional(said.more, _text))
    return b"".join(parts)


def _union(value: bool | float | str | None) -> bytes:
    if value is None:
        return b"\0"
    if isinstance(value, bool):
        return b"\2\1" if value else b"\2\0"
    if isinstance(value, int):
        return b"\4" + _zigzag(value)
    return b"\6" + struct.pack("<d", value) if isinstance(value, float) else b"\x08" + _text(value)


def _optional(value: Any, encode: Callable[[Any], bytes]) -> bytes:
    return b"\0" if value is None else b"\2" + encode(value)


def _text(text: str) -> bytes:
    data = text.encode()
    return _zigzag(len(data)) + data


def _zigzag(number: int) -> bytes:
    return _varint((number << 1) ^ (number >> 63))


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative one as two's complement of 64 bits."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def protobuf(record: Record, gateway: str, payload: bytes) -> bytes:
    """A JSON message as the wire format of PROTOBUF."""
    said = _said(record, gateway, payload)
    return b"".join(
        (
            *(_field(number, text.encode()) for number, text in enumerate(said.texts, 1) if text),
            *(_number(number, value) for number, value in ((5, said.ts), (6, said.accepted)) if value),
            b"\x38\1" if said.historical else b"",
            *(_field(8, b"".join(_reading(*row))) for row in said.readings),
            *(_field(9, _field(1, name.encode()) + _field(2, value.encode())) for name, value in said.context.items()),
            _field(10, said.more.encode()) if said.more else b"",
        )
    )


def _reading(tag: str, value: bool | float | str | None, t: int | None, quality: str | None) -> Iterator[bytes]:
    yield _field(1, tag.encode())
    if isinstance(value, bool):
        yield _number(2, value)
    elif isinstance(value, int):
        yield b"\x18" + _zigzag(value)
    elif isinstance(value, float):
        yield b"\x21" + struct.pack("<d", value)
    elif value is not None:
        yield _field(5, value.encode())
    if t:
        yield _number(6, t)
    if quality:
        yield _field(7, quality.encode())


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


class Form(NamedTuple):
    """How values are written, and what a registry must know of it."""

    schema_type: str
    schema: str
    encode: Callable[[Record, str, bytes], bytes]
    prefix: bytes
    """Between the schema's id and the value: of Protobuf, which message of the schema it is (the first)."""
    content_type: bytes


FORMS = {
    "avro": Form("AVRO", orjson.dumps(AVRO).decode(), avro, b"", b"application/avro"),
    "protobuf": Form("PROTOBUF", PROTOBUF, protobuf, b"\0", b"application/x-protobuf"),
}
