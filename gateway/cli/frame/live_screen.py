"""A screen that refreshes on a terminal: the same place drawn again and again, and keys that are heard meanwhile."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gateway.cli.frame.screen import control
from gateway.cli.frame.terminal import width

_KEYS = {
    b"q": "quit", b"Q": "quit", b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
}  # fmt: skip
_OTHER_SCREEN, _SCREEN_BEFORE = "\033[?1049h\033[?25l\033[2J", "\033[?25h\033[?1049l"


def cut(text: str, columns: int) -> str:
    """As much of the text as there is room for; what is missing is shown by "…"."""
    if width(text) <= columns:
        return text
    kept, used = "", 1
    for each in text:
        used += width(each)
        if used > columns:
            break
        kept += each
    return f"{kept}…" if columns > 0 else ""


def wrapped(text: str, columns: int, first: str = "", indent: str = "") -> list[str]:
    """The text in lines, broken between words where that can be; `first` stands before the first, `indent` before others."""
    lines, line = [], first
    for at, word in enumerate(text.split(" ")):
        if at and width(f"{line} {word}") > columns:
            lines.append(cut(line, columns))
            line = indent + word
        else:
            line += f" {word}" if at else word
    return [*lines, cut(line, columns)]


@contextmanager
def taken_over() -> Iterator[None]:
    """The terminal is ours within: what stood on it comes back, also after a signal that ends the command."""
    keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    before = termios.tcgetattr(keyboard) if keyboard is not None else None
    ends = {each: signal.signal(each, _ended) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        if keyboard is not None:
            tty.setcbreak(keyboard)
        print(control(_OTHER_SCREEN), end="", flush=True)
        yield
    finally:
        for each, handling in ends.items():
            signal.signal(each, handling)
        if keyboard is not None and before is not None:
            termios.tcsetattr(keyboard, termios.TCSANOW, before)
        print(control(_SCREEN_BEFORE), end="", flush=True)


def _ended(number: int, _: Any) -> None:
    sys.exit(128 + number)


def keys(seconds: float) -> Sequence[str]:
    """What was pressed, waiting for it so long at most; "quit" also when the keyboard is gone."""
    if sys.stdin is None or not sys.stdin.isatty():
        select.select([], [], [], seconds)
        return ()
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return ()
    try:
        pressed = os.read(sys.stdin.fileno(), 64)
    except OSError:
        pressed = b""
    return list(_named(pressed)) if pressed else ("quit",)


def _named(pressed: bytes) -> Iterator[str]:
    while pressed:
        known = next((each for each in _KEYS if pressed.startswith(each)), None)
        if known is not None:
            yield _KEYS[known]
        pressed = pressed[len(known or b"x") :]
