"""What was asked on a line and is not answered yet: decided here, without a socket or a clock (`now` is the loop's time).

Where frames carry transaction ids, an answer carries the one of an open request, and fits it. What does not is counted and
thrown away: late, doubled, or of another master. A device that gives 0, 1 or all ones back in place of all ids is believed
when it has never given a right one, and one request is under way (`transaction_ids.py`).

Where they carry none, one request is under way at a time, and a unit that owes an answer is in doubt (`owed_answers.py`).
What is of another unit or function, or has another length, is thrown away there too.

What is sent next is decided in `turns.py`, how long an answer is waited for in `patience.py`.
"""

import struct
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic

from gateway.kit.line.answers import DAMAGED, MISFIT, NO_ANSWER, UNSENT, JointAnswer
from gateway.kit.line.exchange import Exchange
from gateway.kit.line.framing import LineFraming, R
from gateway.kit.line.owed_answers import OwedAnswers
from gateway.kit.line.patience import MAX_SILENT, Patience
from gateway.kit.line.transaction_ids import TransactionIds
from gateway.kit.line.turns import Turns
from gateway.plugin import LinkError

_BUSY_PAUSE = 0.1

MAX_STRAY = 1000
"""Frames that nobody asked for, without one that was asked for between them, that end the connection."""

_GRACE = 0.1
"""Seconds that an answer by a number of nobody's waits for the right one, before it is taken for it."""

_QUIET = 0.02
"""Seconds between an answer and the next request, on a line without numbers where answers came that nobody asked for."""

_MARK = -1
"""In place of an index: the request that resolves a doubt."""

_Open = tuple[Exchange[R], int, float, int]
"""Exchange, index of the request, when it was sent, repetitions left."""


class SilentError(LinkError):
    """The line is open, and nobody answers."""


@dataclass(frozen=True, slots=True)
class LineManners:
    """How a line behaves, and what a person should look at when it does not. Times in seconds."""

    max_in_flight: int = 1
    """Requests under way at once; 1 where frames carry no transaction ids."""

    gap: float = 0.0
    """Silence between two frames."""

    noisy: bool = False
    """Whether stray bytes and lost frames are a fact of life."""

    datagrams: bool = False
    """Whether each frame is sent alone."""

    ids_count: bool = True
    """Whether the device gives transaction ids back at all."""

    protocol: str = ""
    """Its name, for people."""

    if_silent: str = "is the address right?"
    """What to look at when nothing at all is heard."""

    if_damaged: str = ""
    """The same when all that is heard is damaged; begins with a space."""

    if_misnumbered: str = ""
    """The same when answers carry ids that are none of ours; begins with "; "."""


