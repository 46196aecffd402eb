"""One TCP connection to a Modbus device or gateway.

Every answer must carry the transaction id of an open request and fit it in unit, function and length; else the
connection is dropped, since nothing that follows could be trusted. Only the answer to a request that was given up
meanwhile (timed out) is expected late, by its id, and thrown away; when several were given up and nothing at all came in
between, the connection is taken for dead.
"""

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from typing import cast

from gateway.plugin import LinkError

from .frames import Answer, Request, answer_to, split

MAX_LATE = 64
"""How many given-up requests are remembered. An answer to an older one drops the connection."""

MAX_SILENT = 4
"""Reads given up one after the other, without a byte received, that end the connection."""

UNREACHABLE = frozenset((10, 11))
"""Exceptions by which a gateway says that it does not reach the unit; the unit's further requests are not sent then."""


class _Exchange:
    """Requests whose answers somebody awaits together."""

    __slots__ = ("answers", "done", "missing", "requests", "unsent")

    def __init__(self, requests: Sequence[Request], done: "asyncio.Future[list[Answer]]") -> None:
        self.requests = requests
        self.answers: list[Answer] = [b""] * len(requests)
        self.done = done
        self.missing = len(requests)
        self.unsent = 0

    def take(self, index: int, answer: Answer) -> None:
        self.answers[index] = answer
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(self.answers)

    def skip_rest(self, answer: Answer) -> None:
        unsent = len(self.requests) - self.unsent
        self.answers[self.unsent :] = [answer] * unsent
        self.unsent = len(self.requests)
        self.missing -= unsent


class Connection(asyncio.Protocol):
    """Sends requests, at most `max_in_flight` at once, and hands out their answers."""

    def __init__(self, peer: str, max_in_flight: int) -> None:
        self._peer = peer
        self._max_in_flight = max_in_flight
        self._queue: deque[_Exchange] = deque()
        self._open: dict[int, tuple[_Exchange, int]] = {}
        self._late: dict[int, None] = {}
        self._silent = 0
        self._heard = False
        self._id = 0
        self._rest = b""
        self._error = ""
        self._loop = asyncio.get_running_loop()
        self._lost = self._loop.create_future()

    async def exchange(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers to these requests, in their order. Raises LinkError when the connection is lost or not to be
        trusted. When cancelled, the answers that still come are thrown away."""
        if self._error:
            raise LinkError(self._error)
        if not requests:
            return []
        exchange = _Exchange(requests, self._loop.create_future())
        self._queue.append(exchange)
        self._send()
        try:
            return await exchange.done
        except asyncio.CancelledError:
            self._give_up(exchange)
            raise

    async def close(self) -> None:
        """Close at once, and wait until the socket is gone, since many devices allow few connections."""
        self._fail("the connection was closed")
        await asyncio.shield(self._lost)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._silent = 0
        self._heard = True
        try:
            frames, self._rest = split(self._rest + data if self._rest else data)
            for frame in frames:
                self._take(frame)
        except LinkError as error:
            self._fail(f"{self._peer}: {error}; connection dropped")
        else:
            if self._queue:
                self._send()

    def connection_lost(self, error: Exception | None) -> None:
        never = " before any answer; is this its Modbus TCP port, and has it a connection left?"
        self._fail(f"{self._peer}: {_loss(error)}{'' if self._heard else never}")
        self._lost.set_result(None)

    def _take(self, frame: bytes) -> None:
        number = int.from_bytes(frame[:2], "big")
        waiting = self._open.get(number)
        if waiting is None:
            if number not in self._late:
                raise LinkError(f"an answer that was not asked for (transaction id {number})")
            del self._late[number]
            return
        exchange, index = waiting
        answer = answer_to(exchange.requests[index], frame)
        del self._open[number]
        if answer in UNREACHABLE and exchange.unsent < len(exchange.requests):
            exchange.skip_rest(answer)
            self._queue.remove(exchange)
        exchange.take(index, answer)

    def _send(self) -> None:
        frames = []
        while self._queue and len(self._open) < self._max_in_flight:
            exchange = self._queue[0]
            index = exchange.unsent
            exchange.unsent += 1
            if exchange.unsent == len(exchange.requests):
                self._queue.popleft()
            number = self._free_id()
            self._open[number] = exchange, index
            frames.append(number.to_bytes(2, "big") + exchange.requests[index].tail)
        if frames:
            self._transport.write(b"".join(frames))

    def _free_id(self) -> int:
        self._id = (self._id + 1) & 0xFFFF
        while self._id in self._open or self._id in self._late:
            self._id = (self._id + 1) & 0xFFFF
        return self._id

    def _give_up(self, exchange: _Exchange) -> None:
        if exchange in self._queue:
            self._queue.remove(exchange)
        given_up = [number for number, (owner, _) in self._open.items() if owner is exchange]
        for number in given_up:
            del self._open[number]
            self._late[number] = None
        while len(self._late) > MAX_LATE:
            del self._late[next(iter(self._late))]
        self._silent += bool(given_up)
        if self._silent >= MAX_SILENT:
            self._fail(f"{self._peer}: connected, but no answer to the last {MAX_SILENT} reads; is unit right?")
        elif not self._error:
            self._send()

    def _fail(self, reason: str) -> None:
        if self._error:
            return
        self._error = reason
        self._transport.abort()
        waiting = {id(owner): owner for owner in [*self._queue, *(owner for owner, _ in self._open.values())]}
        self._queue.clear()
        self._open.clear()
        for exchange in waiting.values():
            if not exchange.done.done():
                exchange.done.set_exception(LinkError(reason))


def _loss(error: Exception | None) -> str:
    if error is None:
        return "the device closed the connection"
    number = error.errno if isinstance(error, OSError) else None
    return f"connection lost ({os.strerror(number) if number else error})"
