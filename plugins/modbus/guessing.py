"""What registers may mean: every type in every order, for `edge-gateway probe`."""

import math
from collections.abc import Iterator

from gateway.kit.registers import FORMATS, NOT_AVAILABLE, ORDERS, decode, decode_text, size_of
from gateway.plugin import Guess

from .address import ModbusAddress, ModbusArea

_SHORTEST = 4
"""Characters from which a text is more than chance."""


def guesses_of(at: ModbusAddress, wire: bytes) -> Iterator[Guess]:
    """The values that these registers, from `at` on, can be read as."""
    for offset in range(len(wire) // 2):
        for type_ in FORMATS:
            part = wire[2 * offset : 2 * offset + size_of(type_)]
            if len(part) == size_of(type_):
                yield from _orders(at.area, at.offset + offset, part, type_)
    yield from _texts(at, wire)


def _orders(area: ModbusArea, at: int, wire: bytes, type_: str) -> Iterator[Guess]:
    for order in ORDERS[size_of(type_)]:
        try:
            value = decode(wire, type_, order)
        except ValueError:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            continue
        options = {"address": f"{area.code}:{at}", "type": type_, "order": order}
        if value in NOT_AVAILABLE["sunspec"].get(type_, ()):
            options["not_available"] = "sunspec"
        yield Guess(options, value)


def _texts(at: ModbusAddress, wire: bytes) -> Iterator[Guess]:
    for order in ("AB", "BA"):
        try:
            text = decode_text(wire, "string", len(wire), order, "ascii")
        except ValueError:
            continue
        if len(text) >= _SHORTEST and str(text).isprintable():
            options = {"address": f"{at.area.code}:{at.offset}", "type": "string", "order": order, "length": len(wire)}
            yield Guess(options, text)
