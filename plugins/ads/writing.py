"""The bytes of values that are written."""

from gateway.kit import truth
from gateway.kit.registers import encode

from .types import AdsType


def wire(type_: AdsType, value: float | bool | int | str) -> bytes:
    """The bytes that hold a value. Raises ValueError, with the reason, when they cannot."""
    if type_.choices:
        value = _chosen(type_, value)
    if type_.number:
        if isinstance(value, str):
            raise ValueError(f"{value!r} is no {'truth value' if type_.number == 'bool' else 'number'}")
        return bytes([truth(value)]) if type_.number == "bool" else encode(value, type_.number, type_.order)
    if not type_.length:
        raise ValueError(f"a {type_.name} is not written" + ("" if type_.published else "; name one of its parts"))
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return _text_wire(type_, value)


def _text_wire(type_: AdsType, value: str) -> bytes:
    if "\0" in value:
        raise ValueError(f"{value!r} has a character that ends a text")
    try:
        text = value.encode(type_.encoding)
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} has characters that a {type_.name} has not") from error
    room = type_.length * (2 if type_.encoding == "utf-16-le" else 1)
    if len(text) > room:
        raise ValueError(f"{value!r} takes {len(text)} bytes, and there is room for {room}")
    return text.ljust(type_.size, b"\0")


def _chosen(type_: AdsType, value: float | bool | int | str) -> float | bool | int:
    """The number of one of an enumeration's values, by its name or number."""
    if isinstance(value, str):
        found = {name.upper(): number for name, number in type_.choices.items()}.get(value.upper())
        if found is None:
            raise ValueError(f"{value!r} is none of {type_.name}: {', '.join(list(type_.choices)[:20])}")
        return found
    if value not in type_.choices.values():
        raise ValueError(f"{value!r} is none of {type_.name}: {', '.join(map(str, list(type_.choices.values())[:20]))}")
    return value
