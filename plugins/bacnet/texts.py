"""What a device tells of its objects: names, descriptions, units, and the texts of their states."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from gateway.plugin import DeviceError, Found, Tag, Tags, cleaned

from .address import BINARY, MULTI_STATE, PRESENT_VALUE, shown, shown_object, type_of
from .config import VALUES, BacnetTag
from .encoding import Kind
from .peer import OBJECT_LIST, OBJECT_NAME, Batch, Peer
from .peer import Found as Answer
from .services import Place
from .units import UNITS

DESCRIPTION, UNITS_PROPERTY, STATE_TEXT, ACTIVE_TEXT, INACTIVE_TEXT = 28, 117, 110, 4, 46
_WITHOUT_UNITS = {*BINARY, *MULTI_STATE, 8, 40, 47, 39, 42, 44, 50}
_TYPES: Mapping[int, str] = {
    Kind.BOOLEAN: "bool", Kind.UNSIGNED: "uint32", Kind.INTEGER: "int32", Kind.REAL: "float32", Kind.DOUBLE: "float64",
    Kind.OCTETS: "bytes", Kind.TEXT: "string", Kind.BITS: "string", Kind.ENUMERATED: "uint32", Kind.DATE: "string",
    Kind.TIME: "string", Kind.OBJECT: "string",
}  # fmt: skip
"""Of a single value."""


async def describe(peer: Peer, tags: Tags, until: float) -> Mapping[Tag, Found]:
    """Types, units and descriptions of the tags, as far as the configuration leaves them open and the device tells them."""
    wanted = [place for tag in tags for place in _asked(tag)]
    if not wanted:
        return {}
    answers = await Batch(wanted, peer.asking.most_values).read(peer, until)
    found = {tag: _found(tag.config, tag.config.at.object, answers) for tag in tags if _asked(tag)}
    return {tag: what for tag, what in found.items() if what.type}


def _asked(tag: Tag) -> list[Place]:
    options: BacnetTag = tag.config
    at = options.at
    places = [] if options.value_type() else [at]
    if options.commanded:
        return places
    if not tag.unit and at.property == PRESENT_VALUE and type_of(at.object) not in _WITHOUT_UNITS:
        places.append(Place(at.object, UNITS_PROPERTY))
    if not tag.description:
        places += Place(at.object, DESCRIPTION), Place(at.object, OBJECT_NAME)
    return places


def _found(options: BacnetTag, object_: int, answers: Mapping[Place, Answer]) -> Found:
    type_ = options.value_type() or _type(answers.get(options.at))
    unit = UNITS.get(_first(answers.get(Place(object_, UNITS_PROPERTY)), Kind.ENUMERATED), "")
    description = _text(answers.get(Place(object_, DESCRIPTION))) or _text(answers.get(Place(object_, OBJECT_NAME)))
    return Found(type_, unit, description)


def _type(answer: Answer | None) -> str:
    if not isinstance(answer, list) or len(answer) != 1:
        return ""
    return _TYPES.get(answer[0][0], "")


def _first(answer: Answer | None, kind: Kind) -> Any:
    """The value, where it is a single one of this kind."""
    return answer[0][1] if isinstance(answer, list) and answer and answer[0][0] == kind else None


def _text(answer: Answer | None) -> str:
    return cleaned(_first(answer, Kind.TEXT) or "", 200)


async def state_texts(peer: Peer, object_: int) -> list[str]:
    """Of a multi-state object those of 1, 2 and so on; of a binary one of inactive and active. None where it has none. Raises
    TimeoutError."""
    try:
        if type_of(object_) in BINARY:
            found = [await peer.read(Place(object_, each)) for each in (INACTIVE_TEXT, ACTIVE_TEXT)]
            return [_text(each) for each in found]
        return [
            cleaned(value, 200) for kind, value in await array(peer, Place(object_, STATE_TEXT)) if kind == Kind.TEXT
        ]
    except DeviceError:
        return []


async def array(peer: Peer, place: Place) -> list[tuple[int, Any]]:
    """All of an array; by index where the device cannot send it at once. Raises DeviceError, TimeoutError."""
    try:
        return await peer.read(place)
    except DeviceError:
        size = await peer.read(place._replace(item=0))
    count = size[0][1] if size and size[0][0] == Kind.UNSIGNED else 0
    indices = [place._replace(item=number) for number in range(1, min(count, 100_000) + 1)]
    answers = await Batch(indices, peer.asking.most_values).read(peer, float("inf"))
    return [answer[0] for answer in answers.values() if isinstance(answer, list) and len(answer) == 1]


async def browse(peer: Peer) -> AsyncIterator[tuple[str, Found]]:
    """Each object that has a present value: as the config writes it, with type, unit and description; `path` is its name."""
    listed = await array(peer, Place(peer.object, OBJECT_LIST))
    objects = [value for kind, value in listed if kind == Kind.OBJECT]
    for start in range(0, len(objects), 50):
        part = objects[start : start + 50]
        wanted = [Place(each, property_) for each in part for property_ in _browsed(each)]
        answers = await Batch(wanted, peer.asking.most_values).read(peer, float("inf"))
        for each in part:
            if type_of(each) in VALUES or isinstance(answers.get(Place(each, PRESENT_VALUE)), list):
                yield shown(Place(each, PRESENT_VALUE)), _offer(each, answers)


def _browsed(object_: int) -> Iterable[int]:
    yield OBJECT_NAME
    yield DESCRIPTION
    if type_of(object_) not in _WITHOUT_UNITS:
        yield UNITS_PROPERTY
    if type_of(object_) not in VALUES:
        yield PRESENT_VALUE


def _offer(object_: int, answers: Mapping[Place, Answer]) -> Found:
    name = _text(answers.get(Place(object_, OBJECT_NAME))) or shown_object(object_)
    description = _text(answers.get(Place(object_, DESCRIPTION)))
    unit = UNITS.get(_first(answers.get(Place(object_, UNITS_PROPERTY)), Kind.ENUMERATED), "")
    type_ = VALUES.get(type_of(object_)) or _type(answers.get(Place(object_, PRESENT_VALUE)))
    return Found(type_, unit, description or name, path=name)
