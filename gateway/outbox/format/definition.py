"""A definition: a device with its place and tags, as one record needs them to be understood.

What the device works for is no part of it (`contexts.py`), unless a version before 0.2 has written it.
Every readings record names its definition, by a number of 32 bits. It stands in every segment before the first record that
needs it, as a frame of zlib-compressed JSON, and as a line of the file `tags`.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import orjson

from gateway.core.context import SAID, Context
from gateway.core.parsing import doubting
from gateway.core.record import Lane
from gateway.core.tag import Device, Tag, Tags
from gateway.encode import RecordHash
from gateway.outbox.format.frames import DEFINITION, PAYLOAD_AT_MOST, ZLIB_JSON, frame

FIELDS = ("type", "unit", "description", "scaling")


@dataclass(slots=True, eq=False)
class Definition:
    """A device as records refer to it."""

    id: int
    device: Device
    packed: bytes
    """As compressed JSON."""
    asked: Sequence[str] = ()
    """What the configuration said of each tag, in short; as far as it was read back from a file."""
    tag_bytes: bytes = field(init=False)
    _content: tuple[Context, RecordHash] | None = field(default=None, init=False)
    """Of the context that it was asked for last."""

    def __post_init__(self) -> None:
        self.tag_bytes = self.device.tags.ids.tobytes()

    def content(self, context: Context) -> RecordHash:
        """What hashes its records in this context."""
        known = self._content
        if known is None:
            known = self._content = (context, RecordHash(self.device.tags, context))
        elif known[0] is not context:
            known = self._content = (context, known[1].under(context))
        return known[1]

    @property
    def text(self) -> bytes:
        """The definition as JSON."""
        return unpacked(self.packed)

    @property
    def line(self) -> bytes:
        """As a line of the file."""
        text = self.text
        return b"%08x %b\n" % (zlib.crc32(text), text)

    def frame(self) -> bytes:
        """As a frame of a segment."""
        return frame(Lane.DATA, DEFINITION, self.packed, source=self.id, codec=ZLIB_JSON)


def define(number: int, device: Device, config: str, asked: Sequence[str] = ()) -> Definition:
    """The definition of a device under this number; `config`: short hash of the configuration, `asked`: what that says of
    each tag, in short."""
    tags = []
    for tag, told in zip_longest(device.tags, asked, fillvalue=""):
        assert isinstance(tag, Tag)
        body = {"id": tag.id, "name": tag.name, **{name: getattr(tag, name) for name in FIELDS}, "asked": told}
        tags.append({key: value for key, value in body.items() if value != ""})
    body = {
        "source": number,
        "device": device.name,
        "driver": device.driver,
        "context": device.context.said(),
        "config": config,
        "tags": tags,
    }
    return Definition(number, device, zlib.compress(orjson.dumps(body)))


def read_definition(text: bytes) -> Definition:
    """The definition of this JSON. Raises ValueError."""
    with doubting(ValueError):
        body = orjson.loads(text)
        number, name = _number(body["source"]), _text(body["device"])
        tags = [_tag(name, tag) for tag in body["tags"]]
        if len({tag.id for tag in tags}) < len(tags):
            raise ValueError("a tag id stands twice")
        device = Device(name, _text(body["driver"]), Tags(name, tags), read_context(body["context"]))
        return Definition(number, device, zlib.compress(text), [_text(tag.get("asked", "")) for tag in body["tags"]])


def read_line(line: bytes) -> Definition:
    """The definition of a line of the file. Raises ValueError."""
    crc, text = line[:8], line[9:]
    if zlib.crc32(text) != int(crc, 16):
        raise ValueError("checksum")
    return read_definition(text)


def unpacked(payload: bytes) -> bytes:
    """The JSON of a definition's frame. Raises ValueError for what is longer than a definition can be."""
    unpacker = zlib.decompressobj()
    with doubting(ValueError):
        text = unpacker.decompress(payload, PAYLOAD_AT_MOST)
    if not unpacker.eof:
        raise ValueError("it is cut short, or too long")
    return text


def read_context(body: Any) -> Context:
    """A context as `Context.said` gives it. Raises ValueError."""
    with doubting(ValueError):
        if not all(name in SAID for name in body):
            raise ValueError("it says what is no part of a context")
        said: dict[str, Any] = {name: _text(text) for name, text in body.items()}
        return Context(**said)


def _number(value: Any) -> int:
    """A number of a definition or a tag. Those that follow must fit uint32 too."""
    if type(value) is not int or not 0 < value < 1 << 31:
        raise ValueError(f"{value!r} is no number of a source or tag")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("what should be a text is none")
    return value


def _tag(device: str, body: Mapping[str, Any]) -> Tag:
    return Tag(_number(body["id"]), device, _text(body["name"]), *(_text(body.get(name, "")) for name in FIELDS))
