"""The codec against pymodbus, which is not our code, over all types and orders."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from plugins.modbus.codec import FORMATS, ORDERS, decode, encode, size_of

CASES = [(type_, order) for type_ in FORMATS for order in ORDERS[size_of(type_)]]


def values_of(type_: str) -> st.SearchStrategy[int | float]:
    size = 8 * size_of(type_)
    if type_.startswith("float"):
        return st.floats(width=size, allow_nan=False)
    if type_.startswith("uint"):
        return st.integers(0, 2**size - 1)
    return st.integers(-(2 ** (size - 1)), 2 ** (size - 1) - 1)


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
        big = pymodbus_wire(value, type_, "big")
        letters = spelled.get(order, order) if len(big) == 8 else order
        wire = bytes(big["ABCDEFGH".index(letter)] for letter in letters)
        assert encode(value, type_, order) == wire
        assert decode(wire, type_, order) == value

    check()


@pytest.mark.parametrize("type_", [type_ for type_ in FORMATS if size_of(type_) > 2])
def test_abcd_and_cdab_are_the_word_orders_of_pymodbus(type_: str) -> None:
    @settings(deadline=None)
    @given(values_of(type_))
    def check(value: float) -> None:
        assert encode(value, type_, "ABCD") == pymodbus_wire(value, type_, "big")
        assert encode(value, type_, "CDAB") == pymodbus_wire(value, type_, "little")

    check()


@pytest.mark.parametrize(
    ("value", "type_"), [(65536, "uint16"), (-1, "uint32"), (2**63, "int64"), (1e39, "float32"), (math.nan, "int16")]
)
def test_a_value_that_does_not_fit_is_refused(value: float, type_: str) -> None:
    with pytest.raises(ValueError, match=f"does not fit in {type_}"):
        encode(value, type_, ORDERS[size_of(type_)][0])
