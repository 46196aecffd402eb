"""Which tag a number means: ids are given out once in the life of a log, so an edited config never renames old data.

A *source* is a device with its context and tags as one record needs them to be understood; every readings record names
its source, and every segment carries the definitions of the sources in it. The file `tags` has them all, and is made
anew from the segments if it is lost.
"""

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from operator import attrgetter, is_not
from typing import Any
from weakref import WeakKeyDictionary

import orjson
import structlog

from gateway.config.base import TagConfig
from gateway.config.model import DeviceSpec
from gateway.core.context import Context
from gateway.core.parsing import doubting
from gateway.core.record import Lane
from gateway.core.tag import Device, Tag, Tags
from gateway.core.text import cleaned
from gateway.encode import Content
from gateway.outbox.format.frames import DEFINITION, PAYLOAD_AT_MOST, ZLIB_JSON, frame
from gateway.plugin.driver import Found

log = structlog.get_logger()

DICTIONARY_AT_MOST = 512 * 1024 * 1024
"""Bytes of the tag dictionary; a longer one was not written by this gateway, and is made anew."""
_NOT_THE_POINT = {"scan", "range", "deadband", "heartbeat", "write", "min", "max", "max_rate"}
"""Options that say when a tag is published, or what may be written to it, not what it is."""


SHORT = 8
"""Characters of the hash of what the configuration says of a tag."""
_config = attrgetter("config")


@dataclass(slots=True, eq=False)
class Source:
    """A device as records refer to it."""

    id: int
    device: Device
    packed: bytes
    """The definition as compressed JSON."""
    tag_bytes: bytes
    _content: Content | None = field(default=None, init=False)

    @property
    def content(self) -> Content:
        """What hashes its records."""
        if self._content is None:
            self._content = Content(self.device.tags, self.device.context)
        return self._content

    @property
    def definition(self) -> bytes:
        """As JSON."""
        return unpacked(self.packed)

    def frame(self) -> bytes:
        """The definition as a frame of a segment."""
        return frame(Lane.DATA, DEFINITION, self.packed, source=self.id, codec=ZLIB_JSON)


class Dictionary:
    """All sources and tags that the log ever had."""

    def __init__(self) -> None:
        self.sources: dict[int, Source] = {}
        self._by_device: WeakKeyDictionary[Device, Source] = WeakKeyDictionary()
        self._latest: dict[str, Source] = {}
        """Of each device that was asked for last by its name."""
        self._by_content: dict[tuple[Any, ...], Source] = {}
        self._tag_ids: dict[tuple[str, ...], int] = {}
        self._found: dict[int, tuple[str, str, str]] = {}
        """Type, unit and description by the hash of device, name and options: with thousands of tags, keys and values
        cost megabytes."""
        self._alike: dict[tuple[str, str, str], tuple[str, str, str]] = {}
        self._asked: dict[str, tuple[Device, str]] = {}
        """Name → the device as it was bound last, and what was asked of its tags, one after the other."""
        self._next_tag = 1
        self._fresh: list[Source] = []

    def bind(self, spec: DeviceSpec, context: Context, found: Mapping[str, Found], config: str) -> Device:
        """The device of a `[[device]]` table, its tags numbered."""
        name = spec.config.name
        asked = self._asked_of(spec)
        tags = [
            self._tag(name, tag, options, told, found.get(tag))
            for (tag, options), told in zip(spec.tags.items(), asked, strict=True)
        ]
        device = Device(name, spec.config.driver, Tags(name, tags), context, spec.config)
        self.source(device, config, asked)
        self._asked[name] = (device, "".join(asked))
        return device

    def _asked_of(self, spec: DeviceSpec) -> list[str]:
        """What the configuration says of each tag, in short. A device is bound at the start and again as soon as it has told
        what it knows of its tags, with the same options: they are hashed once."""
        bound, asked = self._asked.get(spec.config.name, (None, ""))
        configs = list(spec.tags.values())
        if bound is None or len(bound.tags) != len(configs) or any(map(is_not, map(_config, bound.tags), configs)):
            return [_asked(config) for config in configs]
        return [asked[at : at + SHORT] for at in range(0, len(asked), SHORT)]

    def _tag(self, device: str, name: str, config: TagConfig, asked: str, found: Found | None) -> Tag:
        key = hash((device, name, asked))
        if found is not None:
            known = (cleaned(found.type), cleaned(found.unit), cleaned(found.description))
        else:
            known = self._found.get(key, ("", "", ""))
        kind = "float64" if config.scaled else config.value_type() or known[0]
        unit, description = config.unit or known[1], config.description or known[2]
        parts = (device, name, kind, unit, description, _scaling(config))
        tag_id = self._tag_ids.get(parts)
        if tag_id is None:
            tag_id = self._tag_ids[parts] = self._next_tag
            self._next_tag += 1
        self._find(key, (kind, unit, description))
        return Tag(tag_id, *parts, config)

    def _find(self, key: int, found: tuple[str, str, str]) -> None:
        self._found[key] = self._alike.setdefault(found, found)

    def source(self, device: Device, config: str = "", asked: Sequence[str] = ()) -> Source:
        """The source of this device; a new one if the log has none with the same tags and context."""
        latest = self._latest.get(device.name)
        if latest is not None and latest.device is device:  # as of nearly all records
            return latest
        source = self._by_device.get(device)
        if source is None:
            content = _content(device)
            source = self._by_content.get(content)
            if source is None:
                source = self._define(device, config, asked)
            source.device = device
            self._by_device[device] = source
        self._latest[device.name] = source
        return source

    def _define(self, device: Device, config: str, asked: Sequence[str]) -> Source:
        number = max(self.sources, default=0) + 1
        packed = zlib.compress(_definition(number, device, config, asked))
        source = Source(number, device, packed, device.tags.ids.tobytes())
        self._add(source)
        self._fresh.append(source)
        return source

    def _add(self, source: Source) -> None:
        self.sources[source.id] = source
        self._by_content[_content(source.device)] = source

    def learn(self, definition: bytes) -> None:
        """Take over a definition from the file or a segment; nothing happens if it is known. Raises ValueError."""
        with doubting(ValueError):
            body = orjson.loads(definition)
            number, name = _number(body["source"]), _text(body["device"])
            if number in self.sources:
                return
            tags = [_tag_of(name, tag) for tag in body["tags"]]
            if len({tag.id for tag in tags}) < len(tags):
                raise ValueError("a tag id stands twice")
            device = Device(name, _text(body["driver"]), Tags(name, tags), read_context(body["context"]))
            self._add(Source(number, device, zlib.compress(definition), device.tags.ids.tobytes()))
            for tag, said in zip(tags, body["tags"], strict=True):
                self._know(tag, _text(said.get("asked", "")))

    def _know(self, tag: Tag, asked: str) -> None:
        self._next_tag = max(self._next_tag, tag.id + 1)
        self._tag_ids[tag.device, tag.name, tag.type, tag.unit, tag.description, tag.scaling] = tag.id
        if asked:
            self._find(hash((tag.device, tag.name, asked)), (tag.type, tag.unit, tag.description))

    def take_fresh(self) -> list[bytes]:
        """The definitions that no file has yet, as lines for it."""
        fresh, self._fresh = self._fresh, []
        return [line(source.definition) for source in fresh]

    def load(self, data: bytes) -> bool:
        """Take over the file. Says whether all of it could be read."""
        whole = True
        for text in data.splitlines():
            try:
                crc, definition = text[:8], text[9:]
                if zlib.crc32(definition) != int(crc, 16):
                    raise ValueError("checksum")
                self.learn(definition)
            except ValueError:
                whole = False
        return whole

    def dump(self) -> bytes:
        """The whole file."""
        return b"".join(line(source.definition) for source in self.sources.values())

    def learn_all(self, payloads: Iterable[bytes]) -> None:
        """Take over definition frames of a segment; a damaged one is passed over."""
        for payload in payloads:
            try:
                self.learn_packed(payload)
            except ValueError as error:
                log.warning("a definition in the outbox cannot be read", error=str(error))

    def learn_packed(self, payload: bytes) -> None:
        """Take over a definition frame of a segment. Raises ValueError."""
        with doubting(ValueError):
            self.learn(unpacked(payload))


