"""Whatever stands in a file: it is a table, or it is said what is wrong."""

import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.detect.learn.sources import read_file

CELLS = st.sampled_from(
    ["", "1", "-2.5", "1e999", "nan", "inf", "time", "device", "tag", "value", "quality", "good", "true", "x", '"',
     "0001-01-01", "9999-12-31T23:59:59+00:00", "2026-01-01 00:00:00", "2026-01-01T00:00:00Z", "1e18", "\0", "a [°C]", "1;2"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(CELLS, max_size=5), max_size=6), st.sampled_from(",;\t"), st.sampled_from([None, "x", "1"]))
def test_any_csv_is_a_table_or_a_mistake(tmp_path_factory, rows, delimiter, device):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join(delimiter.join(row) for row in rows))
    try:
        table = read_file(path, device)
    except GatewayError:
        return
    assert table.rows.shape == (len(table.t_ns), len(table.tags))
    assert (np.diff(table.t_ns) >= 0).all()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["csv", "parquet"]))
def test_any_bytes_are_a_table_or_a_mistake(tmp_path_factory, content, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow: pip install pyarrow")
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_bytes(content)
    with suppress(GatewayError):
        read_file(path)


@pytest.mark.parametrize(
    ("cells", "t_ns"),
    [
        (["10", "11.5"], [10_000_000_000, 11_500_000_000]),
        (["1970-01-01T00:00:10Z", "1970-01-01 00:00:11.5"], [10_000_000_000, 11_500_000_000]),
        (["1970-01-01T01:00:10+01:00", "1970-01-01T00:00:11Z"], [10_000_000_000, 11_000_000_000]),
    ],
)
def test_times_are_understood_as_people_write_them(tmp_path: Path, cells, t_ns):
    path = tmp_path / "times.csv"
    path.write_text("when,a\n" + "".join(f"{cell},1\n" for cell in cells))
    assert read_file(path).t_ns.tolist() == t_ns


def test_german_excels_table_is_learned_from_as_it_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "oven.csv"
    path.write_bytes(
        "Zeit;Öl [°C];Druck;;\r\n25.10.2026 14:30:00;21,5;1.250,5;;\r\n;;;;\r\n25.10.2026 14:30:01;22;;;\r\n".encode(
            "cp1252"
        )
    )
    table = read_file(path)
    assert (table.tags, table.units) == (("Öl", "Druck"), ("°C", ""))
    assert table.t_ns.tolist() == [1_792_938_600_000_000_000, 1_792_938_601_000_000_000]
    assert table.rows[0].tolist() == [21.5, 1250.5]
    assert table.rows[1][0] == 22
    assert np.isnan(table.rows[1][1])


@pytest.mark.parametrize(
    ("row", "told"),
    [("25.10.2026;1.000", "may mean 1000 or 1,000"), ("25.10.2026;#NV", 'shows "#NV"'), ("25.10.2026;1;7", "has 3 cells"),
     ("10/11/2026;5", "day and month"), ("25.10.2026", "has 1 cells")],
)  # fmt: skip
def test_what_a_spreadsheet_leaves_open_is_told_with_its_line(tmp_path: Path, row: str, told: str) -> None:
    path = tmp_path / "oven.csv"
    path.write_text(f"time;a\n25.10.2026;1\n{row}\n")
    with pytest.raises(GatewayError, match=re.escape(told)) as error:
        read_file(path)
    assert ":3: " in str(error.value) or "column" in str(error.value)
