"""Reads a TOML file, and says in plain words what is wrong with one that is none."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli

from gateway.core.errors import ConfigError, Problem
from gateway.core.parsing import is_deeper
from gateway.core.text import cleaned, shown
from gateway.places.regular import read_regular

SIZE = 16 * 1024 * 1024
"""Bytes of a configuration or a tag file."""
_DEEPEST = 32
_MOST = 20
"""Syntax errors that are told in one pass."""
_LARGE = 256 * 1024
"""Characters of a file that is not read again and again for that."""
_OPEN = "a closing bracket is missing, or a comma between two entries; it may be some lines above"
_OPEN_BRACE = "the closing } of this line is missing: an inline table ends on the line where it begins"
_MERGE = "a mark of a merge conflict (git): keep one of the two versions down to >>>>>>>, and delete the lines with the marks"
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*")
_KINDS = (
    (b"\xff\xfe", 'is UTF-16, as Notepad saves "Unicode": save the file as UTF-8'),
    (b"\xfe\xff", 'is UTF-16, as Notepad saves "Unicode": save the file as UTF-8'),
    (b"PK\x03\x04", "is a zip file (or a document of an office program), no TOML: unpack it, or save it as plain text"),
    (b"\x1f\x8b", "is a gzip file, no TOML: unpack it (gunzip)"),
    (b"{\\rtf", "is a document (RTF), no TOML: save it as plain text"),
    (b"-----BEGIN", "is a certificate or an encrypted text (PEM, PGP), no TOML: decrypt it, or name the right file"),
)
"""How files of other kinds begin."""
_WIDEST = 200
_LONGEST = 2000
_COLUMN = re.compile(r"^not valid TOML at column (\d+)")
_TOO_DEEP = "is not a configuration: brackets within brackets without end"
_MANY_DIGITS = re.compile(r"[0-9_]{300,}")
_SECRET_KEY = re.compile(r"pass|secret|token|key", re.IGNORECASE)
_PAIR = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*([^#]*)")


def read_toml(path: Path) -> tuple[Mapping[str, Any], str, bytes]:
    """The table, the text and the bytes of a file. Raises ConfigError when it is missing, unreadable or not TOML."""
    table, text, data, problems = read_in_part(path)
    if problems:
        raise ConfigError(problems)
    return table, text, data


def read_in_part(path: Path) -> tuple[Mapping[str, Any], str, bytes, Sequence[Problem]]:
    """The same, and what is against TOML's grammar: table and text are then those of the other lines. Raises ConfigError
    where nothing can be made of it."""
    data = read_bytes(path)
    if what := of_another_kind(data):
        raise _refusal(path, 1, what)
    try:
        text = data.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(path, line, f"is not UTF-8: byte 0x{data[error.start]:02X}; save the file as UTF-8") from None
    problems: list[Problem] = []
    table: Mapping[str, Any]
    try:
        table = tomli.loads(text)
    except tomli.TOMLDecodeError:
        found, text, rest = _taken_out(text)
        problems = [Problem(str(path), line, "", told) for line, told in found]
        if rest is None:
            raise ConfigError(problems) from None
        table = rest
    except Exception as error:  # noqa: BLE001 - whatever the parser meets in what is no configuration
        raise _refusal(path, *_beyond(text, error)) from None
    if is_deeper(table, _DEEPEST):
        raise _refusal(path, 0, _TOO_DEEP)
    return table, text, data, problems


def _beyond(text: str, error: Exception) -> tuple[int, str]:
    """Line and message for what is not against TOML's grammar and can still not be taken."""
    if isinstance(error, RecursionError):
        return 0, _TOO_DEEP
    if digits := _MANY_DIGITS.search(text):
        return text.count("\n", 0, digits.start()) + 1, f"a number of {len(digits[0])} digits is too long"
    return 0, f"is not a configuration: {cleaned(error)}"


