"""Tags from a CSV file, as spreadsheets write it: one row a tag, the columns named as the tag's options."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from gateway.config.mistakes import did_you_mean
from gateway.config.toml_file import read_bytes
from gateway.core.errors import ConfigError, Problem
from gateway.core.text import cleaned

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_COMMA = re.compile(r"(?<=\d),(?=\d)")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_DELIMITERS = ",;\t"
_LONGEST_NUMBER = 300


@dataclass(frozen=True, slots=True)
class Row:
    """One tag: its line in the file, its name, and its options as TOML would give them."""

    line: int
    name: str
    options: dict[str, Any]
    columns: Sequence[str]
    """All columns of the table."""


def read_tags(path: Path, shown: str, model: type[BaseModel]) -> tuple[list[Row], list[Problem], bytes]:
    """The rows of a tag file, what is wrong with it, and its bytes. `shown` is the file's name in problems, `model` the
    driver's TagConfig, whose options are the columns. Raises ConfigError when the file cannot be read at all."""
    data = read_bytes(path)
    table = _Table(shown, model)
    try:
        rows = list(table.rows(_text(data, shown)))
    except csv.Error as error:
        message = f"is not a CSV table: {error}; look for a quote that is not closed"
        raise ConfigError([Problem(shown, table.line, "", message)]) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigError([Problem(shown, table.line, "", f"is not a CSV table: {cleaned(error)}")]) from None
    return rows, table.problems, data


def _text(data: bytes, shown: str) -> str:
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(shown, line, "", 'is not UTF-8: save it as "CSV UTF-8"')]) from None


class _Table:
    """Reads the rows, and collects what is wrong."""

    def __init__(self, shown: str, model: type[BaseModel]) -> None:
        self._shown = shown
        self._kinds = _kinds(model)
        self._needed = [key for key, field in model.model_fields.items() if field.is_required()]
        self.problems: list[Problem] = []
        self.line = 0
        """Where the row begins that is read or checked."""

    def rows(self, text: str) -> Iterator[Row]:
        lines = list(io.StringIO(text, newline=""))
        delimiter, skip = _delimiter(lines)
        reader = csv.reader(lines[skip:], delimiter=delimiter, strict=True)
        header: list[str] | None = None
        self.line = skip + 1
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells) and not cells[0].startswith("#"):
                if header is None:
                    header = self._header(cells)
                elif row := self._row(header, cells, decimal_comma=delimiter != ","):
                    yield row
            self.line = skip + reader.line_num + 1
        if header is None:
            self.line = 1
            self._wrong("", 'is empty: the first row names the columns, such as "name" and "address"')

    def _header(self, cells: list[str]) -> list[str]:
        known = ["name", *self._kinds]
        for number, cell in enumerate(cells, 1):
            if not cell:
                self._wrong(f"column {number}", "has no name in the first row")
            elif cell not in known:
                self._wrong(f'column "{cell}"', f"unknown column{did_you_mean(cell, known)}")
            elif cell in cells[: number - 1]:
                self._wrong(f'column "{cell}"', "stands twice")
        for needed in ("name", *self._needed):
            if needed not in cells:
                self._wrong("", f'the column "{needed}" is missing in the first row')
        return cells

    def _row(self, header: list[str], cells: list[str], decimal_comma: bool) -> Row | None:
        named = dict(zip(header, cells, strict=False))
        name = named.pop("name", "")
        where = f'tag "{name}"' if name else ""
        if any(cells[len(header) :]):
            hint = "" if decimal_comma else '; with "," between columns, write decimals with a point, or quote the cell'
            self._wrong(where, f"the row has {len(cells)} cells, the first row {len(header)}{hint}")
            return None
        if not name:
            if "name" in header:
                self._wrong('column "name"', "is empty")
            return None
        options = {}
        for column, cell in named.items():
            if cell and column in self._kinds:
                options[column] = _value(cell, self._kinds[column], decimal_comma)
        return Row(self.line, name, options, header)

    def _wrong(self, where: str, message: str) -> None:
        self.problems.append(Problem(self._shown, self.line, where, message))


def _delimiter(lines: list[str]) -> tuple[str, int]:
    """The delimiter, and how many lines stand before the table: the first row decides, or Excel's `sep=` line."""
    first = next((number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
    line = lines[first] if lines else ""
    if match := re.match(r'"?sep=(.)"?\s*$', line):
        return match[1], first + 1
    return max(_DELIMITERS, key=line.count), 0


def _kinds(model: type[BaseModel]) -> dict[str, set[str]]:
    """The JSON types that each option can have."""
    schema = model.model_json_schema()
    return {key: set(_types(cast(dict[str, Any], entry))) for key, entry in schema["properties"].items()}


def _types(entry: dict[str, Any]) -> Iterator[str]:
    if "enum" in entry and "type" not in entry:
        yield "string"
    if "type" in entry:
        yield entry["type"]
    for choice in entry.get("anyOf", ()):
        yield from _types(choice)


def _value(cell: str, kinds: set[str], decimal_comma: bool) -> Any:
    """A cell as the TOML value that it stands for; left as text where it is none, for the option's own check to name."""
    if "boolean" in kinds and cell.casefold() in _WORDS:
        return _WORDS[cell.casefold()]
    if "array" in kinds:
        return [_number(part, decimal_comma) for part in _parts(cell.strip("[] "), decimal_comma)]
    if kinds & {"number", "integer"}:
        return _number(cell, decimal_comma)
    return cell


def _parts(cell: str, decimal_comma: bool) -> list[str]:
    """The entries of a list, written "0..100", "0 100" or "[0, 100]"."""
    if ".." in cell:
        return [part.strip() for part in cell.split("..")]
    return re.split(r"[;\s]+" if decimal_comma else r"[,;\s]+", cell)


def _number(cell: str, decimal_comma: bool) -> Any:
    text = _COMMA.sub(".", cell) if decimal_comma else cell
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return text
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
