"""One line to Modbus devices, and what makes its answers sure.

Frames of Modbus TCP are numbered: every answer must carry the number of an open request and fit it in unit, function and
length; else the connection is dropped, since nothing that follows could be trusted. Only the answer to a request that was
given up meanwhile is expected late, by its number, and thrown away.

RTU and ASCII frames are not numbered, so one request is under way at a time, and a unit that owes an answer is in doubt
(`doubts.py`).
"""

import asyncio
import os
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol, cast

from gateway.plugin import LinkError

from .doubts import FUNCTION, Doubts
from .exchange import Exchange, Pace
from .framing import DamagedError, Framing
from .requests import DAMAGED, NO_ANSWER, Answer, Request
from .watch import watch_of

MAX_LATE = 64
"""How many given-up numbered requests are remembered. An answer to an older one drops the connection."""

MAX_SILENT = 4
"""Reads given up one after the other, without a byte received, that end the connection."""

MAX_DAMAGED = 8
"""Damaged frames one after the other, without a sound one, that end the connection."""

BUSY = 6
"""The exception by which a device says that it has no time now; the request is repeated a little later."""

_BUSY_PAUSE = 0.1

UNREACHABLE = frozenset((10, 11))
"""Exceptions by which a gateway says that it does not reach the unit; the unit's further requests are not sent then."""

_PROBE_AT_LEAST = 0.25
_PROBE_TIMES = 4
"""A unit that did not answer last time is asked with less patience, as many times what others take: it holds up the line."""

_MARK = -1
"""In place of an index: the request that resolves a doubt."""

_Open = tuple[Exchange, int, float, int]
"""Exchange, index of the request, when it was sent, repetitions left."""

_Again = tuple[Exchange, int, int, bool]
"""Exchange, index, repetitions left, and whether the unit is asked the same once more: then an answer that it owes serves as
well, and it need not give back a mark first."""