def of_another_kind(data: bytes) -> str:
    """What a file is that is no TOML, and what to do, where that is sure; else empty."""
    for begin, what in _KINDS:
        if data.startswith(begin):
            return what
    if data and not data.strip(b"\0"):
        return "holds nothing but bytes NUL, as after a power cut while it was saved: put the last backup in its place"
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb"<[?!A-Za-z]", start):
        return 'is XML (or HTML), no TOML: write [gateway], and below it name = "…"; config.example.toml shows all'
    if re.match(rb"\{\s*[\"}]", start):
        return 'is JSON, no TOML: write [gateway], and below it name = "…"; config.example.toml shows all'
    if re.match(rb"(---\s*\n)?(#.*\n|\s*\n)*[A-Za-z_]\w*:\s*\n\s+[-\w]", start) and not re.search(
        rb"^\s*\[", start, re.MULTILINE
    ):
        return 'is YAML, no TOML: write [gateway], and below it name = "…"; config.example.toml shows all'
    if b"\r" in data and b"\n" not in data:
        return "has the line ends of an old Macintosh (CR alone): save it with those of Unix or Windows"
    return ""


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises ConfigError, which says what to do, when they cannot be had."""
    try:
        return read_regular(path, SIZE)
    except FileNotFoundError:
        raise _refusal(path, 0, "no such file") from None
    except PermissionError:
        raise _refusal(path, 0, "may not be read by this user: check its owner and mode (ls -l)") from None
    except OSError as error:
        raise _refusal(path, 0, f"cannot be read: {error.strerror}") from None


def mistakes(text: str) -> list[tuple[int, str]]:
    """The lines with syntax errors, each with what to write instead. A line that is wrong is taken out, and the rest is read
    again; one that leaves brackets or quotes open is the last, since all behind it would be complained of."""
    return _taken_out(text)[0]


def _taken_out(text: str) -> tuple[list[tuple[int, str]], str, Mapping[str, Any] | None]:
    """The same, and what is left, with its table; None where that tells nothing of the rest."""
    if marks := [number for number, line in enumerate(text.split("\n"), 1) if line.startswith("<<<<<<<")]:
        return [(number, _MERGE) for number in marks], text, None
    lines, found = text.split("\n"), list[tuple[int, str]]()
    while len(found) < (_MOST if len(text) < _LARGE else 1):
        try:
            left = tomli.loads("\n".join(lines))
        except tomli.TOMLDecodeError as error:
            if brace := _open_brace(lines, error.lineno):
                found.append((brace, _OPEN_BRACE))
                lines[brace - 1] = ""
                continue
            found.append((error.lineno, explain("\n".join(lines), error)))
            line = lines[error.lineno - 1]
            if error.lineno >= len(lines) or _leaves_open(line, error.msg) or _is_within_brackets(lines, error.lineno):
                break
            # Under a header of its own, so that keys behind a header that is wrong are not taken for others.
            lines[error.lineno - 1] = _in_place_of(line, found[-1][1], len(found))
        except Exception:  # noqa: BLE001 - told when what was found so far is mended
            break
        else:
            return found, "\n".join(lines), left if not any(key.startswith("mistake-") for key in left) else None
    return found, text, None


def _in_place_of(line: str, told: str, number: int) -> str:
    """What keeps the lines behind one that is taken out from being taken for something else."""
    if match := re.search(r"begins with (\[\[\w+\]\])", told):
        return match[1]
    return f"[mistake-{number}]" if line.lstrip().startswith("[") else ""


def _open_brace(lines: Sequence[str], number: int) -> int:
    """The line above in which the inline table begins that is not closed where the parser gave up; 0 if there is none. It
    must be closed on its own line."""
    for above in range(number - 1, max(0, number - 50), -1):
        if match := _PAIR.match(lines[above - 1]):
            bare = _QUOTED.sub("", lines[above - 1])
            return above if bare.count("{") > bare.count("}") and match else 0
    return 0


def _leaves_open(line: str, message: str) -> bool:
    opening = line.count("[") + line.count("{") - line.count("]") - line.count("}")
    is_header = line.lstrip().startswith("[")
    return message.startswith("Unclosed") or '"""' in line or "'''" in line or (opening != 0 and not is_header)


def _is_within_brackets(lines: Sequence[str], number: int) -> bool:
    """Whether a bracket is still open where this line, which looks like a key with its value, begins."""
    if not _PAIR.match(lines[number - 1]):
        return False
    before = _QUOTED.sub("", "\n".join(lines[: number - 1]))
    return before.count("[") + before.count("{") > before.count("]") + before.count("}")


def excerpt(text: str, line: int, message: str) -> list[str]:
    """The line of a mistake with a mark under its place; nothing where no place is known, or a secret may stand there."""
    column = _COLUMN.search(message)
    source = [*text.split("\n"), ""][line - 1] if 0 < line <= text.count("\n") + 1 else ""
    if column is None or not source.strip() or len(source) > _WIDEST or _SECRET_KEY.search(source):
        return []
    place = min(int(column[1]) - 1, len(source))
    return ["    " + source.replace("\t", " "), " " * (4 + place) + "^"]


