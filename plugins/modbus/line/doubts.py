"""Which units owe an answer on a line whose frames carry no numbers.

RTU and ASCII answers do not say what they answer. A unit that did not answer in time may do so later, and would then be taken
at its word for something else. Such a unit is in doubt: before it is asked anything else it must give back a number of ours
(function 8), for units answer in order. When one that answers else is silent on that, a stream is dropped and dialled anew,
which surely ends what is owed; a serial port has nothing to drop, and the unit is left alone for a time-out.
"""

from ..requests import Request, echo

LONG = 10
"""Time-outs after which an answer that is owed is no longer expected; 1 for a unit that is known to be silent on function
8."""

FUNCTION = 8


class Doubts:
    """The units in doubt. False when there are none."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}
        self._deaf: set[int] = set()
        self._number = 0
        self.mark: Request | None = None
        """The number that was last asked for."""

    def __bool__(self) -> bool:
        return bool(self._until)

    def __contains__(self, unit: int) -> bool:
        return unit in self._until

    def begin(self, unit: int, patience: float, now: float) -> None:
        """A request to the unit was given up after `patience` seconds."""
        self._until[unit] = now + patience * (1 if unit in self._deaf else LONG)

    def end(self, unit: int) -> None:
        """It owes nothing."""
        self._until.pop(unit, None)

    def over(self, unit: int, now: float) -> bool:
        """Whether it can be asked at once."""
        if now < self._until.get(unit, now):
            return False
        self.end(unit)
        return True

    def is_deaf(self, unit: int) -> bool:
        """Whether asking it for a number is of no use."""
        return unit in self._deaf

    def deafened(self, unit: int, now: float) -> None:
        """It did not give back a number, though it answers else. It has had a time-out's time for what it owes."""
        self._deaf.add(unit)
        self._until[unit] = now

    def new_mark(self, unit: int) -> Request:
        """The request that resolves the doubt."""
        self._number = self._number + 1 & 0xFFFF
        self.mark = echo(unit, self._number)
        return self.mark

    def owes(self, body: bytes, asked_unit: int, asked_function: int) -> bool:
        """Whether a frame's body is not the answer to what was asked, but one owed since earlier."""
        unit, function = body[0], body[1]
        if unit not in self._until:
            return False
        if unit != asked_unit or function & 0x7F != asked_function:
            return True
        # An older number that comes late is owed too.
        return function == FUNCTION and self.mark is not None and body[1:] != self.mark.head
