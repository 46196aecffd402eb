from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.mistakes import check
from gateway.config.tags_csv import read_tags
from gateway.core.errors import ConfigError
from tests.config.sample_plugins import PlcTag


def tags(path: Path, content: str | bytes, encoding: str = "utf-8") -> dict[str, PlcTag]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    rows, problems, _ = read_tags(path, path.name, PlcTag)
    assert problems == []
    found = {}
    for row in rows:
        tag, mistakes = check(PlcTag, row.options, path.parent)
        assert tag, mistakes
        found[row.name] = tag
    return found


COMMA = 'name,address,type,scale,range,signed,description,deadband\na,40001,int16,0.5,0..100,true,"oil, ""hot""",0.5%\n'
EUROPEAN = (
    'name;address;type;scale;range;signed;description;deadband\na;40001;int16;0,5;0..100;yes;"oil, ""hot""";0,5%\n'
)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (COMMA, "utf-8"),
        (COMMA, "utf-8-sig"),
        (COMMA.replace("\n", "\r\n"), "utf-8"),
        (COMMA.replace("\n", "\r"), "utf-8"),
        (EUROPEAN, "utf-8-sig"),
        (EUROPEAN.replace(";", "\t"), "utf-16"),
        ("sep=;\n" + EUROPEAN, "utf-8"),
        ("\n# exported today\n" + EUROPEAN + ";;;;;;;\n# end\n", "utf-8"),
        (EUROPEAN.replace("0..100", '"[0 100]"'), "utf-8"),
        (COMMA.replace("0..100", '"[0, 100]"'), "utf-8"),
    ],
)
def test_every_dialect_of_a_spreadsheet_reads_alike(tmp_path: Path, text: str, encoding: str) -> None:
    tag = tags(tmp_path / "t.csv", text, encoding)["a"]
    assert (tag.address, tag.type, tag.scale, tag.range, tag.signed) == ("40001", "int16", 0.5, (0, 100), True)
    assert (tag.description, tag.deadband) == ('oil, "hot"', "0.5%")


def test_empty_cells_keep_the_default_and_short_rows_are_filled(tmp_path: Path) -> None:
    found = tags(tmp_path / "t.csv", "name;address;scale;unit\na;1;;bar\nb;2\n")
    assert (found["a"].scale, found["a"].unit, found["b"].unit) == (1.0, "bar", "")


def test_an_address_of_digits_stays_a_text(tmp_path: Path) -> None:
    assert tags(tmp_path / "t.csv", "name,address\na,00017\n")["a"].address == "00017"


def test_a_row_has_the_line_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('name,address,description\na,1,"two\nlines"\n\nb,2,x\n')
    rows, _, _ = read_tags(path, "t.csv", PlcTag)
    assert [(row.name, row.line) for row in rows] == [("a", 2), ("b", 5)]


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=80), st.text('name;addrs,"\n\t\r1.5#\x00 é', max_size=80).map(str.encode)))
def test_any_bytes_are_rows_or_problems(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    try:
        rows, problems, _ = read_tags(path, "t.csv", PlcTag)
    except ConfigError as error:
        assert error.problems
    else:
        assert rows or problems or data


def wrong(path: Path, content: str) -> tuple[list[str], list[str]]:
    path.write_text(content)
    rows, problems, _ = read_tags(path, "t.csv", PlcTag)
    return [row.name for row in rows], [str(problem) for problem in problems]


def test_empty_columns_and_capitals_of_a_spreadsheet_do_not_matter(tmp_path: Path) -> None:
    found = tags(tmp_path / "t.csv", "Name; ADDRESS ;Type;Scale;;\na;40001;int16;0,5;;\n;;;;;\nb;40002;int16;;;\n")
    assert (found["a"].address, found["a"].scale, found["b"].address) == ("40001", 0.5, "40002")


def test_a_cell_in_a_column_without_a_name_is_told(tmp_path: Path) -> None:
    assert wrong(tmp_path / "t.csv", "name;;address\na;x;40001\n")[1] == [
        "t.csv:1: column 2: has no name in the first row"
    ]
    assert "column 3: has no name" in wrong(tmp_path / "t.csv", "name;address;\na;40001;x\n")[1][0]
    assert "3 cells, the first row 2" in wrong(tmp_path / "t.csv", "name;address\na;40001;x\n")[1][0]


def test_a_row_whose_name_is_an_error_of_the_spreadsheet_does_not_vanish(tmp_path: Path) -> None:
    names, problems = wrong(tmp_path / "t.csv", "name;address;type;unit;;\na;40001;int16;;;\n#NAME?;40002;int16;;;\n")
    assert names == ["a"]
    assert len(problems) == 1
    assert 't.csv:3: tag "#NAME?": the spreadsheet shows "#NAME?"' in problems[0]


def test_a_thousand_is_not_read_as_one(tmp_path: Path) -> None:
    (problem,) = wrong(tmp_path / "t.csv", "name;address;scale\na;1;1.000\n")[1]
    assert problem == 't.csv:2: tag "a": column "scale": "1.000" may mean 1000 or 1,000: write it so'
