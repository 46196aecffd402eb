"""What devices work for, as records refer to it: by a number, which stands in the frame's header.

A context frame stands in a segment before the first record that names it, so that a segment can be read alone; its number
means nothing in another one. Numbers count up in one run of the gateway, which never goes on with a segment of an earlier
run. So nothing of a batch outlives the segments in which it stands, and the dictionary knows nothing of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from gateway.core.context import WORK, Context
from gateway.core.parsing import doubting, parse_json
from gateway.core.record import Lane
from gateway.core.tag import Device
from gateway.outbox.format.frames import CONTEXT, CONTEXTS_AT_MOST, frame
from gateway.outbox.format.scanning import frames_of
from gateway.outbox.format.segment import HEADER_SIZE

WRITTEN = 4096
"""Contexts whose number is remembered; one that comes back after so many others gets another."""
READ = 4096
"""Contexts that were read, and are remembered."""
UNKNOWN = Context(unknown="the log does not say it any more")
"""Of a record whose context frame is damaged, or missing."""
_AT_MOST = 64 * 1024
"""Bytes of a frame's JSON."""


class ContextFrame(NamedTuple):
    """A context on its way to the disk."""

    number: int
    data: bytes
    """The whole frame."""


_NONE: tuple[Context | None, ContextFrame | None] = (None, None)


class Contexts:
    """The contexts of a log: written by one thread, read by any."""

    def __init__(self) -> None:
        self._last = 0
        self._written: dict[Context, ContextFrame] = {}
        self._of_device: dict[str, tuple[Context | None, ContextFrame | None]] = {}
        """What each device had last, so that most records cost one look."""
        self._read: dict[tuple[str, int], Context] = {}
        """By the name of the segment, and the number in it."""

    def frame_of(self, device: Device) -> ContextFrame | None:
        """The frame of what a device works for; None for nothing."""
        context, known = self._of_device.get(device.name, _NONE)
        if context is device.context:
            return known
        known = self._frame(Context().at(device.context)) if device.context.works else None
        self._of_device[device.name] = (device.context, known)
        return known

    def _frame(self, work: Context) -> ContextFrame:
        known = self._written.pop(work, None)
        if known is None:
            self._last = self._last % CONTEXTS_AT_MOST + 1
            known = ContextFrame(self._last, dump_context(self._last, work))
            while len(self._written) >= WRITTEN:
                del self._written[next(iter(self._written))]
        self._written[work] = known
        return known

    def read(self, number: int, path: Path) -> Context:
        """The work that a record of this segment was done for, without a place. Blocking."""
        key = (path.stem, number)
        known = self._read.get(key)
        if known is None:
            for head, payload in frames_of(path, HEADER_SIZE, CONTEXT):
                if head.context == number:
                    self.passes(path, number, payload)
                    break
            known = self._read.get(key)
        if known is None:
            known = UNKNOWN
            self._remember(key, known)
        return known

    def passes(self, path: Path, number: int, payload: bytes | memoryview) -> None:
        """Remember a context frame that was met in a segment: records behind it may need it."""
        key = (path.stem, number)
        if key not in self._read:
            try:
                self._remember(key, read_work(bytes(payload)))
            except ValueError:
                self._remember(key, UNKNOWN)

    def _remember(self, key: tuple[str, int], context: Context) -> None:
        if len(self._read) >= READ:
            for old in list(self._read)[: READ // 4]:
                self._read.pop(old, None)
        self._read[key] = context


def dump_context(number: int, work: Context) -> bytes:
    """The frame of what somebody works for, under this number."""
    said = {name: value for name in (*WORK, "unknown") if (value := getattr(work, name))}
    payload = orjson.dumps({"context": said, "by": dict(work.by)})
    return frame(Lane.DATA, CONTEXT, payload, context=number)


def read_work(payload: bytes) -> Context:
    """The work that a context frame tells. Raises ValueError."""
    with doubting(ValueError):
        body = parse_json(payload, size=_AT_MOST)
        return Context(
            **_texts(body["context"], (*WORK, "unknown")), by=tuple(_texts(body.get("by", {}), WORK).items())
        )


def _texts(body: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, str]:
    if not all(name in known and type(text) is str for name, text in body.items()):
        raise ValueError("it says what is no part of a context")
    return dict(body)
