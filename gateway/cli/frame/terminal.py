"""How answers look to a person."""

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.cli.frame.screen import control
from gateway.core.text import shown
from gateway.places.state_dir import CONFIG

SPREADSHEET = "put an apostrophe before what a spreadsheet program would take for a formula (only in CSV)"
CODES = {"red": 31, "green": 32, "yellow": 33, "grey": 90, "bold": 1}


def colour(text: str, name: str) -> str:
    """The text in a colour, on a terminal that wants colours."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"{control(_sgr(CODES[name]))}{text}{control(_sgr(0))}"


def _sgr(code: int) -> str:
    return f"\033[{code}m"


def joined(lines: Iterable[str]) -> str:
    """The lines as one text; what breaks a line within one of them is text from outside."""
    return "\n".join(line.replace("\n", "\\n") for line in lines)


def width(text: str) -> int:
    """Columns that the text takes on a terminal: two for a wide character, as those of Korean are."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


def in_words(error: OSError) -> str:
    """Which file it is about, what is wrong with it, and, where rights are missing, what to do."""
    about = f"{error.filename}: " if error.filename else ""
    rights = ": you have no right to it, try with sudo" if isinstance(error, PermissionError) and os.getuid() else ""
    return f"{about}{error.strerror or error}{rights}"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines with aligned columns; those numbered in `right` are set to the right."""
    if not rows:
        return []
    rows = [[shown(cell) for cell in row] for row in rows]
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            _filled(cell, wide, column in right) for column, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _filled(cell: str, columns: int, right: bool) -> str:
    blank = " " * (columns - width(cell))
    return blank + cell if right else cell + blank


def redrawn(lines: Sequence[str], height: int) -> list[str]:
    """The lines as they are printed to replace the last screen, without flicker; no more than `height` of them."""
    if len(lines) > height:
        lines = [*lines[: height - 1], f"… and {len(lines) - height + 1} more"]
    ends = [*["\033[K"] * (len(lines) - 1), "\033[J"]
    first, *rest = [line + control(end) for line, end in zip(lines or [""], ends, strict=True)]
    return [control("\033[H") + first, *rest]


def number(value: object) -> str:
    """A value for a person: six digits are enough on a screen."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def count(number: int, word: str) -> str:
    """How many there are, as in "1 tag" or "12 345 tags"."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") + f" {word}{'' if number == 1 else 's'}"


def sentence(parts: Iterable[str]) -> str:
    """The parts that say something, with commas between them."""
    return ", ".join(part for part in parts if part)


def config_path(given: str | None) -> Path:
    """The configuration to use: as given, by $EDGE_GATEWAY_CONFIG, or the service's."""
    return Path(given or os.environ.get("EDGE_GATEWAY_CONFIG") or CONFIG)


def fail(message: str) -> None:
    """A message on stderr."""
    head, *more = message.split("\n")
    print(joined([f"edge-gateway: {head}"]), *more, sep="\n", file=sys.stderr)
