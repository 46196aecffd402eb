"""What a running gateway's own log still holds, for people who look: read in a thread."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.record import Kind, Lane
from gateway.outbox.deliver import Asked, look, parts
from gateway.outbox.start import State
from gateway.outbox.write import LaneLog

EVENTS_AT_MOST = 2000
"""Of one look."""


class Kept:
    """What is on disk of these lanes."""

    def __init__(self, lanes: Mapping[Lane, LaneLog], found: State) -> None:
        self._lanes = lanes
        self._state = found

    async def events(self, from_ns: int, to_ns: int) -> list[Mapping[str, Any]]:
        """The events accepted in this time (ns since 1970) that are still on disk, oldest first, as docs/json.md describes
        them; those that cannot be read are left out. Raises OSError."""
        asked = Asked(from_ns, to_ns)
        there = list(parts({Lane.ALARM: list(self._lanes[Lane.ALARM].segments), Lane.DATA: ()}, asked))
        return await asyncio.to_thread(self._events, there, asked)

    def _events(self, there: Sequence[Any], asked: Asked) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for each in there:
            part = each
            while part is not None and len(found) < EVENTS_AT_MOST:
                piece = look(part, asked, self._state.log_id, self._state.dictionary)
                found += [record.body for record in piece.records if record.kind is Kind.EVENT and record.body]
                part = piece.rest
        return found[:EVENTS_AT_MOST]
