"""Regular expressions that somebody writes into the configuration, and that must not stop the gateway.

Python's engine tries all ways in which a text may fit: for `(a+)+$` and a hundred times "a" before something else that takes
longer than a plant stands. An engine that cannot do so (RE2) would be one library more, and knows neither `(?<=…)` nor `\\1`,
which people write. So a search is ended instead, by a signal, for which the engine looks all the time: after so much work,
not after so much time, so that a machine that stands still for a moment fails nobody.
"""

import re
import signal
import threading
import time
from types import FrameType

LIMIT = 0.02
"""Seconds of computing that one search may take."""

REST = 10.0
"""Seconds for which a pattern that took longer is not tried again."""


class OvertimeError(ValueError):
    """A pattern takes too long on what came."""


class UserPattern:
    """One regular expression. Compiling it raises ValueError with the reason.

    An object belongs to one device: it rests after what its device has sent.
    """

    def __init__(self, text: str) -> None:
        try:
            self._pattern = re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(str(error)) from error
        self._not_before = 0.0

    def search(self, text: str) -> "re.Match[str] | None":
        """The first place that fits. Raises OvertimeError when that takes more than LIMIT, and for REST after it. Outside the
        main thread, which alone is told of signals, nothing ends it: there it holds up nobody else."""
        if self._not_before and time.monotonic() < self._not_before:
            raise OvertimeError("it took too long on what came before")
        if threading.current_thread() is not threading.main_thread():
            return self._pattern.search(text)
        try:
            return _ended(self._pattern, text)
        except _RungError:
            self._not_before = time.monotonic() + REST
            raise OvertimeError(f"it takes longer than {LIMIT:g} s on {text[:100]!r}") from None


class _RungError(Exception):
    """The time is over."""


_searching = False


def _ring(_signal: int, _frame: FrameType | None) -> None:
    if _searching:
        raise _RungError


def _ended(pattern: "re.Pattern[str]", text: str) -> "re.Match[str] | None":
    global _searching
    if signal.getsignal(signal.SIGVTALRM) is not _ring:
        signal.signal(signal.SIGVTALRM, _ring)
    try:
        _searching = True
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
        return pattern.search(text)
    finally:
        _searching = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
