"""Tags, or devices, from a CSV file, as spreadsheets write it: one row each, the columns named as its options."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway.config.mistakes import did_you_mean
from gateway.config.text import Sheet, SheetError, read_bytes, read_sheet, shows_error
from gateway.core.errors import ConfigError, Problem
from gateway.core.parsing import doubting

_COMMA = re.compile(r"(?<=\d),(?=\d)")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One tag or device: its line in the file, its name, and its options as TOML would give them."""

    line: int
    name: str
    options: Mapping[str, Any]
    columns: Sequence[str]
    """All columns of the table."""


def read_tags(path: Path, shown: str, model: type[BaseModel]) -> tuple[list[Row], list[Problem], bytes]:
    """The tags of a file, see `read_rows`; `model` is the driver's TagConfig."""
    needed = [key for key, field in model.model_fields.items() if field.is_required()]
    return read_rows(path, shown, model, "tag", needed)


def read_rows(
    path: Path, shown: str, model: type[BaseModel], what: str, needed: Collection[str], without: Collection[str] = ()
) -> tuple[list[Row], list[Problem], bytes]:
    """The rows of a file, what is wrong with it, and its bytes. `shown` is the file's name in problems, `model` the driver's
    TagConfig or DeviceConfig, whose options are the columns; `what`, a tag or a device, a row is; `needed`: columns that it
    must have beside the name; `without`: options that are none. Raises ConfigError when the file cannot be read at all."""
    data = read_bytes(path)
    try:
        with doubting(lambda reason: SheetError(0, f"is not a CSV table: {reason}")):
            sheet = read_sheet(data)
    except SheetError as error:
        raise ConfigError([Problem(shown, error.line, "", str(error))]) from None
    kinds = {key: types for key, types in _kinds(model).items() if key not in without}
    table = _Table(shown, kinds, sheet, what, needed)
    return list(table.rows()), table.problems, data


class _Table:
    """Reads the rows, and collects what is wrong."""

    def __init__(
        self, shown: str, kinds: Mapping[str, set[str]], sheet: Sheet, what: str, needed: Collection[str]
    ) -> None:
        self._sheet = sheet
        self._shown = shown
        self._what = what
        self._kinds = kinds
        self._needed = needed
        self.problems: list[Problem] = []
        self.line = sheet.line
        """Where the row begins that is read or checked."""

    def rows(self) -> Iterator[Row]:
        if not self._sheet.titles:
            self._wrong("", 'is empty: the first row names the columns, such as "name" and "address"')
            return
        header = self._header(self._sheet.titles)
        for line, cells in self._sheet.rows:
            self.line = line
            if row := self._row(header, cells):
                yield row

    def _header(self, titles: Sequence[str]) -> list[str]:
        """The columns as the options are called; capitals and blanks do not matter, nor columns that are empty."""
        known = {name.casefold(): name for name in ("name", *self._kinds)}
        cells = [known.get(re.sub(r"[\s-]+", "_", title.casefold()), title) for title in titles]
        for place, cell in enumerate(cells):
            if not cell:
                if any(len(row) > place and row[place] for _, row in self._sheet.rows):
                    self._wrong(f"column {place + 1}", "has no name in the first row")
            elif cell not in known.values():
                self._wrong(f'column "{cell}"', f"unknown column{did_you_mean(cell, known.values())}")
            elif cell in cells[:place]:
                self._wrong(f'column "{cell}"', "stands twice")
        for needed in ("name", *self._needed):
            if needed not in cells:
                self._wrong("", f'the column "{needed}" is missing in the first row')
        return cells

    def _row(self, header: list[str], cells: Sequence[str]) -> Row | None:
        named = dict(zip(header, cells, strict=False))
        name = named.pop("name", "")
        where = f'{self._what} "{name}"' if name else ""
        broken = [cell for cell in cells if shows_error(cell)]
        if broken:
            advice = (
                "the cell's formula is broken there; a text that begins with = - + or @ needs an apostrophe in front"
            )
            self._wrong(where, f'the spreadsheet shows "{broken[0]}": {advice}')
            return None
        if any(cells[len(header) :]):
            comma = self._sheet.decimal_comma
            hint = "" if comma else '; with "," between columns, write decimals with a point, or quote the cell'
            self._wrong(where, f"the row has {len(cells)} cells, the first row {len(header)}{hint}")
            return None
        if not name:
            if "name" in header:
                self._wrong('column "name"', "is empty")
            return None
        options = {}
        for column, cell in named.items():
            if cell and column in self._kinds:
                try:
                    options[column] = _value(cell, self._kinds[column], self._sheet)
                except ValueError as error:
                    self._wrong(f'{where}: column "{column}"', str(error))
        return Row(self.line, name, options, header)

    def _wrong(self, where: str, message: str) -> None:
        self.problems.append(Problem(self._shown, self.line, where, message))


def _kinds(model: type[BaseModel]) -> dict[str, set[str]]:
    """The JSON types that each option can have."""
    schema = model.model_json_schema()
    return {key: set(_types(entry)) for key, entry in schema["properties"].items()}


def _types(entry: Mapping[str, Any]) -> Iterator[str]:
    if "enum" in entry and "type" not in entry:
        yield "string"
    if "type" in entry:
        yield entry["type"]
    for choice in entry.get("anyOf", ()):
        yield from _types(choice)


def _value(cell: str, kinds: set[str], sheet: Sheet) -> Any:
    """A cell as the TOML value that it stands for; left as text where it is none, for the option's own check to name."""
    if "boolean" in kinds and cell.casefold() in _WORDS:
        return _WORDS[cell.casefold()]
    if "array" in kinds:
        return [_number(part, sheet) for part in _parts(cell.strip("[] "), sheet.decimal_comma)]
    if kinds & {"number", "integer"}:
        return _number(cell, sheet)
    return cell


def _parts(cell: str, decimal_comma: bool) -> list[str]:
    """The entries of a list, written "0..100", "0 100" or "[0, 100]"."""
    if ".." in cell:
        return [part.strip() for part in cell.split("..")]
    return re.split(r"[;\s]+" if decimal_comma else r"[,;\s]+", cell)


def _number(cell: str, sheet: Sheet) -> Any:
    found = sheet.number(cell)
    if found is None:  # such as 0,5%
        return _COMMA.sub(".", cell) if sheet.decimal_comma else cell
    return found
