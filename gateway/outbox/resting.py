"""Records that a far side has refused for now."""

import asyncio
from collections.abc import Callable

from gateway.outbox.track import Handed, Track

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds until they go out again; doubled while the far side goes on refusing the same ones."""
AT_MOST = 5000
"""Records; while so many rest, no others go out that might come back too."""

_Place = tuple[Track, int]


class Resting:
    """They rest together and go out again together; `wake` is called then."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._places: dict[_Place, Handed] = {}
        self._tried: set[_Place] = set()
        self._pause = FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether no further record should be risked."""
        return len(self._places) >= AT_MOST

    def add(self, track: Track, seq: int, handed: Handed) -> None:
        """This one was refused; it counts as handed out until the pause is over."""
        self._places[track, seq] = handed
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._end)

    def _end(self) -> None:
        self._timer = None
        repeated = not self._tried.isdisjoint(self._places)
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if repeated else FIRST_PAUSE
        self._tried = set(self._places)
        for (track, seq), handed in self._places.items():
            if track.handed.get(seq) is handed:
                track.open_again(seq)
        self._places.clear()
        self._wake()

    def forget(self) -> None:
        """The link is lost: all is open again anyway."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._places.clear()
        self._tried.clear()
        self._pause = FIRST_PAUSE
