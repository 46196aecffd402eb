"""What registers mean is found from the values that they give."""

import struct

import pytest

from gateway.acquire.plausible import Ranked, rank
from gateway.kit.registers import ORDERS, encode, size_of
from gateway.plugin import Guess
from plugins.modbus.address import parse_address
from plugins.modbus.guessing import guesses_of
from plugins.modbus.tests.fakes import make_device


def found(*wires: bytes, expected: tuple[float, float] | None = None) -> list[Ranked]:
    return rank([list(guesses_of(parse_address("40001"), wire)) for wire in wires], expected)


def best(*wires: bytes, expected: tuple[float, float] | None = None) -> tuple[object, ...]:
    return tuple(found(*wires, expected=expected)[0].guess.options.values())


@pytest.mark.parametrize(
    ("type_", "order"),
    [(type_, order) for type_ in ("float32", "int32", "float64") for order in ORDERS[size_of(type_)][:4]],
)
def test_an_expected_range_finds_type_and_order(type_: str, order: str) -> None:
    values = (23.5, 23.75, 24.25) if type_.startswith("float") else (2350, 2375, 2425)
    expected = (15, 80) if type_.startswith("float") else (1500, 8000)
    wires = [encode(value, type_, order) for value in values]
    ranked = found(*wires, expected=expected)
    same = [each for each in ranked if (each.guess.value, each.score) == (ranked[0].guess.value, ranked[0].score)]
    assert ranked[0].guess.value == values[-1]
    assert {"address": "hr:0", "type": type_, "order": order} in [each.guess.options for each in same]


def test_without_an_expectation_a_steady_number_of_a_usual_size_comes_first() -> None:
    wires = [encode(value, "float32", "CDAB") for value in (71.26, 71.31, 71.28)]
    assert best(*wires) == ("hr:0", "float32", "CDAB")


def test_a_neighbour_is_found_when_the_manual_counts_otherwise() -> None:
    wires = [struct.pack(">Hf", 7, value) for value in (50.25, 50.5, 50.75)]
    assert best(*wires, expected=(49, 51)) == ("hr:1", "float32", "ABCD")


def test_a_value_that_is_the_same_in_several_orders_for_a_moment_is_not_lost() -> None:
    wires = [bytes(4), *[encode(value, "float32", "CDAB") for value in (0.5, 0.75)]]
    assert best(*wires, expected=(0.1, 1)) == ("hr:0", "float32", "CDAB")
    orders = [each.guess.options["order"] for each in found(bytes(4)) if each.guess.options["type"] == "float32"]
    assert orders == ["ABCD"]


def test_a_text_is_shown_as_a_text() -> None:
    (text,) = [each.guess for each in found(b"BOILER 7") if each.guess.options["type"] == "string"][:1]
    assert text == Guess({"address": "hr:0", "type": "string", "order": "AB", "length": 8}, "BOILER 7")


def test_what_is_told_for_a_guess_reads_the_same_value() -> None:
    wire = struct.pack(">fHi", 12.5, 77, -5)
    for each in found(wire):
        assert make_device({"t": dict(each.guess.options)})
