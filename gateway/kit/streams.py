"""Frames that are waited for, within bounds: requests and answers over TCP or UDP."""

import asyncio
import os
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

from gateway.core.errors import LinkError
from gateway.kit.frames import Frames, Framing
from gateway.kit.receiver import FRAMES_A_TURN

_HOLD = 64 * 1024
"""Bytes that wait to be taken, from which on the peer must wait."""


class _Answering:
    """What a stream and datagrams have in common: one task at a time waits for a frame."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.counts: Counter[str] = Counter()
        """Frames that came and were not wanted, by kind: "stray", "dropped"."""
        self._lost: LinkError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._taken = 0
        self._closed_idle = False
        """Whether the far side, which had answered before, closed while nobody waited."""
        self._transport: Any = None

    def write(self, data: bytes) -> None:
        """Send, without waiting. Raises LinkError when the connection has ended."""
        if self._lost is not None:
            raise self._lost
        self._send(data)

    async def frame(self) -> bytes:
        """The next frame. Raises LinkError, when all that came is taken, with the reason for which no more will come. A frame
        that never becomes whole is waited for for ever: have a time-out, as the gateway has for every call of a plugin."""
        self._taken += 1
        if self._taken % FRAMES_A_TURN == 0:
            await asyncio.sleep(0)  # a peer that talks without a pause must not keep others from theirs
        while (frame := self._next()) is None:
            if self._lost is not None:
                raise self._lost
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return frame

    async def ask(self, request: bytes, is_answer: Callable[[bytes], bool] | None = None) -> bytes:
        """Send a request and wait for its answer. What came unasked before is thrown away, and so is what `is_answer` says is
        none, such as the late answer to an earlier request; both are counted as "stray"."""
        while self._lost is None and self._next() is not None:
            self.counts["stray"] += 1
        self.write(request)
        while True:
            frame = await self.frame()
            if is_answer is None or is_answer(frame):
                return frame
            self.counts["stray"] += 1

    async def close(self) -> None:
        """Close at once, and wait until the socket is gone: many devices allow few connections. Never raises."""
        self._end("the connection was closed")
        await asyncio.shield(self._ended)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._closed_idle = self._lost is None and self._taken > 0 and self._waiter is None
        self._end("the far side closed the connection" if error is None else f"connection lost ({reason_of(error)})")
        if not self._ended.done():
            self._ended.set_result(None)

    def _next(self) -> bytes | None:
        raise NotImplementedError

    def _send(self, data: bytes) -> None:
        raise NotImplementedError

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, reason: str) -> None:
        if self._lost is None:
            self._lost = LinkError(f"{self.peer}: {reason}")
            self._transport.abort()
        self._wake()


class Stream(_Answering, asyncio.Protocol):
    """A connection whose frames are taken one after the other. Bytes that nobody takes are not read from the socket, so that
    at most one frame, or 64 KiB, and one chunk of the loop's (CHUNK) are held. Made by `open_stream`.

    Many devices close a connection on which nothing is asked for a while. That is no loss: `ask` dials again, and greets
    where there is a greeting, which is counted as "idle_closes".
    """

    def __init__(self, peer: str, framing: Framing) -> None:
        super().__init__(peer)
        self.dial_again: Callable[[], Awaitable[object]] | None = None
        """How this connection was made."""
        self.greet: Callable[[Stream], Awaitable[object]] | None = None
        """What is said on each new connection before anything else."""
        self._greeting = False
        self._frames = Frames(framing)
        self._hold = max(_HOLD, framing.longest)
        self._resting = False

    async def greeted(self) -> None:
        """Say what each connection begins with. Raises what `greet` raises, and then the connection is closed."""
        if self.greet is None:
            return
        self._greeting = True
        try:
            await self.greet(self)
        except BaseException:
            await self.close()
            raise
        finally:
            self._greeting = False

    async def ask(self, request: bytes, is_answer: Callable[[bytes], bool] | None = None) -> bytes:
        """See above; after an idle close it dials, and greets, first."""
        if self._closed_idle and self.dial_again is not None:
            self._closed_idle, self._lost, self._resting = False, None, False
            self._frames.clear()
            self._ended = asyncio.get_running_loop().create_future()
            self.counts["idle_closes"] += 1
            try:
                await self.dial_again()
            except BaseException:
                self.connection_lost(None)
                raise
            await self.greeted()
        return await super().ask(request, is_answer)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self._greeting:  # who hangs up on a greeting would do so again
            self._closed_idle = False

    def data_received(self, data: bytes) -> None:
        if self._lost is not None:
            return
        self._frames.add(data)
        if len(self._frames) > self._hold and not self._resting:
            self._resting = True
            self._transport.pause_reading()
        self._wake()

    def _next(self) -> bytes | None:
        try:
            frame = self._frames.next()
        except ValueError as error:
            self._frames.clear()
            self._end(f"what came is no answer: {error}")
            return None
        if self._resting and len(self._frames) <= self._hold and self._lost is None:
            self._resting = False
            self._transport.resume_reading()
        return frame

    def _send(self, data: bytes) -> None:
        self._transport.write(data)


class Datagrams(_Answering, asyncio.DatagramProtocol):
    """The same by UDP: each datagram is a frame. Up to 64 wait to be taken, more are dropped and counted. Made by
    `open_datagrams`."""

    def __init__(self, peer: str, longest: int = 64 * 1024) -> None:
        super().__init__(peer)
        self._longest = longest
        self._waiting: deque[bytes] = deque()

    def datagram_received(self, data: bytes, _from: Any) -> None:
        if len(self._waiting) >= FRAMES_A_TURN or len(data) > self._longest:
            self.counts["dropped"] += 1
            return
        self._waiting.append(data)
        self._wake()

    def error_received(self, error: Exception) -> None:
        self._end(f"connection lost ({reason_of(error)})")

    def _next(self) -> bytes | None:
        return self._waiting.popleft() if self._waiting else None

    def _send(self, data: bytes) -> None:
        cast(asyncio.DatagramTransport, self._transport).sendto(data)


def reason_of(error: BaseException) -> str:
    """What the system says of an error of a socket."""
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number > 0:
        return os.strerror(number)
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
