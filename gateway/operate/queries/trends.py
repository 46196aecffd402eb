"""What people look at over time: values of tags, and events, as far as the log still holds them."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from gateway.config.mistakes import did_you_mean
from gateway.core.clock import Clock
from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
from gateway.core.live import LiveTable
from gateway.core.tag import Tag
from gateway.outbox import Outbox

TAGS = 32
"""That are asked for at once."""
HOUR_NS = 3_600_000_000_000
YEARS_NS = 10 * 366 * 24 * HOUR_NS
"""Longest span."""


class SeriesAnswer(TypedDict):
    """The values of one tag; `ts` and `values` belong together."""

    device: str
    tag: str
    unit: str
    type: str
    from_ms: int
    to_ms: int
    readings: int
    """How many there were."""
    thinned: bool
    """Whether they are fewer now: of each part of the span the least and the greatest are left."""
    ts: list[int]
    """Source times, milliseconds since 1970, ascending."""
    values: list[float | None]
    """null: bad, stale, or no number."""


class Trends:
    """Answers `history` and `events`."""

    def __init__(self, live: LiveTable, outbox: Outbox, clock: Clock) -> None:
        self._live = live
        self._outbox = outbox
        self._clock = clock

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {"history": self.history, "events": self.events}

    async def history(
        self,
        by: Actor,
        device: str,
        tags: Sequence[str],
        from_ns: int | None = None,
        to_ns: int | None = None,
        points: int = 1000,
    ) -> list[SeriesAnswer]:
        """The values of tags of a device with source times in [from_ns, to_ns), by default of the last hour. Raises
        GatewayError for a device or tag that is not there."""
        from_ns, to_ns = self._span(from_ns, to_ns)
        known = self._tags(device, tags)
        found = await self._outbox.kept.series(device, list(known), from_ns, to_ns, points)
        answer: list[SeriesAnswer] = []
        for name, tag in known.items():
            series = found[name]
            t_ns, value = series.done()
            answer.append(
                {
                    "device": device,
                    "tag": name,
                    "unit": tag.unit,
                    "type": tag.type,
                    "from_ms": from_ns // 1_000_000,
                    "to_ms": to_ns // 1_000_000,
                    "readings": series.readings,
                    "thinned": series.is_thinned,
                    "ts": (t_ns // 1_000_000).tolist(),
                    "values": np.where(np.isnan(value), None, value).tolist(),  # type: ignore[call-overload]
                }
            )
        return answer

    async def events(
        self, by: Actor, device: str | None = None, from_ns: int | None = None, to_ns: int | None = None
    ) -> list[Mapping[str, Any]]:
        """The events accepted in this span (default: the last hour), of a device or of all, oldest first, as docs/json.md
        describes them. A remark says how to ask for the rest, where there are too many."""
        found, rest = await self._outbox.kept.events(*self._span(from_ns, to_ns), device)
        if rest is not None:
            by.remarks.append(f"these are the oldest {len(found)}: for those behind them ask from from_ns={rest} on")
        return found

    def _span(self, from_ns: int | None, to_ns: int | None) -> tuple[int, int]:
        end = self._clock.wall_ns() if to_ns is None else to_ns
        begin = end - HOUR_NS if from_ns is None else from_ns
        if not 0 < end - begin <= YEARS_NS:
            raise GatewayError("from_ns must lie before to_ns, by ten years at most")
        return begin, end

    def _tags(self, device: str, names: Sequence[str]) -> dict[str, Tag]:
        if device not in self._live:
            known = [live.device.name for live in self._live]
            raise GatewayError(f'no device "{device}"{did_you_mean(device, known)}')
        tags = {tag.name: tag for tag in self._live[device].device.tags}
        wanted = list(dict.fromkeys(names))
        if not 0 < len(wanted) <= TAGS:
            raise GatewayError(f"name one to {TAGS} tags")
        if unknown := [name for name in wanted if name not in tags]:
            raise GatewayError(f'device "{device}" has no tag "{unknown[0]}"{did_you_mean(unknown[0], tags)}')
        return {name: tags[name] for name in wanted}
