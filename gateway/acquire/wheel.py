"""The tick wheel: one timer for all scans.

Time is cut into slots of 10 ms, counted from 1970 by the wall clock as it was at the start. A scan comes back after its
period. Phases are spread by a hash of the device's name. A wake-up costs more than a poll, so as few are made as leave some
twenty devices to each: phases stand 200 ms apart, 100 ms or 50 ms where there are many devices.
"""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

from gateway.core.clock import Clock

SLOT = 0.01
PHASE_STEPS = (20, 10, 5)
"""Slots between two phases; each step divides the one before, so that phases taken with another step still coincide."""
CROWD = 25
"""Devices of one phase, above which the next smaller step is taken."""


@dataclass(eq=False, slots=True)
class Turn:
    """A place on the wheel."""

    due: Callable[[], None]
    period: int
    """In slots."""
    phase: int
    missed: int = 0
    """Turns that were left out because the gateway itself was late."""
    cancelled: bool = False


class Wheel:
    """Calls each `due` once per period, in the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[int, list[Turn]] = {}
        self._heap: list[int] = []
        self._names: dict[int, set[str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed = -1
        self._origin = 0.0
        self._crash: asyncio.Future[None] | None = None

    def add(self, due: Callable[[], None], period: float, name: str, align: bool = False) -> Turn:
        """Call `due` every `period` seconds, on the full period of the wall clock when `align`, else at the phase of
        `name`. Periods are rounded to 10 ms."""
        slots = max(1, round(period / SLOT))
        turn = Turn(due, slots, 0 if align else self._phase(name, slots))
        if self._crash is not None:
            self._put(turn, self._after(self._now(), turn))
            self._arm()
        else:
            self._slots.setdefault(-1, []).append(turn)  # no slot at all: `align` puts it into one when the wheel turns
        return turn

    def _phase(self, name: str, period: int) -> int:
        self._names.setdefault(period, set()).add(name)
        crowd = len(self._names[period])
        step = next((step for step in PHASE_STEPS if crowd * step <= CROWD * period), PHASE_STEPS[-1])
        return crc32(name.encode()) % max(1, period // step) * step % period

    def remove(self, turn: Turn) -> None:
        """Call it no more."""
        turn.cancelled = True

    async def run(self) -> None:
        """Turn, until cancelled. Raises what a `due` raised."""
        self._crash = asyncio.get_running_loop().create_future()
        try:
            self.align()
            await self._crash
        finally:
            if self._timer:
                self._timer.cancel()

    def align(self) -> None:
        """Count slots from the wall clock as it is now: at the start, and after a step of the clock."""
        turns = [turn for slot in self._slots.values() for turn in slot if not turn.cancelled]
        self._slots.clear()
        self._heap.clear()
        self._armed = -1
        self._origin = asyncio.get_running_loop().time() - self._clock.wall_ns() / 1e9
        now = self._now()
        for turn in turns:
            self._put(turn, self._after(now, turn))
        self._arm()

    def late(self) -> float:
        """Seconds by which the next turn is overdue; 0 when all is in time."""
        if not self._heap or self._crash is None:
            return 0.0
        return max(0.0, asyncio.get_running_loop().time() - self._time(self._heap[0]))

    def _now(self) -> int:
        return int((asyncio.get_running_loop().time() - self._origin) / SLOT)

    def _time(self, slot: int) -> float:
        return self._origin + slot * SLOT

    @staticmethod
    def _after(slot: int, turn: Turn) -> int:
        """The turn's first slot after this one."""
        return slot + 1 + (turn.phase - slot - 1) % turn.period

    def _put(self, turn: Turn, slot: int) -> None:
        turns = self._slots.get(slot)
        if turns is None:
            self._slots[slot] = [turn]
            heapq.heappush(self._heap, slot)
        else:
            turns.append(turn)

    def _arm(self) -> None:
        if not self._heap or self._heap[0] == self._armed:
            return
        if self._timer:
            self._timer.cancel()
        self._armed = self._heap[0]
        self._timer = asyncio.get_running_loop().call_at(self._time(self._armed), self._turn)

    def _turn(self) -> None:
        try:
            # Timers fire up to the clock's resolution early.
            now = max(self._now(), self._armed)
            while self._heap and self._heap[0] <= now:
                slot = heapq.heappop(self._heap)
                for turn in self._slots.pop(slot):
                    if not turn.cancelled:
                        following = slot + turn.period
                        if following <= now:
                            turn.missed += 1 + (now - following) // turn.period
                            following = self._after(now, turn)
                        self._put(turn, following)
                        turn.due()
            self._armed = -1
            self._arm()
        except Exception as error:  # noqa: BLE001 - raised again in run()
            if self._crash and not self._crash.done():
                self._crash.set_exception(error)
