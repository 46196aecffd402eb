"""Tables as spreadsheet programs write them: the one reader for tags and for learning data.

Understood are UTF-8, UTF-16, Windows-1252 and the Korean cp949; commas, semicolons and tabs between cells; German Excel's
decimal comma, dates such as 25.10.2026, and the empty columns and rows that it leaves. What can be read in two ways is
refused in words, and so is a cell in which the spreadsheet itself shows an error: nothing is guessed, and no row is left out
but empty ones and comments.
"""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.core.text import cleaned

_DELIMITERS = ",;\t"
_LONGEST_NUMBER = 300
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+", re.ASCII)
_GERMAN = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d*),\d*([eE][-+]?\d+)?", re.ASCII)
_FRACTION = re.compile("[.eE]")
_ERROR = re.compile(r"#(N/A|N/V|NV|[A-ZÄÖÜ]{2,}(/0)?[?!]?|[A-ZÄÖÜ]+/0[!?])$|#{3,}$")
_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})([.,]\d{1,9})?)?)?", re.ASCII)
_SYLLABLE = re.compile(rb"[\xb0-\xc8][\xa1-\xfe]")
_SLASHES = re.compile(r"\d{1,4}/\d{1,2}/\d{2,4}\b", re.ASCII)


class SheetError(ValueError):
    """What cannot be read as a table; `line` is where."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its titles, and its rows with the line where each begins."""

    titles: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]
    line: int
    """Of the titles; 1 where there are none."""
    decimal_comma: bool
    """Whether it may come from where decimals have a comma: there, semicolons or tabs stand between cells."""
    decimal_point: bool
    """Whether some cell shows that decimals have a point all the same."""

    def number(self, cell: str) -> int | float | None:
        """A cell as the number that it is; None where it is none. Raises ValueError for one that may be read in two ways."""
        if len(cell) > _LONGEST_NUMBER:
            return None
        text = cell.replace("\N{NO-BREAK SPACE}", "").replace("\N{NARROW NO-BREAK SPACE}", "")
        if self.decimal_comma and not (text.isascii() and text.isdecimal()):
            if not self.decimal_point and _THOUSANDS.fullmatch(text):
                raise ValueError(
                    f'"{cell}" may mean {text.replace(".", "")} or {text.replace(".", ",", 1)}: write it so'
                )
            if _GERMAN.fullmatch(text) and text.strip("+-,"):
                text = text.replace(".", "").replace(",", ".")
        if not _NUMBER.fullmatch(text):
            return None
        return float(text) if _FRACTION.search(text) else int(text)


def read_sheet(data: bytes) -> Sheet:
    """A CSV table. Raises SheetError."""
    lines = list(io.StringIO(_text(data), newline=""))
    delimiter, skip = _delimiter(lines)
    reader = csv.reader(lines[skip:], delimiter=delimiter, strict=True)
    line, found = skip + 1, []
    try:
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells) and not _is_comment(cells[0]):
                found.append((line, cells))
            line = skip + reader.line_num + 1
    except csv.Error as error:
        raise SheetError(line, f"is not a CSV table: {error}; look for a quote that is not closed") from None
    comma = delimiter != ","
    (first, titles), *rows = found or [(1, [])]
    return Sheet(titles, rows, first, comma, comma and any(_has_point(cell) for _, row in rows for cell in row))


def shows_error(cell: str) -> bool:
    """Whether a spreadsheet program shows an error in this cell, such as #NAME? or #NV, or ##### where the column was too
    narrow."""
    return _ERROR.match(cell) is not None


def moment(cell: str) -> datetime:
    """A cell as a time, UTC where it names no zone. Raises ValueError for what is none, or may be read in two ways."""
    text = cell.strip()
    if match := _DAY.fullmatch(text):
        day, month, year, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        micro = int(((match[7] or "")[1:] + "000000")[:6])
        return datetime(year, month, day, hour, minute, second, micro, UTC)
    if _SLASHES.match(text):
        raise ValueError(f'in "{cleaned(cell, 40)}" nobody can tell day and month')
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=found.tzinfo or UTC)


def _has_point(cell: str) -> bool:
    return "." in cell and _NUMBER.fullmatch(cell) is not None and _THOUSANDS.fullmatch(cell) is None


def _text(data: bytes) -> str:
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encodings = ["utf-16"] if wide else ["utf-8-sig", "cp949" if _is_korean(data) else "cp1252"]
    line = 1
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
    raise SheetError(line, 'is not UTF-8 (nor Windows-1252): save it as "CSV UTF-8"')


def _is_korean(data: bytes) -> bool:
    """Whether it is what Korean Windows writes (cp949): in Western text there is hardly ever a syllable of KS X 1001, two
    bytes far up in the table, and never nothing else."""
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        return False
    foreign = [char for char in text if not char.isascii()]
    return _SYLLABLE.search(data) is not None and all("가" <= char <= "힣" or not char.isalpha() for char in foreign)


def _is_comment(cell: str) -> bool:
    return cell.startswith("#") and not shows_error(cell)


def _delimiter(lines: Sequence[str]) -> tuple[str, int]:
    """The delimiter, and how many lines stand before the table: the first row decides, or Excel's `sep=` line."""
    first = next((number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
    line = lines[first] if lines else ""
    if match := re.match(r'"?sep=(.)"?[;,\t]*\s*$', line):
        return match[1], first + 1
    bare = re.sub(r'"[^"]*"', "", line)
    return max(_DELIMITERS, key=bare.count), 0
