"""What is turned away before it has a number: because memory is full while the disk takes nothing, or by policy.

Each stretch of it becomes loss records: the first after a second, then further ones, farther and farther apart, so that a
full log does not fill itself with records of being full.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.clock import Clock
from gateway.core.record import Lane

QUEUED_AT_MOST = {Lane.DATA: 16 * 1024 * 1024, Lane.ALARM: 24 * 1024 * 1024}
"""Bytes that wait in memory for a disk that takes nothing, of both lanes; beyond, a lane's records are turned away."""

_TAKES_NOTHING = "the disk took nothing"
_FARTHEST_NS = 60_000_000_000
"""At least this often a loss record says what was turned away."""


@dataclass(slots=True)
class _Stretch:
    """What was turned away, of one lane and for one reason, since the last loss record."""

    rows: int = 0
    wall_from: int = 0
    wall_to: int = 0
    due_ns: int = 0
    """By the boot clock: when the next loss record is written."""
    pause_ns: int = 0


class Admission:
    """Says who may come in, and counts who may not."""

    def __init__(self, clock: Clock) -> None:
        self.turned_away = 0
        """Readings and events since the start."""
        self.queued = 0
        """Bytes on their way to the disk."""
        self._clock = clock
        self._room: dict[Lane, float] = {lane: float("inf") for lane in Lane}
        self._why: dict[Lane, str] = {}
        self._stretches: dict[tuple[Lane, str], _Stretch] = {}

    def set_room(self, lane: Lane, room: float, why: str = "") -> None:
        """So many bytes more may come into this lane, by policy; `why` there is no more."""
        self._room[lane], self._why[lane] = room, why

    def taken(self, lane: Lane, size: int) -> None:
        """So many bytes are on their way to the disk."""
        self.queued += size
        self._room[lane] -= size

    def admits(self, lane: Lane, rows: int) -> bool:
        """Whether a record of so many readings may come in; if not, it is counted."""
        if self.queued > QUEUED_AT_MOST[lane]:
            self.turn_away(lane, rows, _TAKES_NOTHING)
        elif self._room[lane] <= 0:
            self.turn_away(lane, rows, self._why[lane])
        else:
            return True
        return False

    def turn_away(self, lane: Lane, rows: int, reason: str) -> None:
        """So many readings, or events, are not accepted: counted, and told by loss records."""
        self.turned_away += rows
        stretch = self._stretches.setdefault((lane, reason), _Stretch())
        stretch.rows += rows
        stretch.wall_to = self._clock.wall_ns()
        stretch.wall_from = stretch.wall_from or stretch.wall_to

    def losses(self, *, all_of_them: bool = False) -> list[dict[str, Any]]:
        """The loss records that are due."""
        now = self._clock.boot_ns()
        bodies = []
        for (lane, reason), stretch in list(self._stretches.items()):
            if now < stretch.due_ns and not all_of_them:
                continue
            if not stretch.rows:
                del self._stretches[lane, reason]
                continue
            bodies.append(_body(lane, reason, stretch))
            pause = min(max(1_000_000_000, 2 * stretch.pause_ns), _FARTHEST_NS)
            self._stretches[lane, reason] = _Stretch(due_ns=now + pause, pause_ns=pause)
        return bodies

    def status(self) -> Mapping[str, str]:
        """Why a lane takes nothing new, by the lane's word."""
        return {lane.word: why for lane, why in self._why.items() if self._room[lane] <= 0}


def _body(lane: Lane, reason: str, stretch: _Stretch) -> dict[str, Any]:
    what = "readings" if lane is Lane.DATA else "events"
    return {
        "lane": lane.word,
        "ranges": [],
        "rows": stretch.rows,
        "from_ns": stretch.wall_from,
        "to_ns": stretch.wall_to,
        "reason": reason,
        "accepted": False,
        "message": f"{stretch.rows} {what} could not be accepted: {reason}.",
    }