class ExchangeState(Generic[R]):
    """The requests and answers of one connection. Every method that raises LinkError means that the line must be dropped."""

    def __init__(self, framing: LineFraming[R], manners: LineManners) -> None:
        self.odd = ""
        """What was odd about the last frame that answered something else; empty when a right one came since."""
        self.counts: Counter[str] = Counter()
        self.not_before = 0.0
        """When the next request may be sent."""
        self.turns: Turns[R] = Turns()
        self.patience = Patience()
        self._framing = framing
        self._refusals = framing.refusals
        self._numbers = TransactionIds(framing.ids) if framing.ids else None
        self._ids_count = manners.ids_count
        self._max_in_flight = manners.max_in_flight if framing.ids and manners.ids_count else 1
        self._astray = 0
        self.held: tuple[int, int, JointAnswer, float] | None = None
        """An answer by a number of nobody's: the open request's number, its own, the answer, and when it is believed, which
        `next_due` knows."""
        self.misfit = b""
        """The last frame of another length than was asked for."""
        self._gap = manners.gap
        self._noisy = manners.noisy
        self._if_misnumbered = manners.if_misnumbered
        self.open: dict[int, _Open[R]] = {}
        """What an answer is waited for to, by its number; to be looked at only."""
        self._owed = OwedAnswers(framing)

    # What is said

    def lower_in_flight(self, most: int) -> None:
        """The far side bears no more at once."""
        self._max_in_flight = max(1, min(self._max_in_flight, most))

    def next_frames(self, now: float) -> list[bytes]:
        """What to send now."""
        frames: list[bytes] = []
        while len(self.open) < self._max_in_flight and now >= self.not_before and self.turns:
            exchange, index, left, same = self.turns.next()
            if left and not same and self.patience.is_mute(exchange.unit):
                left = 0
            request = exchange.requests[index]
            if self._owed and not same and not self._owed.over(exchange.unit, now):
                if self._owed.is_deaf(exchange.unit):
                    self._end(exchange, index, NO_ANSWER)
                    continue
                mark = self._owed.new_mark(request)
                if mark is None:
                    self._unmarked(exchange, index)
                    continue
                self.turns.hold((exchange, index, left, False))
                request, index = mark, _MARK
            number = self._numbers.next(self.open) if self._numbers else 0
            self.open[number] = exchange, index, now, left
            frames.append(self._framing.wrap(request, number))
        return frames

    # What is heard

    def take(self, frame: bytes, now: float) -> None:
        """A frame has come. Raises LinkError when it is no answer to what was asked."""
        number = self._framing.number(frame) if self._numbers else 0
        waiting = self.open.get(number)
        if waiting is None or (self._owed and self._is_owed(waiting, frame)):
            self._unexpected(number, frame, now)
            return
        exchange, index, _, _ = waiting
        if index == _MARK:
            del self.open[number]
            self._owed.end(exchange.unit)
            return
        answer = self._answer(exchange.requests[index], frame)
        if answer is None or (answer == MISFIT and self._numbers is None):
            self.odd = self._framing.foreign(exchange.requests[index], frame) if answer is None else ""
            self._stray()
            return
        if answer == MISFIT:
            self.misfit = frame
        if self._numbers is not None:
            self._numbers.prove()
        self._answered(number, answer, now)

    def _answer(self, request: R, frame: bytes) -> JointAnswer | None:
        """What the framing finds, if it is of the size that was asked for; a frame that it cannot take apart is not."""
        try:
            answer = self._framing.answer(request, frame)
        except (LookupError, ValueError, struct.error):
            return MISFIT
        return MISFIT if type(answer) is bytes and len(answer) != request.size >= 0 else answer

    def _answered(self, number: int, answer: JointAnswer, now: float) -> None:
        exchange, index, sent, left = self.open.pop(number)
        if self._astray or self.odd or self.held is not None:
            self._astray, self.odd, self.held = 0, "", None
        self.patience.answered(exchange.unit, now - sent)
        first, exchange.heard = not exchange.heard, True
        if self._gap or exchange.pace.pause:
            self.not_before = now + max(self._gap, exchange.pace.pause)
        if type(answer) is int:
            if answer in self._refusals.busy and (left or exchange.put_off < exchange.pace.busy_retries):
                exchange.put_off += 1
                self.not_before = now + max(_BUSY_PAUSE, exchange.pace.pause)
                self._repeat_or_end(exchange, index, max(left, 1), answer)
                return
            if first and answer in self._refusals.unreachable:
                self.turns.skip(exchange, answer)
        exchange.take(index, answer)

    def spoilt(self) -> None:
        """What came was damaged, and the line is quiet now."""
        for number, (exchange, index, _, left) in list(self.open.items()):
            del self.open[number]
            self._repeat_or_end(exchange, index, left, DAMAGED)

    def _is_owed(self, waiting: _Open[R], frame: bytes) -> bool:
        exchange, index, _, _ = waiting
        asked = self._owed.mark if index == _MARK else exchange.requests[index]
        return asked is not None and self._owed.is_owed(frame, asked)

    def _unexpected(self, number: int, frame: bytes, now: float) -> None:
        unit = self._framing.unit(frame)
        if self._numbers.comes_late(number) if self._numbers else unit in self._owed:
            self.patience.alive(unit)
            self.counts["late"] += 1
        elif self._numbers is None or not self._without_number(self._numbers, number, frame, now):
            if self._numbers is not None and not self._numbers.was_given(number):
                whose = f"an answer came by transaction id {number}, which is none of ours"
                self.odd = whose + self._if_misnumbered
            self._stray()

    def _without_number(self, numbers: TransactionIds, number: int, frame: bytes, now: float) -> bool:
        """Whether the frame is the answer to the one request under way, of a device that gives no numbers back."""
        if len(self.open) != 1 or (self._ids_count and (numbers.proven or numbers.was_given(number))):
            return False
        ((asked, (exchange, index, _, _)),) = self.open.items()
        answer = self._answer(exchange.requests[index], frame)
        if answer is None:
            return False
        if number == numbers.constant or not self._ids_count:
            self._answered(asked, answer, now)
            return True
        # Any other number may be the one that a gateway forwards for another master, whose values are not ours.
        if number not in numbers.none:
            return False
        if self.held is None:
            self.held = asked, number, answer, now + _GRACE
        return True

    def _believe(self, now: float) -> None:
        """Nothing better came than the answer that is held."""
        assert self.held is not None
        assert self._numbers is not None
        asked, number, answer, _ = self.held
        self._numbers.expect(number)
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
    def ids_proven(self) -> bool:
        """Whether the far side gives numbers back."""
        return self._numbers is not None and self._numbers.proven

    @property
    def last_id(self) -> int | None:
        """The transaction id that was given last. None where frames carry none."""
        return self._numbers.last if self._numbers is not None else None

    def recall_ids(self, last: int | None, proven: bool) -> None:
        """What is known of transaction ids from the connection before."""
        if self._numbers is not None:
            self._numbers.recall(last, proven)

    def rest_until(self, time: float) -> None:
        """Send nothing before."""
        self.not_before = time

    @property
    def gives_no_ids(self) -> bool:
        """Whether answers are told apart by their turn alone."""
        return self._numbers is not None and (self._numbers.constant is not None or not self._ids_count)

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
        if overdue and self.gives_no_ids:
            raise LinkError("no answer in time, and the device gives no number back by which a late one could be told")

    def next_due(self) -> float | None:
        """When something will be over its time; None when nothing is asked."""
        times = [*map(self._due, self.open.values()), *(exchange.until for exchange in self.turns.exchanges())]
        if self.held is not None:
            times.append(self.held[3])
        return min(times, default=None)

    def give_up(self, exchange: Exchange[R], now: float) -> None:
        """Nobody waits for it any more."""
        self.turns.drop(exchange)
        given_up = [number for number, entry in self.open.items() if entry[0] is exchange]
        for number in given_up:
            self._late_from(number, now)
        if given_up and not exchange.heard:
            self._unheard(exchange.unit)
        if given_up and self.gives_no_ids:
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

    def _due(self, entry: _Open[R]) -> float:
        exchange, _, sent, _ = entry
        return min(sent + self.patience.of(exchange.unit, exchange.pace), exchange.until)

    def _run_out(self, exchange: Exchange[R]) -> None:
        """The time for an exchange is over, though not all of it is sent."""
        self.turns.skip(exchange, UNSENT)
        if not self.turns.repeats(exchange) and all(entry[0] is not exchange for entry in self.open.values()):
            exchange.end()

    def _unanswered(self, entry: _Open[R], now: float) -> None:
        exchange, index, _, left = entry
        if index == _MARK:
            if not self.patience.is_mute(exchange.unit):
                self._deafened(exchange.unit, now)
            self._end(exchange, self.turns.held()[1], NO_ANSWER)
        else:
            self._repeat_or_end(exchange, index, left if now < exchange.until else 0, NO_ANSWER)

    def _unmarked(self, exchange: Exchange[R], index: int) -> None:
        """The unit may owe an answer, and its protocol has nothing by which that could be told."""
        if not self._noisy:
            raise LinkError("no answer in time, and frames carry no number by which a late one could be told")
        self._end(exchange, index, NO_ANSWER)

    def _deafened(self, unit: Hashable, now: float) -> None:
        """The unit is alive, and does not say where it is."""
        if not self._noisy:
            why = "may still answer what it was asked before, and gives no mark back by which that could be told"
            raise LinkError(f"unit {unit} {why}")
        self._owed.deafened(unit, now)

    def _repeat_or_end(self, exchange: Exchange[R], index: int, left: int, answer: int) -> None:
        if index == _MARK:
            return
        if left and not exchange.done.done():
            self.counts["retries"] += 1
            self.turns.repeat((exchange, index, left - 1, True))
        else:
            self._end(exchange, index, answer)

    def _end(self, exchange: Exchange[R], index: int, answer: int) -> None:
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
            self._owed.begin(exchange.unit, exchange.pace.patience, now)

    def _unheard(self, unit: Hashable) -> None:
        if self.patience.given_up(unit):
            raise SilentError(f"connected, but no answer to the last {MAX_SILENT} reads")
