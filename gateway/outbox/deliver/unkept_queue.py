"""What waits for one sink, of what goes out though the disk takes nothing (`unkept.py`)."""

from collections import deque
from dataclasses import replace

from gateway.core.record import Lane, Record

UNKEPT_AT_MOST = {Lane.ALARM: 1000, Lane.DATA: 500}
"""Records that wait for one sink; of more, the oldest go."""


class UnkeptQueue:
    """Of one sink. What is under way when its link ends is gone."""

    def __init__(self) -> None:
        self._lanes = {lane: deque[Record](maxlen=UNKEPT_AT_MOST[lane]) for lane in Lane}

    def __bool__(self) -> bool:
        return any(self._lanes.values())

    def add(self, record: Record) -> None:
        """It goes out next, alarms first."""
        self._lanes[record.lane].append(record)

    def take(self, limit: int, *, only_alarms: bool = False) -> list[Record]:
        """Up to so many."""
        taken: list[Record] = []
        for lane in (Lane.ALARM,) if only_alarms else Lane:
            waiting = self._lanes[lane]
            taken += [waiting.popleft() for _ in range(min(limit - len(taken), len(waiting)))]
        return taken


def marked(record: Record) -> Record:
    """A record of a log that is itself in memory: not kept."""
    return record if record.unkept else replace(record, unkept=str(record.seq))
