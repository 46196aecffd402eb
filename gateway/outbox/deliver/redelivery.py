"""Records that a far side has refused for now.

A device whose topic is not allowed may be refused for days, and must not stop the others. So what is refused is held apart by
what it is about: it rests, and goes out again after pauses that double. After some refusals in a row, all else about the same
thing is passed over where it stands in the log, until one is taken; what is about other things goes on as ever.

In strict order readings are not told apart: whatever is refused holds up all that is newer.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial

import structlog

from gateway.core.record import Record
from gateway.outbox.deliver.lane_position import LanePosition

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds until a record goes out again; doubled while the far side goes on refusing the same ones."""
IN_A_ROW = 5
"""Refusals about one thing, with nothing taken between them, after which all about it is passed over."""
AT_MOST = 100
"""Records about one thing that rest; more are passed over."""

_Place = tuple[LanePosition, int]

log = structlog.get_logger()


@dataclass(slots=True)
class _Refused:
    """What is refused about one thing."""

    resting: dict[_Place, None] = field(default_factory=dict)
    tried: set[_Place] = field(default_factory=set)
    """What went out again and is not answered."""
    repeated: bool = False
    """Whether one that went out again was refused again, in this round."""
    pause: float = FIRST_PAUSE
    timer: asyncio.TimerHandle | None = None
    in_a_row: int = 0
    barred: bool = False
    """Whether nothing else about it goes out."""
    trial: bool = False
    """Whether one more may: what rests may be refused for a reason of its own."""
    passed: dict[LanePosition, int] = field(default_factory=dict)
    """The least number that was passed over."""


class Redelivery:
    """Of one sink and connection; true while there is any. `ready` is set when some are to go out again."""

    def __init__(self, sink: str, ready: asyncio.Event) -> None:
        self._ready = ready
        self._refused: dict[str, _Refused] = {}
        self._log = log.bind(sink=sink)

    def __bool__(self) -> bool:
        return bool(self._refused)

    @property
    def count(self) -> int:
        """Records that were refused and wait."""
        return sum(len(refused.resting) for refused in self._refused.values())

    @property
    def barred(self) -> list[str]:
        """What nothing goes out about."""
        return [about for about, refused in self._refused.items() if refused.barred]

    def pause(self, about: str) -> float:
        """Seconds from a refusal until what rests about this goes out again; 0 where nothing was refused."""
        return self._refused[about].pause if about in self._refused else 0.0

    def add(self, position: LanePosition, record: Record, reason: str) -> None:
        """This one was refused; it is handed out no more until the pause is over."""
        about, place = record.about, (position, record.seq)
        refused = self._refused.get(about)
        if refused is None:
            refused = self._refused[about] = _Refused()
            self._log.warning("refused for now, sent again later", about=about, reason=reason)
        again = place in refused.tried
        if again:
            refused.tried.discard(place)
            refused.repeated = True
        if refused.timer is None:
            self._start(about, refused)
        if again or (not refused.barred and len(refused.resting) < AT_MOST):
            refused.resting[place] = None
        else:
            _pass_over(refused, *place)
        refused.in_a_row += 1
        if refused.in_a_row == IN_A_ROW:
            refused.barred = True
            self._log.warning("all about it waits until one is taken", about=about)

    def keeps(self, position: LanePosition, record: Record) -> bool:
        """Whether this one is not to go out now; then it is passed over, and comes again by itself."""
        refused = self._refused.get(record.about)
        if refused is None:
            return False
        place = (position, record.seq)
        if place in refused.resting:
            return True
        if not refused.barred or place in refused.tried:
            return False
        if refused.trial:
            refused.trial = False
            return False
        _pass_over(refused, *place)
        return True

    def settled(self, position: LanePosition, record: Record, *, taken: bool = True) -> None:
        """The far side took it, or never will."""
        refused = self._refused.get(record.about)
        if refused is None:
            return
        refused.tried.discard((position, record.seq))
        if taken:
            refused.in_a_row = 0
        if taken and refused.barred:
            self._log.info("taken again", about=record.about)
            refused.barred = refused.trial = False
            self._send_again(refused, list(refused.resting))
        if not (refused.resting or refused.tried or refused.passed or refused.barred):
            self._stop(self._refused.pop(record.about))

    def _start(self, about: str, refused: _Refused) -> None:
        refused.pause = min(2 * refused.pause, LONGEST_PAUSE) if refused.repeated else FIRST_PAUSE
        refused.repeated = False
        refused.timer = asyncio.get_running_loop().call_later(refused.pause, partial(self._end, about, refused))

    def _end(self, about: str, refused: _Refused) -> None:
        """The pause is over: all go out again, or, where all about it waits, the oldest."""
        refused.timer = None
        self._send_again(refused, list(refused.resting)[: 1 if refused.barred else None])
        refused.trial = refused.barred
        if refused.resting or refused.passed:
            self._start(about, refused)  # what goes out may be given up meanwhile, and is never answered then

    def _send_again(self, refused: _Refused, places: list[_Place]) -> None:
        for place in places:
            del refused.resting[place]
            refused.tried.add(place)
            position, seq = place
            position.send_again(seq)
        if not refused.barred:
            for position, seq in refused.passed.items():
                position.back_to(seq)
            refused.passed.clear()
        self._ready.set()

    @staticmethod
    def _stop(refused: _Refused) -> None:
        if refused.timer is not None:
            refused.timer.cancel()

    def forget(self) -> None:
        """The link is lost: all is open again anyway."""
        for refused in self._refused.values():
            self._stop(refused)
        self._refused.clear()


def _pass_over(refused: _Refused, position: LanePosition, seq: int) -> None:
    refused.passed[position] = min(seq, refused.passed.get(position, seq))


class Hold:
    """Of one sink in strict order, and one connection; true while a reading that was refused is not taken. Until then only
    what was refused goes out again, after pauses. `ready` is set when something may."""

    def __init__(self, sink: str, position: LanePosition, ready: asyncio.Event) -> None:
        self._position = position
        self._ready = ready
        self._refused: set[int] = set()
        self._again: set[int] = set()
        """Those that went out again."""
        self._pause = FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._log = log.bind(sink=sink)

    def __bool__(self) -> bool:
        if self._refused and all(seq in self._position.cursor.seqs for seq in self._refused):
            self.forget()  # what was refused was given up meanwhile
        return bool(self._refused)

    @property
    def count(self) -> int:
        """Records that were refused and wait."""
        return sum(seq not in self._position.handed for seq in self._refused)

    def add(self, record: Record, reason: str) -> None:
        """This one was refused; it is handed out no more until the pause is over."""
        if not self._refused:
            self._log.warning("refused for now, all newer readings wait", about=record.about, reason=reason)
        self._refused.add(record.seq)
        if self._timer is None:
            self._pause = min(2 * self._pause, LONGEST_PAUSE) if record.seq in self._again else FIRST_PAUSE
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._end)

    def _end(self) -> None:
        """The pause is over: all that was refused goes out again, in its order."""
        self._timer = None
        for seq in self._refused:
            if seq not in self._position.handed:
                self._again.add(seq)
                self._position.send_again(seq)
        self._ready.set()

    def settled(self, record: Record) -> None:
        """The far side took it, or never will."""
        if record.seq in self._refused:
            self._refused.discard(record.seq)
            self._again.discard(record.seq)
            if not self._refused:
                self.forget()
                self._ready.set()

    def forget(self) -> None:
        """Nothing holds up anything any more."""
        self._refused.clear()
        self._again.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
