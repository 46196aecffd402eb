"""Requests and answers of the services that are used (ANSI/ASHRAE 135, clauses 13, 15 and 16). Pure."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import NamedTuple, TypeVar

from .encoding import (
    Datum,
    Kind,
    MalformedError,
    closing,
    contents,
    context,
    header,
    opening,
    tag,
    values,
)

ANY_DEVICE = 0x3FFFFF
"""The instance that stands for whichever device is asked."""


class Place(NamedTuple):
    """A property of an object; `item` of an array by its index, 0 for its size, -1 for the whole."""

    object: int
    """Type << 22 | instance."""
    property: int
    item: int = -1


@dataclass(frozen=True, slots=True)
class Refusal:
    """A device's error for one property: class and code."""

    class_: int
    code: int


Answers = list[tuple[Place, list[Datum] | Refusal]]


class _Reader:
    """Walks through tagged octets. Raises MalformedError, IndexError or struct.error."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> bool:
        return self.at < len(self.data)

    def bracket(self, number: int, kind: int) -> bool:
        """Whether this bracket stands here (-1 an opening, -2 a closing one); if so it is passed."""
        found, in_context, length, after = header(self.data, self.at)
        if not in_context or found != number or length != kind:
            return False
        self.at = after
        return True

    def open(self, number: int) -> bool:
        return self.left and self.bracket(number, -1)

    def close(self, number: int) -> bool:
        return self.bracket(number, -2)

    def number(self, tag_number: int, in_context: bool = True) -> int | None:
        """An unsigned number under this tag; None where another one stands here."""
        if not self.left:
            return None
        found, is_context, length, after = header(self.data, self.at)
        if found != tag_number or is_context != in_context or length < 0:
            return None
        if not 0 < length <= 4:
            raise MalformedError("a number of no or too many octets")
        self.at = after + length
        return int.from_bytes(contents(self.data, after, length), "big")

    def wanted(self, tag_number: int, in_context: bool = True) -> int:
        found = self.number(tag_number, in_context)
        if found is None:
            raise MalformedError("a part of the answer is missing")
        return found

    def values(self, closing_number: int) -> list[Datum]:
        found, self.at = values(self.data, self.at, closing_number)
        return found

    def refusal(self, closing_number: int) -> Refusal:
        refusal = Refusal(self.wanted(Kind.ENUMERATED, False), self.wanted(Kind.ENUMERATED, False))
        if not self.close(closing_number):
            raise MalformedError("an error goes on where it should end")
        return refusal


T = TypeVar("T")


def _whole(parse: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """What ends too early is malformed, too."""

    @wraps(parse)
    def parsed(data: bytes) -> T:
        try:
            return parse(data)
        except (IndexError, struct.error) as error:
            raise MalformedError("it ends too early") from error

    return parsed


# ReadProperty and ReadPropertyMultiple.


def _property(place: Place, numbers: tuple[int, int]) -> bytes:
    property_, index = numbers
    return context(property_, place.property) + (context(index, place.item) if place.item >= 0 else b"")


def read_property(place: Place) -> bytes:
    """The request's body."""
    return tag(0, True, place.object.to_bytes(4, "big")) + _property(place, (1, 2))


@_whole
def read_property_answer(data: bytes) -> tuple[Place, list[Datum]]:
    """The property and its values, of an answer's body. Raises MalformedError."""
    reader = _Reader(data)
    at = Place(reader.wanted(0), reader.wanted(1), _index(reader.number(2)))
    if not reader.open(3):
        raise MalformedError("an answer without a value")
    found = reader.values(3)
    if reader.left:
        raise MalformedError("an answer goes on where it should end")
    return at, found


def read_multiple(places: Sequence[Place]) -> bytes:
    """The request's body; of neighbours that are of one object it is said once."""
    parts: list[bytes] = []
    before = None
    for place in places:
        if place.object != before:
            if before is not None:
                parts.append(closing(1))
            parts += tag(0, True, place.object.to_bytes(4, "big")), opening(1)
            before = place.object
        parts.append(_property(place, (0, 1)))
    return b"".join((*parts, closing(1)))


@_whole
def read_multiple_answer(data: bytes) -> Answers:
    """Each property with its values or the device's refusal, in the order in which they came. Raises MalformedError."""
    found: Answers = []
    reader = _Reader(data)
    while reader.left:
        object_ = reader.wanted(0)
        if not reader.open(1):
            raise MalformedError("an object without properties")
        while not reader.close(1):
            place = Place(object_, reader.wanted(2), _index(reader.number(3)))
            if reader.open(4):
                found.append((place, reader.values(4)))
            elif reader.open(5):
                found.append((place, reader.refusal(5)))
            else:
                raise MalformedError("a property without a value")
    return found


def _index(number: int | None) -> int:
    return -1 if number is None else number


# WriteProperty.


def write_property(place: Place, value: bytes, priority: int | None) -> bytes:
    """The request's body; the value with its tags."""
    head = read_property(place) + opening(3) + value + closing(3)
    return head + (context(4, priority) if priority is not None else b"")


# Who-Is and I-Am.


def who_is(low: int | None = None, high: int | None = None) -> bytes:
    """A whole APDU; without bounds all devices are asked."""
    asked = b"" if low is None or high is None else context(0, low) + context(1, high)
    return b"\x10\x08" + asked


class IAm(NamedTuple):
    """What a device says of itself."""

    instance: int
    most: int
    """Octets of an APDU that it takes."""
    segmentation: int
    """0 both ways, 1 it sends segments, 2 it takes them, 3 none."""
    vendor: int


@_whole
def i_am(data: bytes) -> IAm:
    """Of the APDU's body. Raises MalformedError."""
    found, _ = values(data, 0, None)
    kinds = [kind for kind, _ in found]
    if kinds[:4] != [Kind.OBJECT, Kind.UNSIGNED, Kind.ENUMERATED, Kind.UNSIGNED] or found[0][1] >> 22 != 8:
        raise MalformedError("no I-Am")
    return IAm(found[0][1] & ANY_DEVICE, found[1][1], found[2][1], found[3][1])


# SubscribeCOV and notifications.


def subscribe(process: int, object_: int, *, confirmed: bool, lifetime: int) -> bytes:
    """The request's body; `lifetime` in seconds."""
    return (
        context(0, process)
        + tag(1, True, object_.to_bytes(4, "big"))
        + tag(2, True, bytes((confirmed,)))
        + context(3, lifetime)
    )


@dataclass(frozen=True, slots=True)
class Notification:
    """Values of an object that have changed."""

    process: int
    device: int
    """Instance of the device that tells."""
    object: int
    left: int
    """Seconds until the subscription ends; 0 never."""
    values: Answers


@_whole
def notification(data: bytes) -> Notification:
    """Of the body of either service. Raises MalformedError."""
    reader = _Reader(data)
    process, device = reader.wanted(0), reader.wanted(1)
    object_, left = reader.wanted(2), reader.wanted(3)
    if not reader.open(4):
        raise MalformedError("a notification without values")
    found: Answers = []
    while not reader.close(4):
        place = Place(object_, reader.wanted(0), _index(reader.number(1)))
        if not reader.open(2):
            raise MalformedError("a property without a value")
        found.append((place, reader.values(2)))
        reader.number(3)  # the priority
    return Notification(process, device & ANY_DEVICE, object_, left, found)


@_whole
def error_of(data: bytes) -> Refusal:
    """Of the body of an error. Raises MalformedError."""
    reader = _Reader(data)
    return Refusal(reader.wanted(Kind.ENUMERATED, False), reader.wanted(Kind.ENUMERATED, False))
