"""Addresses of BACnet: an object, and a property of it."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

from .names import OBJECT_TYPES, PROPERTIES
from .services import Place

PRESENT_VALUE, PRIORITY_ARRAY, RELINQUISH_DEFAULT, STATUS_FLAGS, RELIABILITY = 85, 87, 104, 111, 103
DEVICE = 8
BINARY = (3, 4, 5)
"""Input, output, value."""
MULTI_STATE = (13, 14, 19)

_SHORT = {
    "AI": 0, "AO": 1, "AV": 2, "BI": 3, "BO": 4, "BV": 5, "MI": 13, "MSI": 13, "MO": 14, "MSO": 14, "MV": 19, "MSV": 19,
    "IV": 45, "PIV": 48, "LAV": 46, "CSV": 40, "BSV": 39, "ACC": 23, "DEV": 8, "LP": 12, "SCH": 17, "TL": 20, "NC": 15,
}  # fmt: skip
_SHORTEST = {0: "AI", 1: "AO", 2: "AV", 3: "BI", 4: "BO", 5: "BV", 13: "MSI", 14: "MSO", 19: "MSV"}
_TYPES = {name.replace("-", ""): number for number, name in OBJECT_TYPES.items()}
_PROPERTIES = {name.replace("-", ""): number for number, name in PROPERTIES.items()}
"""Without their hyphens, since tools write analog-input, analogInput and analoginput."""
_ADDRESS = re.compile(
    r"\s*(?P<type>[A-Za-z][A-Za-z-]*(?=[\s:,\d])|\d+(?=[\s:,]))\s*[:,]?\s*(?P<instance>\d+)\s*"
    r"(?:[/.]\s*(?P<property>[A-Za-z][A-Za-z0-9-]*|\d+)\s*(?:\[\s*(?P<index>\d+)\s*\])?)?\s*"
)
_HOW = (
    'write type and instance, such as "AI:3" or "analog-input,3", and after "/" another property than the present value'
)


@lru_cache(4096)
def parse_address(text: str) -> Place:
    """Raises ValueError, with what to write instead."""
    said = _ADDRESS.fullmatch(text)
    if said is None:
        raise ValueError(f'"{text}" is no address of BACnet; {_HOW}')
    type_, instance = _type(text, said["type"]), int(said["instance"])
    if instance > 4194302:
        raise ValueError(f'"{text}": instances go up to 4194302')
    property_ = _property(text, said["property"]) if said["property"] else PRESENT_VALUE
    index = -1 if said["index"] is None else int(said["index"])
    if index >= 1 << 32:
        raise ValueError(f'"{text}": no array has that index')
    return Place(type_ << 22 | instance, property_, index)


def _type(text: str, name: str) -> int:
    if name.isdigit():
        number = int(name)
        if number > 1023:
            raise ValueError(f'"{text}": object types go up to 1023')
        return number
    found = _SHORT.get(name.upper(), _TYPES.get(_plain(name)))
    if found is None:
        raise ValueError(f'"{text}": there is no object type "{name}"{_meant(name, OBJECT_TYPES.values())}; {_HOW}')
    return found


def _property(text: str, name: str) -> int:
    if name.isdigit():
        number = int(name)
        if number >= 1 << 22:
            raise ValueError(f'"{text}": properties go up to {(1 << 22) - 1}')
        return number
    found = _PROPERTIES.get(_plain(name))
    if found is None:
        meant = _meant(name, PROPERTIES.values())
        raise ValueError(
            f'"{text}": there is no property "{name}"{meant}; a manufacturer\'s own is written as its number'
        )
    if found in (8, 80, 105):
        raise ValueError(f'"{text}": "{name}" stands for many properties; name one')
    return found


def _plain(name: str) -> str:
    return name.replace("-", "").lower()


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name.lower(), list(known), 1)
    return f' (did you mean "{near[0]}"?)' if near else ""


def type_of(object_: int) -> int:
    """The object's type."""
    return object_ >> 22


def shown_object(object_: int) -> str:
    """As a configuration writes it."""
    type_, instance = object_ >> 22, object_ & 0x3FFFFF
    return f"{_SHORTEST.get(type_) or OBJECT_TYPES.get(type_, type_)}:{instance}"


def shown(place: Place) -> str:
    """Likewise, with the property where it is not the present value."""
    index = f"[{place.item}]" if place.item >= 0 else ""
    property_ = (
        "" if place.property == PRESENT_VALUE and not index else f"/{PROPERTIES.get(place.property, place.property)}"
    )
    return f"{shown_object(place.object)}{property_}{index}"
