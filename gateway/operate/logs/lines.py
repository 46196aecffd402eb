"""Where log lines go: to a person on a terminal, or to the journal with fields that `journalctl` can search."""

import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from gateway.core.text import shown
from gateway.operate.logs import repeats
from gateway.operate.logs.journal import JOURNAL, Journal, priority, sentence
from gateway.operate.logs.repeats import Repeats

_LINES = ("exception", "stack")
TRACE = 16_000
"""Characters of a traceback; of a longer one the middle is left out, where a recursion repeats itself."""


def set_up(level: str) -> None:
    """Log from `level` on: to the journal when stderr is connected to it, else to stderr, coloured on a terminal."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    if _stderr_is_journal():
        shared += [structlog.processors.ExceptionRenderer(_traceback), _ToJournal()]
        factory: Any = structlog.ReturnLoggerFactory()
    else:
        stamp = structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S")
        colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        shared += [
            stamp,
            structlog.processors.ExceptionRenderer(_traceback),
            _visible,
            structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0),
        ]
        factory = structlog.PrintLoggerFactory(cast(TextIO, _Stderr()))
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_Libraries()], force=True)


@contextlib.contextmanager
def only_errors() -> Iterator[None]:
    """For a command that shows by itself what comes of it: log nothing but errors, until the block (or function) ends."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    set_up("error")
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


def _traceback(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """The traceback of an error, and of those that it came from."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    if len(text) <= TRACE:
        return text
    first, last = text[: TRACE // 4], text[-(TRACE - TRACE // 4) :]
    return f"{first}\n  … {len(text) - TRACE} characters left out …\n{last}"


def _visible(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Text from outside moves no cursor and forges no line; tracebacks have lines of their own."""
    return {key: shown(value) if isinstance(value, str) and key not in _LINES else value for key, value in line.items()}


class _Stderr:
    """Standard error, past what commands have laid over it: the lines have colours of their own. A line that it does not
    take, on a full disk or without a reader, is lost and stops nothing."""

    def write(self, text: str) -> None:
        stream = getattr(sys.stderr, "beneath", sys.stderr)
        with contextlib.suppress(OSError):
            stream.write(text)
            stream.flush()

    def flush(self) -> None:
        """Nothing is held back."""


class _Libraries(logging.Handler):
    """Libraries log by the standard module: what they warn of is seen among our lines, their chatter is not."""

    def emit(self, record: logging.LogRecord) -> None:
        trace = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(record.levelno, record.getMessage(), library=record.name, **trace)


def _stderr_is_journal() -> bool:
    """As systemd.exec(5) describes JOURNAL_STREAM."""
    wanted = os.environ.get("JOURNAL_STREAM", "")
    try:
        stat = os.fstat(2)
    except OSError:
        return False
    return wanted == f"{stat.st_dev}:{stat.st_ino}"


class _ToJournal:
    """The last of the processors: folds repeats, and sends the rest; to stderr, with the level in front, where no journal
    is. What was held back is told with the next line, or a minute later where none comes."""

    def __init__(self) -> None:
        self._journal = Journal(JOURNAL)
        self._repeats = Repeats()
        self._is_awaited = threading.Lock()
        """Held while a timer runs."""

    def __call__(self, _: Any, __: str, entry: MutableMapping[str, Any]) -> str:
        for each in self._repeats.passed(entry):
            self._send(each)
        self._come_back()
        return ""

    def _send(self, entry: Mapping[str, Any]) -> None:
        if not self._journal.send(entry):
            for line in sentence(entry).splitlines():
                _Stderr().write(f"<{priority(entry)}>{line}\n")

    def _come_back(self) -> None:
        if self._repeats.holds and self._is_awaited.acquire(blocking=False):
            timer = threading.Timer(repeats.SPAN, self._tell)
            timer.daemon = True
            timer.start()

    def _tell(self) -> None:
        self._is_awaited.release()
        for each in self._repeats.over():
            self._send(each)
        self._come_back()
