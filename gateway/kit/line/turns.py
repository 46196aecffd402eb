"""Which request is sent next on a line that several exchanges share."""

from collections import deque
from collections.abc import Iterator
from typing import Generic

from gateway.kit.line.answers import JointAnswer
from gateway.kit.line.exchange import Exchange
from gateway.kit.line.framing import R

Turn = tuple[Exchange[R], int, int, bool]
"""A request to send: exchange, index, repetitions left, and whether the unit is asked the same once more: then an answer that
it owes serves as well, and it need not give back a mark first."""


class Turns(Generic[R]):
    """Exchanges take turns by request, so that one of many requests does not hold up one of few. Urgent ones go before all
    others, what is repeated goes before what was not sent yet. False when there is nothing to send."""

    def __init__(self) -> None:
        self._urgent: list[Exchange[R]] = []
        self._again: list[Turn[R]] = []
        self._waiting: deque[Exchange[R]] = deque()
        self._last: Exchange[R] | None = None
        """Whose turn it was; it goes behind those that came meanwhile."""

    def __bool__(self) -> bool:
        return bool(self._waiting or self._again or self._urgent)

    def add(self, exchange: Exchange[R], urgent: bool) -> None:
        """An exchange of which nothing was sent."""
        line = self._urgent if urgent else self._waiting
        line.append(exchange)

    def next(self) -> Turn[R]:
        """What to send now; there must be something."""
        if self._urgent:
            return _first(self._urgent)
        if self._again:
            return self._again.pop(0)
        waiting = self._waiting
        if waiting[0] is self._last and len(waiting) > 1:
            waiting.rotate(-1)
        self._last = waiting[0]
        return _first(waiting)

    def repeat(self, turn: Turn[R]) -> None:
        """Send it once more."""
        self._again.append(turn)

    def hold(self, turn: Turn[R]) -> None:
        """Send it as soon as the mark is back that is sent in its place now."""
        self._again.insert(0, turn)

    def held(self) -> Turn[R]:
        """What `hold` was last told, to be sent no more."""
        return self._again.pop(0)

    def skip(self, exchange: Exchange[R], answer: JointAnswer) -> None:
        """Send no more of an exchange: this stands for the other answers."""
        if exchange.unsent < len(exchange.requests):
            exchange.skip_rest(answer)
            self._remove(exchange)

    def drop(self, exchange: Exchange[R]) -> None:
        """Nobody waits for it any more."""
        if exchange.unsent < len(exchange.requests):
            self._remove(exchange)
        self._again = [turn for turn in self._again if turn[0] is not exchange]

    def take_overdue(self, now: float) -> list[Turn[R]]:
        """The repetitions for which the time is over; they are sent no more."""
        overdue = [turn for turn in self._again if turn[0].until <= now]
        for turn in overdue:
            self._again.remove(turn)
        return overdue

    def overdue(self, now: float) -> list[Exchange[R]]:
        """Exchanges with something unsent for which the time is over."""
        return [exchange for exchange in (*self._urgent, *self._waiting) if exchange.until <= now]

    def repeats(self, exchange: Exchange[R]) -> bool:
        """Whether something of it is to be sent once more."""
        return any(turn[0] is exchange for turn in self._again)

    def exchanges(self) -> Iterator[Exchange[R]]:
        """All of which something is to be sent; one may occur several times."""
        yield from self._urgent
        yield from self._waiting
        for turn in self._again:
            yield turn[0]

    def clear(self) -> None:
        """The line has ended."""
        self._urgent.clear()
        self._waiting.clear()
        self._again.clear()

    def _remove(self, exchange: Exchange[R]) -> None:
        line = self._urgent if exchange in self._urgent else self._waiting
        line.remove(exchange)


def _first(line: deque[Exchange[R]] | list[Exchange[R]]) -> Turn[R]:
    """The next request of the first exchange."""
    exchange = line[0]
    index = exchange.unsent
    exchange.unsent += 1
    if exchange.unsent == len(exchange.requests):
        del line[0]
    return exchange, index, exchange.pace.retries, False
