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
_WIDEST = 200
_COLUMN = re.compile(r"^not valid TOML at column (\d+)")
_TOO_DEEP = "is not a configuration: brackets within brackets without end"
_MANY_DIGITS = re.compile(r"[0-9_]{300,}")
_SECRET_KEY = re.compile(r"pass|secret|token|key", re.IGNORECASE)
_PAIR = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*([^#]*)")


def read_toml(path: Path) -> tuple[Mapping[str, Any], str, bytes]:
    """The table, the text and the bytes of a file. Raises ConfigError when it is missing, unreadable or not TOML."""
    data = read_bytes(path)
    try:
        text = data.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(path, line, f"is not UTF-8: byte 0x{data[error.start]:02X}; save the file as UTF-8") from None
    try:
        table = tomli.loads(text)
    except tomli.TOMLDecodeError:
        raise ConfigError([Problem(str(path), line, "", told) for line, told in mistakes(text)]) from None
    except Exception as error:  # noqa: BLE001 - whatever the parser meets in what is no configuration
        raise _refusal(path, *_beyond(text, error)) from None
    if is_deeper(table, _DEEPEST):
        raise _refusal(path, 0, _TOO_DEEP)
    return table, text, data


def _beyond(text: str, error: Exception) -> tuple[int, str]:
    """Line and message for what is not against TOML's grammar and can still not be taken."""
    if isinstance(error, RecursionError):
        return 0, _TOO_DEEP
    if digits := _MANY_DIGITS.search(text):
        return text.count("\n", 0, digits.start()) + 1, f"a number of {len(digits[0])} digits is too long"
    return 0, f"is not a configuration: {cleaned(error)}"


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
    lines, found = text.split("\n"), list[tuple[int, str]]()
    while len(found) < (_MOST if len(text) < _LARGE else 1):
        try:
            tomli.loads("\n".join(lines))
        except tomli.TOMLDecodeError as error:
            found.append((error.lineno, explain("\n".join(lines), error)))
            line = lines[error.lineno - 1]
            if error.lineno >= len(lines) or _leaves_open(line, error.msg) or _is_within_brackets(lines, error.lineno):
                break
            # Under a header of its own, so that keys behind a header that is wrong are not taken for others.
            lines[error.lineno - 1] = f"[mistake-{len(found)}]" if line.lstrip().startswith("[") else ""
        except Exception:  # noqa: BLE001 - told when what was found so far is mended
            break
        else:
            break
    return found


def _leaves_open(line: str, message: str) -> bool:
    opening = line.count("[") + line.count("{") - line.count("]") - line.count("}")
    is_header = line.lstrip().startswith("[")
    return message.startswith("Unclosed") or '"""' in line or "'''" in line or (opening != 0 and not is_header)


def _is_within_brackets(lines: Sequence[str], number: int) -> bool:
    """Whether a bracket is still open where this line, which looks like a key with its value, begins."""
    if not _PAIR.match(lines[number - 1]):
        return False
    before = re.sub(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*", "", "\n".join(lines[: number - 1]))
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


def _unquoted(line: str) -> str:
    match = _PAIR.match(line)
    if not match:
        return ""
    key, value = match[1], match[2].strip()
    if value.lower() in ("true", "false", "yes", "no", "on", "off"):
        return "write true or false, in small letters"
    if re.fullmatch(r"[-+]?\d+,\d+", value):
        return f"write a decimal point: {key} = {value.replace(',', '.')}"
    if not value:
        return f"a value is missing behind {key} ="
    if re.fullmatch(r"[^\"'\[\]{}]+", value):
        shown = "…" if _SECRET_KEY.search(key) else value
        return f'texts stand in quotes: {key} = "{shown}"'
    return ""
