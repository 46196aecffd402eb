"""What was asked on a line and is not answered yet: decided here, without a socket or a clock (`now` is the loop's time).

Frames of Modbus TCP are numbered: an answer carries the number of an open request and fits it in unit and function. What does
not is counted and thrown away: late, doubled, or of another master. A device that gives 0, 1 or 65535 back in place of all
numbers is believed when it has never given a right one, and one request is under way (`numbers.py`).

RTU and ASCII frames are not numbered, so one request is under way at a time, and a unit that owes an answer is in doubt
(`doubts.py`). What is of another unit or function, or has another length, is thrown away there too.

What is sent next is decided in `turns.py`, how long an answer is waited for in `silence.py`.
"""

from collections import Counter

from gateway.plugin import LinkError

from ..exceptions import BUSY
from ..requests import DAMAGED, MISFIT, NO_ANSWER, UNSENT, Answer, foreign
from .doubts import FUNCTION, Doubts
from .exchange import Exchange
from .framing import Framing
from .numbers import NO_NUMBERS, Numbers
from .silence import MAX_SILENT, Silence
from .turns import Turns

_BUSY_PAUSE = 0.1

MAX_STRAY = 1000
"""Frames that nobody asked for, without one that was asked for between them, that end the connection."""

_GRACE = 0.1
"""Seconds that an answer by a number of nobody's waits for the right one, before it is taken for it."""

_QUIET = 0.02
"""Seconds between an answer and the next request, on a line without numbers where answers came that nobody asked for."""

UNREACHABLE = frozenset((10, 11))
"""Exceptions by which a gateway says that it does not reach the unit; the unit's further requests are not sent then."""

_MARK = -1
"""In place of an index: the request that resolves a doubt."""

_Open = tuple[Exchange, int, float, int]
"""Exchange, index of the request, when it was sent, repetitions left."""


class SilentError(LinkError):
    """The line is open, and nobody answers."""


