import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.text import for_spreadsheet


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+cmd|' /C calc'!A0", "-1+2", "@SUM(1)", "\t=1", "\r=1", " =1", "\uff1d1", "-", "=", "-1e", "+1.2.3"],
)
def test_what_a_spreadsheet_takes_for_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert for_spreadsheet(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell", ["", "oil", "-5", "+5.25", "-1.5e-300", "5", -5, -5.5, None, "a=b", "2026-11-22", "°C"]
)
def test_numbers_and_other_texts_stay(cell: object) -> None:
    assert for_spreadsheet(cell) == cell


@given(st.text())
def test_no_cell_begins_like_a_formula(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([for_spreadsheet(text)])
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    if row[0][:1] in ("=", "+", "-", "@", "\t", "\r"):
        float(row[0])
