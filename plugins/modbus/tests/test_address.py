import pytest

from gateway.kit import WordAddress
from plugins.modbus.address import AREAS, parse_address, quotes_missing

COILS, DISCRETE, INPUTS, HOLDING = AREAS


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("40001", WordAddress(HOLDING, 0)),
        ("49999", WordAddress(HOLDING, 9998)),
        ("400001", WordAddress(HOLDING, 0)),
        ("410000", WordAddress(HOLDING, 9999)),
        ("465536", WordAddress(HOLDING, 65535)),
        ("30010", WordAddress(INPUTS, 9)),
        ("300010", WordAddress(INPUTS, 9)),
        ("10001", WordAddress(DISCRETE, 0)),
        ("00001", WordAddress(COILS, 0)),
        ("000017", WordAddress(COILS, 16)),
        ("hr:0", WordAddress(HOLDING, 0)),
        ("HR:65535", WordAddress(HOLDING, 65535)),
        ("ir:7", WordAddress(INPUTS, 7)),
        ("co:8", WordAddress(COILS, 8)),
        ("coil:8", WordAddress(COILS, 8)),
        ("di:9", WordAddress(DISCRETE, 9)),
        ("40001.3", WordAddress(HOLDING, 0, 3)),
        ("hr:4.15", WordAddress(HOLDING, 4, 15)),
        (" 30001.0 ", WordAddress(INPUTS, 0, 0)),
    ],
)
def test_addresses_are_read_as_manuals_print_them_and_raw(text: str, meant: WordAddress) -> None:
    assert parse_address(text) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("4001", "is not of 5 or 6 digits (leading zeros lost in a spreadsheet?)"),
        ("1", "leading zeros"),
        ("4000001", "is not of 5 or 6 digits;"),
        ("20001", "begins with 2"),
        ("40000", "count from 1"),
        ("465537", "out of range"),
        ("hr:65536", "end at hr:65535"),
        ("xx:1", "there is no area 'xx'"),
        ("hr:-1", "is no Modbus address"),
        ("D100", '"hr:0"'),
        ("", "is no Modbus address"),
        ("40001.16", ".15"),
        ("co:1.2", "leave out .2"),
    ],
)
def test_a_wrong_address_is_refused_with_the_way_to_write_it(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert said in str(caught.value)


def test_a_number_without_quotes_is_answered_with_what_it_may_mean() -> None:
    assert quotes_missing(40001) == (
        'write "40001" in quotes: counted from 1 as in manuals it is holding register 1, or "hr:0" raw'
    )
    assert 'write "40001.3" in quotes' in quotes_missing(40001.3)
    assert "put the address in quotes" in quotes_missing(7)


def test_printing_is_the_inverse_of_reading() -> None:
    for area in AREAS:
        for offset in (0, 1, 9998, 9999, 65535):
            assert parse_address(area.printed(offset)) == WordAddress(area, offset)
