"""The records that a sink has and has not answered. Pure bookkeeping: no clock, no waiting."""

from collections.abc import Iterable, Sequence

from gateway.core.record import Record

QUIET_LOOKS = 5
"""Looks in a row without an answer after which a link counts as silent: never early, and at most half a time-out late (a
quarter where nothing was ever answered). Looks are counted, not seconds, so that a gateway that was itself asleep blames
nobody."""

OVERTAKEN = 10
"""A record whose answer is missing while so many windows of later records were answered never gets one."""


class InFlight:
    """Records on their way, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._open: dict[Record, tuple[int, int]] = {}
        self._answers = 0
        self._answers_seen = 0
        self._progress_seen = 0
        self._quiet = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def records(self) -> list[Record]:
        """Those that the far side has not answered, in the order of their handing over."""
        return list(self._open)

    @property
    def room(self) -> int:
        """How many more may be handed over."""
        return max(0, self.size - len(self._open))

    @property
    def oldest_ns(self) -> int | None:
        """Boot time at which the oldest unanswered record was handed over."""
        return next(iter(self._open.values()))[0] if self._open else None

    def handed_over(self, records: Sequence[Record], boot_ns: int) -> None:
        """The sink has these now."""
        mark = (boot_ns, self._answers)
        for record in records:
            self._open[record] = mark

    def acknowledged(self, records: Iterable[Record]) -> list[Record]:
        """Those of the records that were on their way; they no longer are."""
        known = [record for record in records if self._open.pop(record, None) is not None]
        self._answers += len(known)
        return known

    def refused(self, record: Record) -> bool:
        """Whether the record was on its way; it no longer is."""
        return bool(self.acknowledged([record]))

    def look(self, timeout: float, progress: int = 0) -> str:
        """One look of the watchdog, at every quarter of `timeout` (s): what is wrong with the link, or an empty text.
        `progress` changes when the far side has taken a part of a record."""
        answered = (self._answers, progress) != (self._answers_seen, self._progress_seen)
        self._answers_seen, self._progress_seen = self._answers, progress
        self._quiet = 0 if answered or not self._open else self._quiet + 1
        if self._quiet >= QUIET_LOOKS:
            waiting = f"{len(self._open)} record{'s' if len(self._open) > 1 else ''} on the way"
            return f"no acknowledgement for {timeout:g} s with {waiting}: the link or its far end swallows packets"
        if self._open:
            oldest, (_, answers_then) = next(iter(self._open.items()))
            if self._answers - answers_then > OVERTAKEN * self.size:
                return f"record {oldest.id} was never acknowledged, while later ones were"
        return ""
