"""What a running gateway's own log still holds, for people who look: read in a thread."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.core.errors import GatewayError
from gateway.core.record import Kind, Lane
from gateway.outbox.deliver import Asked, look, parts
from gateway.outbox.kept.series import Query, SeriesReader
from gateway.outbox.kept.thinning import Series
from gateway.outbox.start import State
from gateway.outbox.write import LaneLog

EVENTS_AT_MOST = 2000
"""Of one look."""

WAITING = 4
"""Trends that are read, or wait for that, at the same time."""


class Kept:
    """What is on disk of these lanes."""

    def __init__(self, lanes: Mapping[Lane, LaneLog], found: State) -> None:
        self._lanes = lanes
        self._state = found
        self._reader = SeriesReader(found.dictionary)
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def events(self, from_ns: int, to_ns: int) -> list[Mapping[str, Any]]:
        """The events accepted in this time (ns since 1970) that are still on disk, oldest first, as docs/json.md describes
        them; those that cannot be read are left out. Raises OSError."""
        asked = Asked(from_ns, to_ns)
        there = list(parts({Lane.ALARM: list(self._lanes[Lane.ALARM].segments), Lane.DATA: ()}, asked))
        return await asyncio.to_thread(self._events, there, asked)

    async def series(
        self, device: str, tags: Sequence[str], from_ns: int, to_ns: int, points: int
    ) -> Mapping[str, Series]:
        """The values of these tags with source times in [from_ns, to_ns), each thinned to so many points, by name. What is
        not on disk yet, or no longer, is not among them. One at a time, since it takes what a core gives. Raises OSError, and
        GatewayError when too many wait."""
        if self._waiting >= WAITING:
            raise GatewayError("too many ask for history at once: try again in a moment")
        found = {tag: Series(from_ns, to_ns, points) for tag in tags}
        wanted = Query(device, found, from_ns, to_ns)
        self._waiting += 1
        try:
            async with self._turn:
                segments = [replace(segment) for segment in self._lanes[Lane.DATA].segments if segment.records]
                await asyncio.to_thread(self._reader.read, segments, wanted)
        finally:
            self._waiting -= 1
        return found

    def _events(self, there: Sequence[Any], asked: Asked) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for each in there:
            part = each
            while part is not None and len(found) < EVENTS_AT_MOST:
                piece = look(part, asked, self._state.log_id, self._state.dictionary)
                found += [record.body for record in piece.records if record.kind is Kind.EVENT and record.body]
                part = piece.rest
        return found[:EVENTS_AT_MOST]
