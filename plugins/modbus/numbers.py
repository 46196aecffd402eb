"""Transaction ids: which are in use, and which may still come back late."""

from collections.abc import Container

MAX_LATE = 64
"""How many given-up requests are remembered. An answer to an older one drops the connection."""


class Numbers:
    """The 16-bit numbers of one connection."""

    def __init__(self) -> None:
        self._last = 0
        self._late: dict[int, None] = {}

    def next(self, taken: Container[int]) -> int:
        """A number that is neither taken nor owed."""
        number = (self._last + 1) & 0xFFFF
        while number in taken or number in self._late:
            number = (number + 1) & 0xFFFF
        self._last = number
        return number

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
