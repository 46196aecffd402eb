"""Reads a TOML file, and says in plain words what is wrong with one that is none."""

import re
from pathlib import Path
from typing import Any

import tomli

from gateway.core.errors import ConfigError, Problem
from gateway.core.parsing import is_deeper
from gateway.core.text import cleaned
from gateway.regular import read_regular

SIZE = 16 * 1024 * 1024
"""Bytes of a configuration or a tag file."""
_DEEPEST = 32
_TOO_DEEP = "is not a configuration: brackets within brackets without end"
_MANY_DIGITS = re.compile(r"[0-9_]{300,}")
_SECRET_KEY = re.compile(r"pass|secret|token|key", re.IGNORECASE)
_PAIR = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*([^#]*)")


def read_toml(path: Path) -> tuple[dict[str, Any], str, bytes]:
    """The table, the text and the bytes of a file. Raises ConfigError when it is missing, unreadable or not TOML."""
    data = read_bytes(path)
    try:
        text = data.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(path, line, f"is not UTF-8: byte 0x{data[error.start]:02X}; save the file as UTF-8") from None
    try:
        table = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise _refusal(path, error.lineno, explain(text, error)) from None
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


def explain(text: str, error: tomli.TOMLDecodeError) -> str:
    """A syntax error in words: what to write instead where the line shows what was meant, else the parser's message."""
    line = [*text.split("\n"), ""][error.lineno - 1]
    hint = _twice(error, line) or _by_message(error.msg, line) or _misplaced(line) or _unquoted(line)
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
        return "a closing bracket is missing, or a comma between two entries; it may be some lines above"
    return ""


def _misplaced(line: str) -> str:
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
