"""A bar for what takes long, on a terminal only."""

import sys
import time
from types import TracebackType
from typing import Self

from gateway.cli.frame.screen import CLEAR, control
from gateway.core.amounts import format_duration

_WIDTH = 30
_AFTER = 0.7
_EVERY = 0.1


class Bar:
    """Draws on stderr once it has taken a moment, and leaves nothing behind."""

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = max(1, total)
        self._done = 0
        self._begin = time.monotonic()
        self._next = self._begin + _AFTER if sys.stderr.isatty() else float("inf")
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._drawn:
            print(control(CLEAR), end="", file=sys.stderr, flush=True)

    def __call__(self, amount: int) -> None:
        """So much more is done."""
        self._done += amount
        now = time.monotonic()
        if now >= self._next:
            self._next, self._drawn = now + _EVERY, True
            print(f"{control(CLEAR)}{self._text(now)}", end="", file=sys.stderr, flush=True)

    def _text(self, now: float) -> str:
        part = min(1.0, self._done / self._total)
        filled = round(part * _WIDTH)
        left = (now - self._begin) * (1 - part) / part if part else 0.0
        return f"{self._label} [{'#' * filled}{'.' * (_WIDTH - filled)}] {part:4.0%}, {format_duration(left)} left"