class Dialogue:
    """The requests and answers of one connection. Every method that raises LinkError means that the line must be dropped."""

    def __init__(
        self,
        framing: Framing,
        *,
        max_in_flight: int = 1,
        gap: float = 0.0,
        noisy: bool = False,
        numbers_count: bool = True,
    ) -> None:
        """`numbers_count` says whether a device gives numbers back at all."""
        self.odd = ""
        """What was odd about the last frame that answered something else; empty when a right one came since."""
        self.counts: Counter[str] = Counter()
        self.not_before = 0.0
        """When the next request may be sent."""
        self.turns = Turns()
        self.silence = Silence()
        self._framing = framing
        self._numbers = Numbers() if framing.numbered else None
        self._numbers_count = numbers_count
        self._max_in_flight = max_in_flight if framing.numbered and numbers_count else 1
        self._astray = 0
        self.held: tuple[int, int, Answer, float] | None = None
        """An answer by a number of nobody's: the open request's number, its own, the answer, and when it is believed, which
        `next_due` knows."""
        self.misfit = b""
        """The last frame of another length than was asked for."""
        self._gap = gap
        self._noisy = noisy
        self.open: dict[int, _Open] = {}
        """What an answer is waited for to, by its number; to be looked at only."""
        self._doubts = Doubts()

    # What is said

    def next_frames(self, now: float) -> list[bytes]:
        """What to send now."""
        frames: list[bytes] = []
        while len(self.open) < self._max_in_flight and now >= self.not_before and self.turns:
            exchange, index, left, same = self.turns.next()
            if left and not same and self.silence.is_mute(exchange.unit):
                left = 0
            request = exchange.requests[index]
            if self._doubts and not same and not self._doubts.over(exchange.unit, now):
                if self._doubts.is_deaf(exchange.unit):
                    self._end(exchange, index, NO_ANSWER)
                    continue
                self.turns.hold((exchange, index, left, False))
                request, index = self._doubts.new_mark(exchange.unit), _MARK
            number = self._numbers.next(self.open) if self._numbers else 0
            self.open[number] = exchange, index, now, left
            frames.append(self._framing.wrap(request, number))
        return frames

    # What is heard

    def take(self, frame: bytes, now: float) -> None:
        """A frame has come. Raises LinkError when it is no answer to what was asked."""
        number = int.from_bytes(frame[:2], "big") if self._numbers else 0
        waiting = self.open.get(number)
        if waiting is None or (self._doubts and self._owed(waiting, frame)):
            self._unexpected(number, frame, now)
            return
        exchange, index, _, _ = waiting
        if index == _MARK:
            del self.open[number]
            self._doubts.end(exchange.unit)
            return
        answer = self._framing.answer(exchange.requests[index], frame)
        if answer is None or (answer == MISFIT and self._numbers is None):
            self.odd = foreign(exchange.requests[index], self._framing.body(frame)) if answer is None else ""
            self._stray()
            return
        if answer == MISFIT:
            self.misfit = frame
        if self._numbers is not None:
            self._numbers.proven = True
        self._answered(number, answer, now)

    def _answered(self, number: int, answer: Answer, now: float) -> None:
        exchange, index, sent, left = self.open.pop(number)
        if self._astray or self.odd or self.held is not None:
            self._astray, self.odd, self.held = 0, "", None
        self.silence.answered(exchange.unit, now - sent)
        exchange.heard = True
        if self._gap or exchange.pace.pause:
            self.not_before = now + max(self._gap, exchange.pace.pause)
        if answer == BUSY and left:
            self.not_before = now + max(_BUSY_PAUSE, exchange.pace.pause)
            self._repeat_or_end(exchange, index, left, BUSY)
            return
        if type(answer) is int and answer in UNREACHABLE:
            self.turns.skip(exchange, answer)
        exchange.take(index, answer)

    def spoilt(self) -> None:
        """What came was damaged, and the line is quiet now."""
        for number, (exchange, index, _, left) in list(self.open.items()):
            del self.open[number]
            self._repeat_or_end(exchange, index, left, DAMAGED)

    def _owed(self, waiting: _Open, frame: bytes) -> bool:
        exchange, index, _, _ = waiting
        asked = FUNCTION if index == _MARK else exchange.requests[index].function
        return self._doubts.owes(self._framing.body(frame), exchange.unit, asked)

    def _unexpected(self, number: int, frame: bytes, now: float) -> None:
        unit = self._framing.body(frame)[0]
        if self._numbers.comes_late(number) if self._numbers else unit in self._doubts:
            self.silence.alive(unit)
            self.counts["late"] += 1
        elif self._numbers is None or not self._without_number(self._numbers, number, frame, now):
            if self._numbers is not None and not self._numbers.was_given(number):
                whose = f"an answer came by transaction id {number}, which is none of ours"
                self.odd = f"{whose}; if the device gives back wrong ones, transaction_ids = false takes it"
            self._stray()

    def _without_number(self, numbers: Numbers, number: int, frame: bytes, now: float) -> bool:
        """Whether the frame is the answer to the one request under way, of a device that gives no numbers back."""
        if len(self.open) != 1 or (self._numbers_count and (numbers.proven or numbers.was_given(number))):
            return False
        ((asked, (exchange, index, _, _)),) = self.open.items()
        answer = self._framing.answer(exchange.requests[index], frame)
        if answer is None:
            return False
        if number == numbers.constant or not self._numbers_count:
            self._answered(asked, answer, now)
            return True
        # Any other number may be the one that a gateway forwards for another master, whose values are not ours.
        if number not in NO_NUMBERS:
            return False
        if self.held is None:
            self.held = asked, number, answer, now + _GRACE
        return True

    def _believe(self, now: float) -> None:
        """Nothing better came than the answer that is held."""
        assert self.held is not None
        assert self._numbers is not None
        asked, self._numbers.constant, answer, _ = self.held
        self.held = None
        if asked in self.open:
            self._answered(asked, answer, now)

    def _stray(self) -> None:
        """A frame that nobody asked for is thrown away. Raises LinkError when there is nothing else."""
        self.counts["stray"] += 1
        self._astray += 1
        if self._astray >= MAX_STRAY:
            raise LinkError(f"{MAX_STRAY} answers in a row that were not asked for")
        if self._numbers is None and not self._noisy:
            self._gap = max(self._gap, _QUIET)

    @property
    def numbers_proven(self) -> bool:
        """Whether the far side gives numbers back; it can be set, where that is known from before."""
        return self._numbers is not None and self._numbers.proven

    @numbers_proven.setter
    def numbers_proven(self, proven: bool) -> None:
        if self._numbers is not None:
            self._numbers.proven = proven

    @property
    def last_number(self) -> int | None:
        """The transaction id that was given last; it can be set before the first. None where frames carry none."""
        return self._numbers.last if self._numbers is not None else None

    @last_number.setter
    def last_number(self, number: int) -> None:
        if self._numbers is not None:
            self._numbers.last = number

    @property
    def gives_no_numbers(self) -> bool:
        """Whether answers are told apart by their turn alone."""
        return self._numbers is not None and (self._numbers.constant is not None or not self._numbers_count)

    # What does not come

    def expire(self, now: float) -> None:
        """Give up what is over its time."""
        if self.held is not None and self.held[3] <= now:
            self._believe(now)
        overdue = [item for item in self.open.items() if self._due(item[1]) <= now]
        for number, entry in overdue:
            self._late_from(number, now)
            self._unanswered(entry, now)
        for exchange, index, _, _ in self.turns.take_overdue(now):
            self._end(exchange, index, NO_ANSWER)
        for exchange in self.turns.overdue(now):
            self._run_out(exchange)
        if overdue and self.gives_no_numbers:
            raise LinkError("no answer in time, and the device gives no number back by which a late one could be told")

    def next_due(self) -> float | None:
        """When something will be over its time; None when nothing is asked."""
        times = [*map(self._due, self.open.values()), *(exchange.until for exchange in self.turns.exchanges())]
        if self.held is not None:
            times.append(self.held[3])
        return min(times, default=None)

    def give_up(self, exchange: Exchange, now: float) -> None:
        """Nobody waits for it any more."""
        self.turns.drop(exchange)
        given_up = [number for number, entry in self.open.items() if entry[0] is exchange]
        for number in given_up:
            self._late_from(number, now)
        if given_up and not exchange.heard:
            self._unheard(exchange.unit)
        if given_up and self.gives_no_numbers:
            raise LinkError(
                "a read was given up, and the device gives no number back by which its answer could be told"
            )

    def end(self, reason: str) -> None:
        """The line is dropped: everybody who waits is told why."""
        waiting = {id(exchange): exchange for exchange in self.turns.exchanges()}
        waiting |= {id(entry[0]): entry[0] for entry in self.open.values()}
        self.turns.clear()
        self.open.clear()
        for exchange in waiting.values():
            if not exchange.done.done():
                exchange.done.set_exception(LinkError(reason))

    def _due(self, entry: _Open) -> float:
        exchange, _, sent, _ = entry
        return min(sent + self.silence.patience(exchange.unit, exchange.pace), exchange.until)

    def _run_out(self, exchange: Exchange) -> None:
        """The time for an exchange is over, though not all of it is sent."""
        self.turns.skip(exchange, UNSENT)
        if not self.turns.repeats(exchange) and all(entry[0] is not exchange for entry in self.open.values()):
            exchange.end()

    def _unanswered(self, entry: _Open, now: float) -> None:
        exchange, index, _, left = entry
        if index == _MARK:
            if not self.silence.is_mute(exchange.unit):
                self._deafened(exchange.unit, now)
            self._end(exchange, self.turns.held()[1], NO_ANSWER)
        else:
            self._repeat_or_end(exchange, index, left if now < exchange.until else 0, NO_ANSWER)

    def _deafened(self, unit: int, now: float) -> None:
        """The unit is alive, and does not say where it is."""
        if not self._noisy:
            why = "may still answer what it was asked before, and gives no number back (function 8)"
            raise LinkError(f"unit {unit} {why}")
        self._doubts.deafened(unit, now)

    def _repeat_or_end(self, exchange: Exchange, index: int, left: int, answer: int) -> None:
        if index == _MARK:
            return
        if left and not exchange.done.done():
            self.counts["retries"] += 1
            self.turns.repeat((exchange, index, left - 1, True))
        else:
            self._end(exchange, index, answer)

    def _end(self, exchange: Exchange, index: int, answer: int) -> None:
        """A request has failed for good. When the unit answered nothing yet, the others are not sent."""
        if not exchange.heard:
            self.turns.skip(exchange, UNSENT if answer == NO_ANSWER else answer)
        exchange.take(index, answer)
        if not exchange.heard and answer == NO_ANSWER:
            self._unheard(exchange.unit)

    def _late_from(self, number: int, now: float) -> None:
        """An open request is given up: its answer may come late."""
        exchange, index, _, _ = self.open.pop(number)
        if self._numbers:
            self._numbers.give_up(number)
        elif index != _MARK:
            self._doubts.begin(exchange.unit, exchange.pace.patience, now)

    def _unheard(self, unit: int) -> None:
        if self.silence.given_up(unit):
            raise SilentError(f"connected, but no answer to the last {MAX_SILENT} reads; is unit right?")
