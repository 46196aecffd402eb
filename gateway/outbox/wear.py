"""What the log costs a flash disk: bytes written per value, and syncs per second."""

import time
from collections import deque
from typing import NamedTuple

from gateway.status import WearStatus

_SPAN = 60
"""Seconds over which rates are told."""


class Sample(NamedTuple):
    """Counts since the start."""

    at: float
    written_bytes: int
    syncs: int
    values: int


class Wear:
    """Counts, looked at once a second."""

    def __init__(self) -> None:
        self._first = self._last = Sample(time.monotonic(), 0, 0, 0)
        self._samples: deque[Sample] = deque([self._first], maxlen=_SPAN + 1)

    def look(self, written_bytes: int, syncs: int, values: int) -> None:
        """Take the counts of this moment."""
        self._last = Sample(time.monotonic(), written_bytes, syncs, values)
        self._samples.append(self._last)

    def status(self) -> WearStatus:
        """Since the start: bytes, syncs, readings and events (`values`), and bytes per value, None before there is one. Over
        the last minute: bytes and syncs per second."""
        last, before = self._last, self._samples[0]
        seconds = last.at - before.at
        return WearStatus(
            written_bytes=last.written_bytes,
            syncs=last.syncs,
            values=last.values,
            bytes_per_value=round(last.written_bytes / last.values, 2) if last.values else None,
            bytes_per_second=round((last.written_bytes - before.written_bytes) / seconds, 1) if seconds else 0.0,
            syncs_per_second=round((last.syncs - before.syncs) / seconds, 2) if seconds else 0.0,
        )
