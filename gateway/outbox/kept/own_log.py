"""What a running gateway's own log still holds, for people who look: read in a thread."""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.plain import to_json
from gateway.core.record import Kind, Lane
from gateway.outbox.format import HEAD_SIZE, HEADER_SIZE, FrameHeader, Segment, peek, read_body, read_frames
from gateway.outbox.kept.frame_runs import begin
from gateway.outbox.kept.series import Query, SeriesReader
from gateway.outbox.kept.summaries import Summaries
from gateway.outbox.kept.thinning import Series
from gateway.outbox.start import State
from gateway.outbox.write import LaneLog, Writer
from gateway.places.regular import open_regular

EVENTS_AT_MOST = 2000
"""Of one look."""
BYTES_AT_MOST = 16 * 1024 * 1024
"""Of their JSON."""

_MORE = 100
"""That are gathered beyond those, before they are sorted."""

WAITING = 4
"""Trends that are read, or wait for that, at the same time."""


class Kept:
    """What is on disk of these lanes."""

    def __init__(self, lanes: Mapping[Lane, LaneLog], found: State, writer: Writer, clock: Clock) -> None:
        self.summaries = Summaries(lanes[Lane.DATA], found, writer, clock)
        self._lanes = lanes
        self._state = found
        self._reader = SeriesReader(found.log_id, found.dictionary)
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def events(
        self, from_ns: int, to_ns: int, device: str | None = None
    ) -> tuple[list[Mapping[str, Any]], int | None]:
        """The events accepted in this time (ns since 1970) that are still on disk, of a device or of all, oldest first, as
        docs/json.md describes them; those that cannot be read are left out. `EVENTS_AT_MOST` of them, and when the next one
        was accepted, if there are more. Raises OSError."""
        segments = [replace(segment) for segment in self._lanes[Lane.ALARM].segments]
        return await asyncio.to_thread(_events, segments, _Asked(from_ns, to_ns, device))

    async def series(
        self, device: str, tags: Sequence[str], from_ns: int, to_ns: int, points: int, *, everywhere: bool = False
    ) -> Mapping[str, Series]:
        """The values of these tags with source times in [from_ns, to_ns), each thinned to so many points, by name. What is
        not on disk yet, or no longer, is not among them; `everywhere`: nor is what was accepted long after its source time
        left out. One at a time, since it takes what a core gives. Raises OSError, and GatewayError when too many wait."""
        if self._waiting >= WAITING:
            raise GatewayError("too many ask for history at once: try again in a moment")
        wanted = Query(device, {tag: Series(from_ns, to_ns, points) for tag in tags}, from_ns, to_ns, everywhere)
        self._waiting += 1
        try:
            async with self._turn:
                segments = [segment for segment in self._lanes[Lane.DATA].segments if segment.records]
                if segments:
                    segments[-1] = replace(segments[-1])  # it grows
                await asyncio.to_thread(self._reader.read, segments, wanted)
        finally:
            self._waiting -= 1
        return wanted.series


_Found = tuple[int, int, bytes]
"""When it was accepted, its number, and its JSON."""


class _Asked(NamedTuple):
    """Which events are looked for."""

    from_ns: int
    to_ns: int
    device: str | None

    def within(self, segment: Segment, start: int) -> Iterator[tuple[FrameHeader, bytes, int]]:
        """Those of a file from a place on, as JSON, and the place behind each."""
        for head, payload, behind in read_frames(segment.path, start, segment.size):
            if head.kind == Kind.EVENT and self.from_ns <= head.wall_ns < self.to_ns:
                data = bytes(payload)
                if self.device is None or self._is_of(self.device, data):
                    yield head, data, behind

    def _is_of(self, device: str, data: bytes) -> bool:
        if to_json(device) not in data:  # most are told by that
            return False
        try:
            return bool(read_body(Kind.EVENT, data).get("device") == device)
        except ValueError:
            return False


def _events(segments: Sequence[Segment], asked: _Asked) -> tuple[list[Mapping[str, Any]], int | None]:
    found: list[_Found] = []
    for segment in segments:
        if segment.wall_from >= asked.to_ns or segment.wall_to < asked.from_ns:
            continue
        found, is_full = _oldest(found)
        if is_full and segment.wall_from > found[-1][0]:
            break
        with suppress(FileNotFoundError):
            start, tail, tail_epoch = _places(segment, asked.from_ns)
            gathered = 0
            for head, data, behind in asked.within(segment, start):
                found.append((head.wall_ns, head.seq, data))
                gathered += len(data)
                if len(found) > EVENTS_AT_MOST + _MORE or gathered > BYTES_AT_MOST:
                    found, is_full = _oldest(found)
                    gathered = 0
                    if is_full and found[-1][0] <= head.wall_ns and head.epoch == tail_epoch and behind <= tail:
                        # Up to the tail the clock was not set back: all of it is later.
                        found += [(head.wall_ns, head.seq, data) for head, data, _ in asked.within(segment, tail)]
                        break
    return _page(*_oldest(found))


def _oldest(found: Sequence[_Found]) -> tuple[list[_Found], bool]:
    """As many as go into an answer, and the next one, in order; and whether there is a next one."""
    oldest: list[_Found] = []
    size = 0
    for each in sorted(found):
        oldest.append(each)
        size += len(each[2])
        if len(oldest) > EVENTS_AT_MOST or (size > BYTES_AT_MOST and len(oldest) > 1):
            return oldest, True
    return oldest, False


def _page(found: Sequence[_Found], is_full: bool) -> tuple[list[Mapping[str, Any]], int | None]:
    page = found[:-1] if is_full else found
    rest = found[-1][0] if is_full else None
    if rest is not None and page[0][0] < rest:
        page = [each for each in page if each[0] < rest]  # those of one moment come together
    elif rest is not None:
        rest += 1  # so many of one moment that no page holds them
    bodies: list[Mapping[str, Any]] = []
    for _, _, data in page:
        with suppress(ValueError):
            bodies.append(read_body(Kind.EVENT, data))
    return bodies, rest


def _places(segment: Segment, from_ns: int) -> tuple[int, int, int]:
    """Where to begin; where the last part begins that the index knows of, and in which epoch of the clock."""
    file = open_regular(segment.path)
    try:
        tail = segment.index[-1] if segment.index else HEADER_SIZE
        head = peek(os.pread(file, HEAD_SIZE, tail), 0)
        return begin(file, segment, from_ns), tail, head.epoch if head is not None else -1
    finally:
        os.close(file)