def explain(text: str, error: tomli.TOMLDecodeError) -> str:
    """A syntax error in words: what to write instead where the line shows what was meant, else the parser's message."""
    lines = [*text.split("\n"), ""]
    line = lines[error.lineno - 1]
    hint = (
        _OPEN
        if _is_within_brackets(lines, error.lineno)
        else _invisible(error, line)
        or _twice(error, line)
        or _by_message(error.msg, line)
        or _of_another_language(line)
        or _misplaced(line)
        or _unquoted(line)
    )
    return f"not valid TOML at column {error.colno}: {hint or error.msg[:1].lower() + error.msg[1:]}"


def _refusal(path: Path, line: int, message: str) -> ConfigError:
    return ConfigError([Problem(str(path), line, "", message)])


def _twice(error: tomli.TOMLDecodeError, line: str) -> str:
    if not error.msg.startswith("Cannot"):
        return ""
    if match := re.match(r"\s*\[\[?\s*(device|sink|model)\s*\]", line):
        return f"every {match[1]} begins with [[{match[1]}]], in two pairs of brackets, also the first"
    if match := re.match(r"Cannot declare \('([^']+)',\) twice", error.msg):
        return f"[{match[1]}] stands twice: put all its keys under one"
    match = _PAIR.match(line)
    return f"the key {match[1]} stands twice in this table" if match else ""


def _by_message(message: str, line: str) -> str:
    if "\\" in line and message.startswith(("Unescaped", "Invalid hex value", "Escaped character")):
        return "a backslash in a text must be doubled; or put the text in single quotes: 'C:\\folder'"
    if message.startswith(("Illegal character '\\n'", "Unterminated string")):
        return "the closing quote is missing"
    if message.startswith(("Unclosed array", "Unclosed inline table")):
        return _OPEN
    return ""


def _invisible(error: tomli.TOMLDecodeError, line: str) -> str:
    char = line[error.colno - 1 : error.colno]
    if char and char not in " \t" and (shown(char) != char or char.isspace()):
        return f"a character that cannot be seen stands there (U+{ord(char):04X}): delete it, or write a blank"
    return ""


def _misplaced(line: str) -> str:
    if re.match(r"\s*//", line) or re.search(r"[\"'\]}\dea]\s+//", line):
        return "a comment begins with #, not with //"
    if match := re.match(r"\s*([^\s=\"'\[\]{}#]*[^\x00-\x7f][^\s=\"'\[\]{}#]*)\s*=", line):
        return f'a key with other letters than a to z, digits, - and _ stands in quotes: "{cleaned(match[1], 100)}" = …'
    if re.search(r"[“”„‘’]", line):
        return 'use straight quotes: "…"'
    if re.match(r"\s*\[\[[^\]]*\](?!\])", line):
        return "close two brackets with two: ]]"
    if re.match(r"\s*\"?[A-Za-z0-9_-]+\"?\s*:", line):
        return 'write "=" between a key and its value, not ":"'
    if re.match(r"\s*[A-Za-z0-9_-]+ +[^=\s][^=]*=", line):
        return 'a key with a space in it stands in quotes: "my key" = 1'
    return ""


def _of_another_language(line: str) -> str:
    if len(line) > _LONGEST:  # searching such a one takes the square of its length
        return ""
    if re.match(r"\s*(;|--)", line):
        return f"a comment begins with #, not with {line.strip()[:1]}"
    if re.search(r";\s*(#.*)?$", line):
        return "a line does not end with a semicolon: delete the ;"
    if match := re.match(r"\s*[(<{]([A-Za-z_]+)[)>}]\s*$", line):
        return f"a table stands in square brackets: [{match[1]}]"
    if match := re.search(r"([A-Za-z0-9_-]+)\s*=\s*([-+]?\d+),(\d+)\b(?!\s*=)", _QUOTED.sub("", line)):
        return f"write a decimal point: {match[1]} = {match[2]}.{match[3]}"
    return ""


def _unquoted(line: str) -> str:
    match = _PAIR.match(line)
    if not match:
        return ""
    key, value = match[1], match[2].strip()
    if value.lower() in ("true", "false", "yes", "no", "on", "off"):
        return "write true or false, in small letters"
    if match := re.fullmatch(r"([-+]?\d+(?:\.\d+)?)\s*([^\w\s.:/-].*|[A-Za-z]+/.*)", value):
        return f"write the number alone: {key} = {match[1]}; its unit has a key of its own"
    if not value:
        return f"a value is missing behind {key} ="
    if re.fullmatch(r"[^\"'\[\]{}]+", value):
        shown = "…" if _SECRET_KEY.search(key) else value
        return f'texts stand in quotes: {key} = "{shown}"'
    return ""
