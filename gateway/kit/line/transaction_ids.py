"""Transaction ids: which are in use, and which may still come back late."""

from collections.abc import Container

MAX_LATE = 64
"""How many given-up requests are remembered as such."""

_FIRST = 0.325
"""Where among the numbers it begins: far from those that stand for none."""

_RECENT = 256


class TransactionIds:
    """The numbers of one connection."""

    def __init__(self, count: int) -> None:
        """`count` is how many there are, a power of two."""
        self._mask = count - 1
        self._recent = min(_RECENT, count // 2)
        self.none = frozenset((0, 1, self._mask) if count > 2 * _RECENT else ())
        """What devices that give no numbers back put in their place; where there are few numbers, all are used."""
        self.last = int(_FIRST * count)
        """The one that was given last. It goes on from connection to connection: a device server may deliver on a new one
        what was asked for on the one before."""
        self._late: dict[int, None] = {}
        self.proven = False
        """Whether an answer has carried its request's number: then one that does not is none."""
        self.constant: int | None = None
        """What a device that gives no numbers back puts in their place."""

    def recall(self, last: int | None, proven: bool) -> None:
        """Go on from what is known of the connection before, if anything."""
        self.proven = proven
        if last is not None:
            self.last = last

    def prove(self) -> None:
        """An answer has carried its request's number."""
        self.proven = True

    def expect(self, constant: int) -> None:
        """The device puts this in the place of all numbers."""
        self.constant = constant

    def next(self, taken: Container[int]) -> int:
        """A number that is neither taken nor owed."""
        number = (self.last + 1) & self._mask
        while number in taken or number in self._late:
            number = (number + 1) & self._mask
        self.last = number
        return number

    def was_given(self, number: int) -> bool:
        """Whether it was one of the last numbers: what carries it is an answer that came twice, or too late."""
        return (self.last - number) & self._mask < self._recent

    def give_up(self, number: int) -> None:
        """Nobody waits for it any more, and its answer may come late."""
        self._late[number] = None
        if len(self._late) > MAX_LATE:
            del self._late[next(iter(self._late))]

    def comes_late(self, number: int) -> bool:
        """Whether an answer by this number was still owed. From now on it is not."""
        if number in self._late:
            del self._late[number]
            return True
        return False
