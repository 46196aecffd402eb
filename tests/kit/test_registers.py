"""Registers against pymodbus, which is not our code, over all types and orders."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from gateway.kit.registers import (
    FORMATS,
    ORDERS,
    TEXT_ORDERS,
    decode,
    decode_bits,
    decode_text,
    encode,
    encode_bits,
    encode_text,
    size_of,
    whole,
)

CASES = [(type_, order) for type_ in FORMATS for order in ORDERS[size_of(type_)]]


def values_of(type_: str) -> st.SearchStrategy[int | float]:
    size = 8 * size_of(type_)
    if type_.startswith("bcd"):
        return st.integers(0, 10 ** (size // 4) - 1)
    if type_.startswith("float"):
        return st.floats(width=size, allow_nan=False)
    if type_.startswith("uint"):
        return st.integers(0, 2**size - 1)
    return st.integers(-(2 ** (size - 1)), 2 ** (size - 1) - 1)


def plain_wire(value: float, type_: str) -> bytes:
    """Big-endian, by code that is not ours."""
    if type_.startswith("bcd"):
        return bytes.fromhex(f"{int(value):0{2 * size_of(type_)}d}")
    return struct.pack(">e", value) if type_ == "float16" else pymodbus_wire(value, type_, "big")


def pymodbus_wire(value: float, type_: str, words: str) -> bytes:
    kind = ModbusClientMixin.DATATYPE[type_.upper()]
    registers = ModbusClientMixin.convert_to_registers(value, kind, words)
    return struct.pack(f">{len(registers)}H", *registers)


@pytest.mark.parametrize(("type_", "order"), CASES)
def test_wire_bytes_stand_as_the_order_spells_them(type_: str, order: str) -> None:
    spelled = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}

    @settings(deadline=None)
    @given(values_of(type_))
    def check(value: float) -> None:
        big = plain_wire(value, type_)
        letters = spelled.get(order, order) if len(big) == 8 else order
        wire = bytes(big["ABCDEFGH".index(letter)] for letter in letters)
        assert encode(value, type_, order) == wire
        assert decode(wire, type_, order) == value

    check()


@pytest.mark.parametrize("type_", [type_ for type_ in FORMATS if size_of(type_) > 2 and not type_.startswith("bcd")])
def test_abcd_and_cdab_are_the_word_orders_of_pymodbus(type_: str) -> None:
    @settings(deadline=None)
    @given(values_of(type_))
    def check(value: float) -> None:
        assert encode(value, type_, "ABCD") == pymodbus_wire(value, type_, "big")
        assert encode(value, type_, "CDAB") == pymodbus_wire(value, type_, "little")

    check()


@settings(deadline=None)
@given(st.integers(0, 15), st.integers(1, 16), st.booleans(), st.data())
def test_bits_come_back_as_they_were_written_and_touch_no_other(
    bit: int, width: int, signed: bool, data: st.DataObject
) -> None:
    width = min(width, 16 - bit)
    lowest = -(1 << width - 1) if signed else 0
    value = data.draw(st.integers(lowest, lowest + (1 << width) - 1))
    register = encode_bits(value, bit, width, signed=signed)
    assert decode_bits(register, bit, width, signed=signed) == value
    assert register & ~((1 << width) - 1 << bit) == 0
    with pytest.raises(ValueError, match="does not fit"):
        encode_bits(lowest + (1 << width), bit, width, signed=signed)


@pytest.mark.parametrize("order", TEXT_ORDERS)
def test_texts_come_back_as_they_were_written_in_every_layout(order: str) -> None:
    @settings(deadline=None)
    @given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20), st.integers(0, 30))
    def check(text: str, room: int) -> None:
        text = text.rstrip(" ")
        length = max(1, len(text.encode()) + room)
        wire = encode_text(text, length, order, "utf-8")
        assert decode_text(wire, "string", length, order, "utf-8") == text

    check()


@pytest.mark.parametrize(
    ("order", "wire"), [("AB", "5031 3700"), ("BA", "3150 0037"), ("A", "5000 3100 3700"), ("B", "0050 0031 0037")]
)
def test_the_layouts_of_a_text_are_those_of_plc_manuals(order: str, wire: str) -> None:
    assert encode_text("P17", 3, order, "ascii") == bytes.fromhex(wire)
    assert decode_text(bytes.fromhex(wire), "string", 3, order, "ascii") == "P17"
    assert decode_text(bytes.fromhex(wire), "bytes", 3, order, "") == b"P17"


@pytest.mark.parametrize("value", ["Grüße", "a text that is too long"])
def test_a_text_that_does_not_fit_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=value):
        encode_text(value, 8, "AB", "ascii")


def test_an_integer_is_what_a_scaling_means_and_nothing_else() -> None:
    assert whole(12.0000000001) == 12
    with pytest.raises(ValueError, match="no whole number"):
        whole(12.4)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (65536, "uint16"),
        (-1, "uint32"),
        (2**63, "int64"),
        (1e39, "float32"),
        (math.nan, "int16"),
        (10000, "bcd16"),
        (-1, "bcd32"),
        (70000.0, "float16"),
        (1.5, "int16"),
        (math.inf, "int32"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value: float, type_: str) -> None:
    with pytest.raises(ValueError, match=f"does not fit in {type_}"):
        encode(value, type_, ORDERS[size_of(type_)][0])
