"""Which units owe an answer on a line whose frames carry no transaction ids.

Such answers do not say what they answer. A unit that did not answer in time may do so later, and would then be taken at its
word for something else. It must first give back a mark, a number of ours, where the protocol has a request for that, for
units answer in order. Where it has none, or when one that answers else is silent on that, a stream is dropped and dialled
anew, which surely ends what is owed; a serial port has nothing to drop, and the unit is left alone for a time-out.
"""

from collections.abc import Hashable
from typing import Generic

from gateway.kit.line.answers import MISFIT
from gateway.kit.line.framing import LineFraming, R

LONG = 10
"""Time-outs after which an answer that is owed is no longer expected; 1 for a unit that is known to give no mark back."""


class OwedAnswers(Generic[R]):
    """The units that owe one. False when there are none."""

    def __init__(self, framing: LineFraming[R]) -> None:
        self._framing = framing
        self._until: dict[Hashable, float] = {}
        self._deaf: set[Hashable] = set()
        self._number = 0
        self.mark: R | None = None
        """The one that was last asked for."""

    def __bool__(self) -> bool:
        return bool(self._until)

    def __contains__(self, unit: Hashable) -> bool:
        return unit in self._until

    def begin(self, unit: Hashable, patience: float, now: float) -> None:
        """A request to the unit was given up after `patience` seconds."""
        self._until[unit] = now + patience * (1 if unit in self._deaf else LONG)

    def end(self, unit: Hashable) -> None:
        """It owes nothing."""
        self._until.pop(unit, None)

    def over(self, unit: Hashable, now: float) -> bool:
        """Whether it can be asked at once."""
        if now < self._until.get(unit, now):
            return False
        self.end(unit)
        return True

    def is_deaf(self, unit: Hashable) -> bool:
        """Whether asking it for a mark is of no use."""
        return unit in self._deaf

    def deafened(self, unit: Hashable, now: float) -> None:
        """It did not give back a mark, though it answers else. It has had a time-out's time for what it owes."""
        self._deaf.add(unit)
        self._until[unit] = now

    def new_mark(self, request: R) -> R | None:
        """A request to the unit of this one that shows that it owes nothing; None where the protocol has none."""
        self._number = self._number + 1 & 0xFFFF
        self.mark = self._framing.mark(request, self._number)
        return self.mark

    def is_owed(self, frame: bytes, asked: R) -> bool:
        """Whether a frame is not the answer to what was asked, but one owed since earlier."""
        if self._framing.unit(frame) not in self._until:
            return False
        answer = self._framing.answer(asked, frame)
        return answer is None or (asked is self.mark and answer == MISFIT)  # an older mark that comes late is owed too
