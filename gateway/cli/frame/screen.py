"""What commands print: the one place through which all of it goes, so that no text from outside (names, reasons, values,
subjects of certificates) moves the cursor, forges lines or breaks off the output, whichever command prints it.

For people, what is no visible character is written as an escape (`gateway.core.text.shown`); in JSON as JSON's own escape, so
that the answer stays exact. A terminal that cannot write a character gets the nearest that it can.
"""

import codecs
import io
import re
import secrets
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO

from gateway.core.text import shown

Mode = Literal["text", "json", "data"]
"""For people, for scripts, or a file's content (CSV, TOML), which is not changed."""

CLEAR = "\r\033[K"
"""Begin the line anew."""
_MARK = f"\x00{secrets.token_hex(8)}:"
_CONTROL = re.compile(re.escape(_MARK) + "([^\x00]*)\x00")
_PLAIN = {
    "\N{NARROW NO-BREAK SPACE}": " ", "\N{NO-BREAK SPACE}": " ", "…": "...", "→": "->", "—": "-", "–": "-", "≤": "<=",
    "≥": ">=", "‰": "o/oo", "Ω": "Ohm", "µ": "u", "μ": "u", "°": "deg ", "²": "2", "³": "3", "×": "x",
}  # fmt: skip


class Screen(io.TextIOBase):
    """A text stream that shows what is printed to it on another one."""

    def __init__(self, stream: TextIO, mode: Mode) -> None:
        self.mode = mode
        self.beneath = stream
        """For what writes control sequences of its own and shows text by itself, as the log does."""
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="edge-gateway-json" if mode == "json" else "edge-gateway-plain")

    def write(self, text: str) -> int:
        """Printable ASCII, most of what there is, costs no more than a look."""
        self._stream.write(text if _is_plain(text) else _visible(text, self.mode))
        return len(text)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """What is beneath is not ours to close, nor to flush when this one is collected: it may be closed by then."""

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def buffer(self) -> Any:
        """For bytes, which pass as they are."""
        return self._stream.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


@contextmanager
def screens(mode: Mode) -> Iterator[None]:
    """Standard output and error are screens within; errors are always for people."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Screen(sys.stdout, mode), Screen(sys.stderr, "text")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def control(sequence: str) -> str:
    """A control sequence of our own, which a screen lets pass; no text from outside can look like one."""
    return f"{_MARK}{sequence}\x00" if isinstance(sys.stdout, Screen) else sequence


def for_people(answer: Any) -> Any:
    """An answer of the gateway as it is shown: where people are to read it, all its texts are on one line and visible."""
    return _shown(answer) if isinstance(sys.stdout, Screen) and sys.stdout.mode == "text" else answer


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {_shown(key): _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value


def _is_plain(text: str) -> bool:
    return text.isascii() and text.replace("\n", "").isprintable()


def _visible(text: str, mode: Mode) -> str:
    if mode == "data":
        return text
    if mode == "json":
        return "".join(char if char == "\n" or shown(char) == char else _json(char) for char in text)
    pieces = _CONTROL.split(text)  # texts, and between them what control() was given
    return "".join(piece if at % 2 else _lines(piece) for at, piece in enumerate(pieces))


def _lines(text: str) -> str:
    return "\n".join(map(shown, text.split("\n")))


def _json(char: str) -> str:
    return "".join(f"\\u{ord(unit):04x}" for unit in _units(char))


def _units(char: str) -> Iterator[str]:
    if ord(char) > 0xFFFF:
        over = ord(char) - 0x10000
        yield from (chr(0xD800 + (over >> 10)), chr(0xDC00 + (over & 0x3FF)))
    else:
        yield char


def _as_plain(error: UnicodeError) -> tuple[str, int]:
    """What a terminal of another encoding gets instead."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(map(_nearest, text)), error.end


def _nearest(char: str) -> str:
    if char in _PLAIN:
        return _PLAIN[char]
    base = "".join(each for each in unicodedata.normalize("NFKD", char) if each.isascii())
    return base or char.encode("ascii", "backslashreplace").decode()


def _as_json(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_json, error.object[error.start : error.end])), error.end


codecs.register_error("edge-gateway-plain", _as_plain)
codecs.register_error("edge-gateway-json", _as_json)