def unpacked(payload: bytes) -> bytes:
    """The JSON of a definition's frame. Raises ValueError for what is longer than a definition can be."""
    unpacker = zlib.decompressobj()
    definition = unpacker.decompress(payload, PAYLOAD_AT_MOST)
    if not unpacker.eof:
        raise ValueError("it is cut short, or too long")
    return definition


def _number(value: Any) -> int:
    """A number of a source or a tag. Those that follow must fit uint32 too."""
    if type(value) is not int or not 0 < value < 1 << 31:
        raise ValueError(f"{value!r} is no number of a source or tag")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("what should be a text is none")
    return value


def _tag_of(device: str, body: Mapping[str, Any]) -> Tag:
    said = (_text(body.get(name, "")) for name in ("type", "unit", "description", "scaling"))
    return Tag(_number(body["id"]), device, _text(body["name"]), *said)


def read_context(body: Any) -> Context:
    """A context as `Context.said` gives it. Raises ValueError."""
    with doubting(ValueError):
        return Context(**{name: _text(said) for name, said in body.items()})


def line(definition: bytes) -> bytes:
    """A definition as a line of the file."""
    return b"%08x %b\n" % (zlib.crc32(definition), definition)


def _content(device: Device) -> tuple[Any, ...]:
    return (device.name, device.driver, device.context, device.tags.ids.tobytes())


def _asked(config: TagConfig) -> str:
    """What the configuration says of a tag, in short."""
    return hashlib.sha256(config.model_dump_json(exclude=_NOT_THE_POINT).encode()).hexdigest()[:SHORT]


def _definition(number: int, device: Device, config: str, asked: Sequence[str]) -> bytes:
    tags = []
    for tag, told in zip_longest(device.tags, asked, fillvalue=""):
        assert isinstance(tag, Tag)
        body = {
            "id": tag.id,
            "name": tag.name,
            "type": tag.type,
            "unit": tag.unit,
            "description": tag.description,
            "scaling": tag.scaling,
            "asked": told,
        }
        tags.append({key: value for key, value in body.items() if value != ""})
    return orjson.dumps(
        {
            "source": number,
            "device": device.name,
            "driver": device.driver,
            "context": device.context.said(),
            "config": config,
            "tags": tags,
        }
    )


def _scaling(config: TagConfig) -> str:
    if config.clamp is None and not config.scaled:
        return ""
    words = []
    if config.scaled:
        words.append(f"× {config.scale:g} {'-' if config.offset < 0 else '+'} {abs(config.offset):g}")
    if config.clamp is not None:
        words.append(f"clamped to {config.clamp[0]:g} … {config.clamp[1]:g}")
    return ", ".join(words)
