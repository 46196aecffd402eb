"""Which tag a number means: ids are given out once in the life of a log, so an edited config never renames old data.

The dictionary, and the file `tags`, hold of each device the definitions that it had last. Older ones stand in the segments
that need them, and are looked up there; their tag ids are not given out again.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter, is_not
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import structlog

from gateway.config.base import TagConfig
from gateway.config.model import DeviceSpec
from gateway.core.context import Context
from gateway.core.tag import Device, Tag, Tags
from gateway.core.text import cleaned
from gateway.outbox.format.contexts import Contexts
from gateway.outbox.format.definition import Definition, define, read_definition, read_line, unpacked
from gateway.outbox.format.scanning import definitions_of
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.plugin.driver import Found

log = structlog.get_logger()

DICTIONARY_AT_MOST = 512 * 1024 * 1024
"""Bytes of the tag dictionary; a longer one was not written by this gateway, and is made anew."""
KEPT = 16
"""Definitions of one device that are kept. Of those, beside the two that were used last, no more than have `KEPT_TAGS`."""
KEPT_TAGS = 20_000
LOOKED_UP = 64
"""Definitions that were looked up in segments, and are remembered."""
MANY = 100
"""Definitions of one device since the start, from which on it is remarked that it never describes itself alike."""
_NOT_THE_POINT = {"scan", "range", "deadband", "heartbeat", "write", "min", "max", "max_rate"}
"""Options that say when a tag is published, or what may be written to it, not what it is."""

SHORT = 8
"""Characters of the hash of what the configuration says of a tag."""
_config = attrgetter("config")


class Dictionary:
    """The definitions of a log, and which tag has which id. All calls but `defined` from one thread at a time."""

    def __init__(self) -> None:
        self.definitions: dict[int, Definition] = {}
        """By their numbers."""
        self._of_device: dict[str, dict[int, None]] = {}
        """The same numbers by the device's name, the one last that was used last."""
        self._looked_up: dict[int, Definition] = {}
        self.contexts = Contexts()
        """What the devices work for, which no definition says."""
        self._by_device: WeakKeyDictionary[Device, Definition] = WeakKeyDictionary()
        self._latest: dict[str, tuple[Device, Definition]] = {}
        """By its name, of each device the object that was asked for last."""
        self._by_content: dict[tuple[Any, ...], Definition] = {}
        self._tag_ids: dict[tuple[str, ...], int] = {}
        self._found: dict[int, tuple[str, str, str]] = {}
        """Type, unit and description by the hash of device, name and options: with thousands of tags, keys and values
        cost megabytes."""
        self._alike: dict[tuple[str, str, str], tuple[str, str, str]] = {}
        self._asked: dict[str, tuple[Device, str]] = {}
        """Name → the device as it was bound last, and what was asked of its tags, one after the other."""
        self._last = 0
        """The greatest number of a definition that was given out."""
        self._last_tag = 0
        self._fresh: list[Definition] = []
        self._lines = 0
        """Definitions in the file."""
        self._made: dict[str, int] = {}
        """Definitions made since the start, by the device's name."""

    def bind(self, spec: DeviceSpec, context: Context, found: Mapping[str, Found], config: str) -> Device:
        """The device of a `[[device]]` table, its tags numbered."""
        name = spec.config.name
        asked = self._asked_of(spec)
        tags = [
            self._tag(name, tag, options, told, found.get(tag))
            for (tag, options), told in zip(spec.tags.items(), asked, strict=True)
        ]
        device = Device(name, spec.config.driver, Tags(name, tags), context.place, spec.config)
        self.definition(device, config, asked)
        self._asked[name] = (device, "".join(asked))
        return device.under(context)

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
            tag_id = self._tag_ids[parts] = self._last_tag = self._last_tag + 1
        self._find(key, (kind, unit, description))
        return Tag(tag_id, *parts, config)

    def _find(self, key: int, found: tuple[str, str, str]) -> None:
        self._found[key] = self._alike.setdefault(found, found)

    def definition(self, device: Device, config: str = "", asked: Sequence[str] = ()) -> Definition:
        """The definition of this device, whatever it works for; a new one if none is known with the same tags and place."""
        latest = self._latest.get(device.name)
        if latest is not None and latest[0] is device:  # as of nearly all records
            return latest[1]
        definition = self._by_device.get(device)
        if definition is None:
            defined = device.under(device.context.place)
            definition = self._by_content.get(_content(defined))
            if definition is None:
                definition = self._define(defined, config, asked)
            definition.device = defined
            self._by_device[device] = self._by_device[defined] = definition
        self._latest[device.name] = (device, definition)
        if definition.id in self.definitions:
            numbers = self._of_device[device.name]
            numbers[definition.id] = numbers.pop(definition.id)
        return definition

    def _define(self, device: Device, config: str, asked: Sequence[str]) -> Definition:
        definition = define(self._last + 1, device, config, asked)
        self._add(definition)
        self._fresh.append(definition)
        self._made[device.name] = self._made.get(device.name, 0) + 1
        self._forget_old(device.name)
        return definition

    def _add(self, definition: Definition) -> None:
        self._last = max(self._last, definition.id)
        self.definitions[definition.id] = definition
        self._of_device.setdefault(definition.device.name, {})[definition.id] = None
        self._by_content[_content(definition.device)] = definition

    def _forget_old(self, device: str) -> None:
        """Forget definitions that the device had long ago. A server may describe its tags otherwise at each connect, for
        years. What tells which numbers were given out stays, also for the next start."""
        count = tags = 0
        for number in reversed(list(self._of_device[device])):
            definition = self.definitions[number]
            count, tags = count + 1, tags + len(definition.device.tags)
            told = number == self._last or bool((definition.device.tags.ids == self._last_tag).any())
            if not (told or count <= 2 or (count <= KEPT and tags <= KEPT_TAGS)):
                self._forget(definition)

    def _forget(self, definition: Definition) -> None:
        device = definition.device
        numbers = self._of_device[device.name]
        del numbers[definition.id], self.definitions[definition.id]
        self._by_content.pop(_content(device), None)
        for each in [each for each, of in self._by_device.items() if of is definition]:
            del self._by_device[each]  # the value would keep the key alive
        used = np.concatenate([self.definitions[number].device.tags.ids for number in numbers])
        for tag, is_used in zip(device.tags, np.isin(device.tags.ids, used).tolist(), strict=True):
            if not is_used:
                self._tag_ids.pop(_parts(tag), None)
        if len(self._alike) > 2 * len(self._found) + MANY:
            self._alike = {found: found for found in self._found.values()}

    def learn(self, definition: Definition) -> None:
        """Take over a definition from the file or a segment; nothing happens if it is known."""
        if definition.id in self.definitions:
            return
        self._add(definition)
        for tag, asked in zip(definition.device.tags, definition.asked, strict=True):
            self._last_tag = max(self._last_tag, tag.id)
            self._tag_ids[_parts(tag)] = tag.id
            if asked:
                self._find(hash((tag.device, tag.name, asked)), (tag.type, tag.unit, tag.description))
        definition.asked = ()

    def defined(self, number: int, path: Path) -> Definition | None:
        """The definition with this number, of a record in this segment; None if there is none. Blocking, from any thread."""
        for payload in () if self._known(number) else definitions_of(path, HEADER_SIZE, number):
            self.passes(number, payload)
        return self._known(number)

    def _known(self, number: int) -> Definition | None:
        return self.definitions.get(number) or self._looked_up.get(number)

    def passes(self, number: int, payload: bytes | memoryview) -> None:
        """Remember a definition frame that was met in a segment, for a while: records behind it may need it."""
        if self._known(number) is None:
            try:
                self.remember(read_definition(unpacked(bytes(payload))))
            except ValueError as error:
                log.warning("a definition in the outbox cannot be read", error=str(error))

    def remember(self, definition: Definition) -> None:
        """The same, of one that was read."""
        self._looked_up[definition.id] = definition
        for old in list(self._looked_up)[:-LOOKED_UP]:
            self._looked_up.pop(old, None)

    def take_fresh(self) -> tuple[list[bytes], bool]:
        """The lines for the file of definitions that it has not yet, and false; or, where it holds many that are forgotten,
        all lines that it is to have instead, and true."""
        fresh, self._fresh = self._fresh, []
        self._lines += len(fresh)
        if fresh and self.file_is_long:
            return self._all_lines(), True
        return [definition.line for definition in fresh], False

    @property
    def file_is_long(self) -> bool:
        """Whether the file holds more of what is forgotten than of what is not."""
        return self._lines > 2 * len(self.definitions) + KEPT

    def _all_lines(self) -> list[bytes]:
        self._lines = len(self.definitions)
        return [definition.line for definition in self.definitions.values()]

    def load(self, data: bytes) -> bool:
        """Take over the file. Says whether all of it could be read."""
        whole = True
        for line in data.splitlines():
            try:
                self.learn(definition := read_line(line))
                if len(self._of_device[definition.device.name]) > 2 * KEPT:
                    self._forget_old(definition.device.name)
            except ValueError:
                whole = False
            self._lines += 1
        self.forget_old()
        return whole

    def learn_all(self, payloads: Iterable[bytes]) -> None:
        """Take over definition frames of a segment; a damaged one is passed over."""
        for payload in payloads:
            try:
                self.learn(read_definition(unpacked(payload)))
            except ValueError as error:
                log.warning("a definition in the outbox cannot be read", error=str(error))

    def forget_old(self) -> None:
        """Forget definitions that devices had long ago."""
        for device in self._of_device:
            self._forget_old(device)

    def dump(self) -> bytes:
        """The whole file."""
        return b"".join(self._all_lines())

    @property
    def devices(self) -> list[str]:
        """The names of all devices that the log ever had, in order."""
        return sorted(self._of_device)

    def said_of(self, device: str) -> list[str]:
        """What is to be remarked of a device."""
        made = self._made.get(device, 0)
        if made < MANY:
            return []
        return [
            f"it was described otherwise {made} times since the start, so that its tags have ever new ids: types, units and "
            "descriptions in the configuration settle that"
        ]


def _parts(tag: Tag) -> tuple[str, ...]:
    return (tag.device, tag.name, tag.type, tag.unit, tag.description, tag.scaling)


def _content(device: Device) -> tuple[Any, ...]:
    return (device.name, device.driver, device.context, device.tags.ids.tobytes())


def _asked(config: TagConfig) -> str:
    """What the configuration says of a tag, in short."""
    return hashlib.sha256(config.model_dump_json(exclude=_NOT_THE_POINT).encode()).hexdigest()[:SHORT]


def _scaling(config: TagConfig) -> str:
    if config.clamp is None and not config.scaled:
        return ""
    words = []
    if config.scaled:
        words.append(f"× {config.scale:g} {'-' if config.offset < 0 else '+'} {abs(config.offset):g}")
    if config.clamp is not None:
        words.append(f"clamped to {config.clamp[0]:g} … {config.clamp[1]:g}")
    return ", ".join(words)
