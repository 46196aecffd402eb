"""Tables as spreadsheet programs write them: nothing is misread, and nothing left out in silence."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.text import SheetError, moment, read_sheet, shows_error

GERMAN = "name;value;;\r\nÖl;1,5;;\r\n;;;\r\nGröße;2.500,25;;\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_german_excels_table_is_read_whatever_its_encoding(encoding: str) -> None:
    sheet = read_sheet(GERMAN.encode(encoding))
    assert list(sheet.titles) == ["name", "value", "", ""]
    assert [(line, row[0], sheet.number(row[1])) for line, row in sheet.rows] == [(2, "Öl", 1.5), (4, "Größe", 2500.25)]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("5", 5), ("-5", -5), ("+5", 5), ("1,5", 1.5), (",5", 0.5), ("1,", 1.0), ("1.234.567,5", 1234567.5), ("0,001", 0.001),
        ("1,5E-3", 0.0015), ("1.5", 1.5), ("0.125", 0.125), ("1234.567", 1234.567), ("1\u202f000", 1000), ("007", 7),
        ("", None), ("-", None), (",", None), ("1,2,3", None), ("abc", None), ("1..5", None), ("0x10", None), ("1_0", None),
        ("nan", None), ("inf", None), ("9" * 400, None), ("1e5", 1e5), ("12.34.567", None), ("٣", None),
    ],
)  # fmt: skip
def test_a_number_where_decimals_have_a_comma(cell: str, value: float | None) -> None:
    sheet = read_sheet(b"a;b\n1;2\n")
    assert sheet.number(cell) == value


@pytest.mark.parametrize("cell", ["1.000", "-1.000", "12.345", "1.000.000"])
def test_a_number_that_may_be_read_in_two_ways_is_refused_unless_the_table_itself_tells(cell: str) -> None:
    with pytest.raises(ValueError, match="may mean"):
        read_sheet(f"a;b\n1;{cell}\n".encode()).number(cell)
    told = read_sheet(f"a;b\n0.5;{cell}\n".encode())
    if cell.count(".") == 1:
        assert told.number(cell) == float(cell)
        assert read_sheet(f"a,b\n1,{cell}\n".encode()).number(cell) == float(cell)


@pytest.mark.parametrize(
    "cell", ["#NAME?", "#NV", "#N/A", "#WERT!", "#VALUE!", "#REF!", "#BEZUG!", "#DIV/0!", "#ZAHL!", "###"]
)
def test_an_error_that_the_spreadsheet_shows_is_no_comment(cell: str) -> None:
    assert shows_error(cell)
    sheet = read_sheet(f"name;address\n{cell};40002\n# {cell};40003\n#oil;40004\n".encode())
    assert [row for _, row in sheet.rows] == [[cell, "40002"]]


def test_a_delimiter_within_quotes_does_not_count() -> None:
    assert list(read_sheet(b'"a, b, c";d\n1;2\n').titles) == ["a, b, c", "d"]
    assert list(read_sheet(b"sep=;;;\r\na;b\r\n").titles) == ["a", "b"]


@pytest.mark.parametrize(
    ("cell", "time"),
    [
        ("25.10.2026", datetime(2026, 10, 25, tzinfo=UTC)),
        ("5.1.2026 7:05", datetime(2026, 1, 5, 7, 5, tzinfo=UTC)),
        ("25.10.2026 14:30:05,25", datetime(2026, 10, 25, 14, 30, 5, 250_000, tzinfo=UTC)),
        ("2026-10-25 14:30", datetime(2026, 10, 25, 14, 30, tzinfo=UTC)),
        ("2026-10-25T14:30:00Z", datetime(2026, 10, 25, 14, 30, tzinfo=UTC)),
    ],
)
def test_a_time_as_people_write_it(cell: str, time: datetime) -> None:
    assert moment(cell) == time


@pytest.mark.parametrize("cell", ["10/11/2026", "2026/10/11", "25.13.2026", "25.10.26", "yesterday", "", "31.2.2026"])
def test_a_time_that_is_none_or_may_be_read_in_two_ways_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match=r"in \"|out of range|must be in|isoformat|day|month"):
        moment(cell)


@given(st.one_of(st.binary(max_size=200), st.text('name;add,"\n\t\r1.5#\x00 é?', max_size=80).map(str.encode)))
def test_any_bytes_are_a_table_or_a_mistake(data: bytes) -> None:
    try:
        sheet = read_sheet(data)
    except SheetError as error:
        assert error.line >= 1
        return
    for _, row in sheet.rows:
        for cell in row:
            try:
                sheet.number(cell)
            except ValueError as error:
                assert "may mean" in str(error)
