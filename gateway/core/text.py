"""Text from outside: devices, brokers, certificates, files and plugins bring whatever they like.

What comes in as a name, a reason or a description is `cleaned` once, where it comes in; a value of a tag keeps all of its
characters and is only made `encodable`. What goes to a terminal is `shown`.
"""

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 1000
"""Characters that are kept of a name, a reason or a description."""

_NO_CHARACTER = re.compile("[\ud800-\udfff]")
# Control characters of Unicode's category Cc, and what breaks a line.
_FORMULA = ("=", "+", "-", "@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}", "\N{FULLWIDTH HYPHEN-MINUS}",
            "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it: halves of characters, which stand for bytes that are no text, become U+FFFD."""
    return text if text.isascii() else _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text)


def cleaned(text: object, limit: int = LONGEST) -> str:
    """The text on one line: control characters become a blank, what UTF-8 cannot hold U+FFFD, and what is longer than
    `limit` characters ends in "…"."""
    plain = text if type(text) is str else in_words(text)
    if len(plain) > limit:
        plain = f"{plain[: limit - 1]}…"
    if plain.isascii() and plain.isprintable():
        return plain
    return _CONTROL.sub(" ", encodable(plain))


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def in_words(what: object) -> str:
    """`str` of it, also where that raises, be it SystemExit: of an error the class may be a plugin's own."""
    try:
        return str(what)
    except BaseException:  # noqa: BLE001 - foreign code
        return f"{type(what).__name__} without words"


def hidden_in(name: str) -> str:
    """The first character of a name that nobody sees or that changes how others are shown, as an escape; empty if there is
    none. A name is read, compared and typed by people. Joiners, which some scripts are written with, are allowed."""
    return next((_escape(char) for char in name if char not in "\u200c\u200d" and not _visible(char)), "")


def folded(name: str) -> str:
    """The same for names that people, or a file system that does not tell capitals apart, take for the same."""
    return unicodedata.normalize("NFKC", name).casefold().replace("\u200c", "").replace("\u200d", "")


def shown(text: object) -> str:
    """The text as a terminal may print it: what would move the cursor, break the line, change the direction of writing or
    cannot be seen is written as an escape such as \\x1b."""
    plain = str(text)
    if plain.isprintable() and plain.isascii():
        return plain
    return "".join(char if _visible(char) else _escape(char) for char in plain)


def _visible(char: str) -> bool:
    # Cc control, Cf format (writing direction, zero width), Cs surrogate, Co private, Cn unassigned, Zl and Zp line breaks
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def for_spreadsheet(cell: object) -> object:
    """A cell of a CSV file that a spreadsheet program takes for no formula: a text that begins like one gets an apostrophe in
    front. Numbers stay numbers."""
    if not isinstance(cell, str) or (
        not cell.lstrip().startswith(_FORMULA) and not cell.startswith(("\t", "\r", "\n"))
    ):
        return cell
    return cell if _NUMBER.fullmatch(cell) else f"'{cell}"