class Transport(Protocol):
    """What a connection needs of a socket or a serial port."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...


class Connection(asyncio.Protocol):
    """Sends requests, at most `max_in_flight` at once, and hands out their answers.

    `gap` is the silence between two frames in seconds, `noisy` says that stray bytes are a fact of life on such a line,
    `datagrams` that each frame is sent alone, and `advice` is what a person should look at when nothing at all is heard.
    """

    def __init__(
        self,
        peer: str,
        framing: Framing,
        *,
        max_in_flight: int = 1,
        gap: float = 0.0,
        noisy: bool = False,
        datagrams: bool = False,
        advice: str = "",
    ) -> None:
        self.counts: Counter[str] = Counter()
        """What went wrong and was made good: retries, damaged, late and stray answers."""
        self._peer = peer
        self._framing = framing
        self._numbered = framing.numbered
        self._max_in_flight = max_in_flight if framing.numbered else 1
        self._gap = gap
        self._noisy = noisy
        self._datagrams = datagrams
        self._advice = advice
        self._queue: deque[Exchange] = deque()
        self._again: deque[_Again] = deque()
        self._open: dict[int, _Open] = {}
        self._late: dict[int, int] = {}
        self._doubts = Doubts()
        self._mute: set[int] = set()
        self._slowest = 0.0
        self._silent = 0
        self._damaged = 0
        self._heard = False
        self._id = 0
        self._rest = b""
        self._error = ""
        self._not_before = 0.0
        self._resume: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._watch = watch_of(self._loop)
        self._lost = self._loop.create_future()

    async def exchange(
        self, requests: Sequence[Request], pace: Pace, until: float | None = None, *, first: bool = False
    ) -> list[Answer]:
        """The answers to these requests to one unit, in their order; by the loop's time `until` at the latest. `first`
        sends them before all that wait.

        Raises LinkError when the connection is lost or not to be trusted. When cancelled, the answers that still come are
        thrown away.
        """
        if self._error:
            raise LinkError(self._error)
        if not requests:
            return []
        now = self._loop.time()
        exchange = Exchange(requests, pace, until or now + pace.whole, self._loop.create_future())
        if first:
            self._queue.appendleft(exchange)
        else:
            self._queue.append(exchange)
        self._send(now)
        self._watch.add(self, min(now + self.patience(exchange.unit, exchange.pace), exchange.until))
        try:
            return await exchange.done
        except asyncio.CancelledError:
            self._give_up(exchange)
            raise

    def rest(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._not_before = self._loop.time() + seconds

    async def close(self) -> None:
        """Close at once, and wait until the socket is gone, since many devices allow few connections."""
        self._fail("the connection was closed")
        await asyncio.shield(self._lost)

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._silent = 0
        self._heard = True
        if self._quiet is not None:
            self._wait_for_quiet()
            return
        try:
            frames, self._rest = self._framing.split(self._rest + data if self._rest else data)
            for frame in frames:
                self._take(frame)
        except DamagedError:
            self._spoilt()
        except LinkError as error:
            self._fail(f"{self._peer}: {error}; connection dropped")
        else:
            if self._queue:
                self._send(self._loop.time())

    def forget_rest(self) -> None:
        """What came is no part of what comes next."""
        self._rest = b""

    def end(self, error: Exception) -> None:
        """The far side refuses what is sent."""
        self._fail(f"{self._peer}: {_loss(error)}")

    def connection_lost(self, error: Exception | None) -> None:
        never = " before any answer; is this its Modbus port, and has it a connection left?"
        self._fail(f"{self._peer}: {_loss(error)}{'' if self._heard else never}")
        self._watch.remove(self)
        for timer in (self._resume, self._quiet):
            if timer is not None:
                timer.cancel()
        self._lost.set_result(None)

    # Answers

    def _take(self, frame: bytes) -> None:
        number = int.from_bytes(frame[:2], "big") if self._numbered else 0
        waiting = self._open.get(number)
        if waiting is None or (self._doubts and self._owed(waiting, frame)):
            self._unexpected(number, frame)
            return
        exchange, index, sent, left = waiting
        if index == _MARK:
            del self._open[number]
            self._doubts.end(exchange.unit)
            self._send(self._loop.time())
            return
        answer = self._framing.answer(exchange.requests[index], frame)
        del self._open[number]
        now = self._loop.time()
        if now - sent > self._slowest:
            self._slowest = now - sent
        self._damaged = 0
        if answer == BUSY and left:
            exchange.heard = True
            self._not_before = now + max(_BUSY_PAUSE, exchange.pace.pause)
            self._repeat_or_end(exchange, index, left, BUSY)
            self._send(now)
        else:
            self._arrived(exchange, index, answer, now)

    def _arrived(self, exchange: Exchange, index: int, answer: Answer, now: float) -> None:
        if self._gap or exchange.pace.pause:
            self._not_before = now + max(self._gap, exchange.pace.pause)
        if self._mute:
            self._mute.discard(exchange.unit)
        exchange.heard = True
        if answer in UNREACHABLE and exchange.unsent < len(exchange.requests):
            self._skip(exchange, int(answer))
        exchange.take(index, answer)

    def _owed(self, waiting: _Open, frame: bytes) -> bool:
        exchange, index, _, _ = waiting
        asked = FUNCTION if index == _MARK else exchange.requests[index].function
        return self._doubts.owes(self._framing.body(frame), exchange.unit, asked)

    def _unexpected(self, number: int, frame: bytes) -> None:
        unit = self._framing.body(frame)[0]
        late = self._late.pop(number, None) is not None if self._numbered else unit in self._doubts
        if late:
            self._mute.discard(unit)
        elif not self._noisy:
            told = f"transaction id {number}" if self._numbered else f"from unit {unit}"
            raise LinkError(f"an answer that was not asked for ({told})")
        self.counts["late" if late else "stray"] += 1

    def _spoilt(self) -> None:
        """A frame is damaged: wait until the line is quiet, then go on."""
        self.counts["damaged"] += 1
        self._damaged += 1
        if self._damaged > MAX_DAMAGED:
            self._fail(f"{self._peer}: {MAX_DAMAGED} damaged answers in a row{self._advice}; connection dropped")
        elif not self._open and not self._noisy:
            self._fail(f"{self._peer}: bytes that were not asked for; connection dropped")
        else:
            self._wait_for_quiet()

    def _wait_for_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = self._loop.call_later(max(0.02, 2 * self._gap), self._quieted)

    def _quieted(self) -> None:
        self._quiet = None
        self._rest = b""
        for number, (exchange, index, _, left) in list(self._open.items()):
            del self._open[number]
            self._repeat_or_end(exchange, index, left, DAMAGED)
        self._send(self._loop.time())

    # Requests

    def _send(self, now: float) -> None:
        frames = []
        while (self._again or self._queue) and len(self._open) < self._max_in_flight and not self._quiet:
            if now < self._not_before:
                self._pause()
                break
            exchange, index, left, same = self._next()
            number = self._free_id()
            request = exchange.requests[index]
            if self._doubts and not same and not self._doubts.over(exchange.unit, now):
                if self._doubts.is_deaf(exchange.unit):
                    self._end(exchange, index, NO_ANSWER)
                    continue
                self._again.appendleft((exchange, index, left, False))
                request, index = self._doubts.new_mark(exchange.unit), _MARK
            self._open[number] = exchange, index, now, left
            frames.append(self._framing.wrap(request, number))
        if frames:
            self._write(frames)

    def _next(self) -> _Again:
        """What to send."""
        if self._again:
            return self._again.popleft()
        exchange = self._queue[0]
        index = exchange.unsent
        exchange.unsent += 1
        if exchange.unsent == len(exchange.requests):
            self._queue.popleft()
        return exchange, index, 0 if self._mute and exchange.unit in self._mute else exchange.pace.retries, False

    def _write(self, frames: Sequence[bytes]) -> None:
        if self._rest and not self._numbered:
            self.counts["stray"] += 1
            self._rest = b""
            if not self._noisy:
                self._fail(f"{self._peer}: bytes that were not asked for; connection dropped")
                return
        if len(frames) == 1:
            self._transport.write(frames[0])
        elif self._datagrams:
            for frame in frames:
                self._transport.write(frame)
        else:
            self._transport.write(b"".join(frames))

    def _pause(self) -> None:
        if self._resume is None:
            self._resume = self._loop.call_at(self._not_before, self._resumed)

    def _resumed(self) -> None:
        self._resume = None
        self._send(max(self._loop.time(), self._not_before))

    def _free_id(self) -> int:
        if not self._numbered:
            return 0
        self._id = (self._id + 1) & 0xFFFF
        while self._id in self._open or self._id in self._late:
            self._id = (self._id + 1) & 0xFFFF
        return self._id

    # Time

    def patience(self, unit: int, pace: Pace) -> float:
        """How long the unit's answer is waited for, seconds. One that did not answer last time gets less."""
        if self._mute and self._slowest and unit in self._mute:
            return min(pace.patience, max(_PROBE_AT_LEAST, _PROBE_TIMES * self._slowest))
        return pace.patience

    def _due(self, entry: _Open) -> float:
        exchange, _, sent, _ = entry
        return min(sent + self.patience(exchange.unit, exchange.pace), exchange.until)

    def expire(self, now: float) -> float | None:
        """Give up what is over its time. Returns when the next will be, None when nothing is under way."""
        for number, entry in list(self._open.items()):
            if self._due(entry) <= now and number in self._open:
                self._late_from(number, now)
                self._unanswered(entry, now)
        for waiting in [each for each in self._again if each[0].until <= now]:
            self._again.remove(waiting)
            self._end(waiting[0], waiting[1], NO_ANSWER)
        for exchange in [each for each in self._queue if each.until <= now]:
            self._run_out(exchange)
        if self._error:
            return None
        self._send(now)
        unsent = [*self._queue, *(each[0] for each in self._again)]
        times = [*map(self._due, self._open.values()), *(exchange.until for exchange in unsent)]
        return min(times, default=None)

    def _run_out(self, exchange: Exchange) -> None:
        """The time for an exchange is over, though not all of it is sent."""
        if any(entry[0] is exchange for entry in [*self._open.values(), *self._again]):
            self._skip(exchange, NO_ANSWER)
        else:
            self._queue.remove(exchange)
            exchange.end()

    def _unanswered(self, entry: _Open, now: float) -> None:
        exchange, index, _, left = entry
        if index == _MARK:
            if exchange.unit not in self._mute:
                self._deafened(exchange.unit, now)
            if not self._error:
                self._end(exchange, self._again.popleft()[1], NO_ANSWER)
        else:
            self._repeat_or_end(exchange, index, left if now < exchange.until else 0, NO_ANSWER)

    def _deafened(self, unit: int, now: float) -> None:
        """The unit is alive, and does not say where it is."""
        if self._noisy:
            self._doubts.deafened(unit, now)
        else:
            why = "may still answer what it was asked before, and gives no number back (function 8)"
            self._fail(f"{self._peer}: unit {unit} {why}; connection dropped")

    def _repeat_or_end(self, exchange: Exchange, index: int, left: int, answer: int) -> None:
        if index == _MARK:
            return
        if left and not exchange.done.done():
            self.counts["retries"] += 1
            self._again.append((exchange, index, left - 1, True))
        else:
            self._end(exchange, index, answer)

    def _end(self, exchange: Exchange, index: int, answer: int) -> None:
        """A request has failed for good. When the unit answered nothing yet, the others are not sent."""
        if not exchange.heard:
            self._skip(exchange, answer)
            if answer == NO_ANSWER:
                self._mute.add(exchange.unit)
                self._count_silence()
        exchange.take(index, answer)

    def _skip(self, exchange: Exchange, answer: int) -> None:
        if exchange.unsent < len(exchange.requests):
            exchange.skip_rest(answer)
            self._queue.remove(exchange)

    def _late_from(self, number: int, now: float) -> None:
        """An open request is given up: its answer may come late."""
        exchange, index, _, _ = self._open.pop(number)
        if self._numbered:
            self._late[number] = exchange.unit
            while len(self._late) > MAX_LATE:
                del self._late[next(iter(self._late))]
        elif index != _MARK:
            self._doubts.begin(exchange.unit, exchange.pace.patience, now)

    def _give_up(self, exchange: Exchange) -> None:
        if exchange in self._queue:
            self._queue.remove(exchange)
        self._again = deque(each for each in self._again if each[0] is not exchange)
        given_up = [number for number, entry in self._open.items() if entry[0] is exchange]
        for number in given_up:
            self._late_from(number, self._loop.time())
        if given_up and not exchange.heard:
            self._mute.add(exchange.unit)
            self._count_silence()
        if not self._error:
            self._send(self._loop.time())

    def _count_silence(self) -> None:
        self._silent += 1
        if self._silent >= MAX_SILENT:
            told = f"connected, but no answer to the last {MAX_SILENT} reads; is unit right?"
            self._fail(f"{self._peer}: {told}{self._advice}")

    def _fail(self, reason: str) -> None:
        if self._error:
            return
        self._error = reason
        self._transport.abort()
        owners = [entry[0] for entry in self._open.values()] + [entry[0] for entry in self._again]
        waiting = list(self._queue)
        self._queue.clear()
        self._open.clear()
        self._again.clear()
        for exchange in {id(owner): owner for owner in [*waiting, *owners]}.values():
            if not exchange.done.done():
                exchange.done.set_exception(LinkError(reason))


def _loss(error: Exception | None) -> str:
    if error is None:
        return "the device closed the connection"
    number = error.errno if isinstance(error, OSError) else None
    return f"connection lost ({os.strerror(number) if number else error})"
