"""What is asked of a driver's process, and not answered yet."""

import asyncio
from collections import deque
from typing import Any, Protocol

from gateway.core.amounts import format_duration
from gateway.core.errors import LinkError
from gateway.isolation import wire
from gateway.isolation.failures import raised
from gateway.isolation.wire import FrameKind

ACKNOWLEDGE = 1.0
"""Seconds within which a call must end when it is cancelled."""
AHEAD = 16
"""Parts of a stream that may be under way."""


class Inflow:
    """Parts of a stream that have come and were not taken yet."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    def came(self, part: bytes) -> bool:
        """One more; false when more have come than were asked for."""
        self._parts.append(part)
        self._wake()
        return len(self._parts) <= 2 * AHEAD

    def fail(self, error: Exception) -> None:
        """No more will come."""
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> bytes:
        """The next part. Raises what ended the stream."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._parts.popleft()


class Answering(Protocol):
    """The process, as far as it is asked."""

    is_loaded: bool
    """Whether it has loaded the plugin."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """To it; None while it does not run."""
        ...

    @property
    def why_gone(self) -> str:
        """Why it does not run, in words."""
        ...

    async def put_down(self, why: str) -> None:
        """End it for a reason, as in "did not answer for 3 s"."""
        ...

    def refuse(self, reason: str) -> None:
        """What it sends cannot be understood."""
        ...


class OpenCalls:
    """Calls and streams by number, which no life of the process begins anew: what belonged to one is nothing to the next."""

    def __init__(self, process: Answering) -> None:
        self._process = process
        self._number = 0
        self._open: dict[int, asyncio.Future[bytes] | Inflow] = {}

    async def call(self, method: str, *args: Any) -> Any:
        """What a method of the child answers, as JSON. Raises what it raises, and LinkError when the process ends."""
        return wire.said(await self.ask(FrameKind.CALL, _pickled(method, args)))

    def notify(self, method: str, *args: Any) -> None:
        """Call a method whose answer nobody waits for."""
        self._send(wire.frame(FrameKind.CALL, 0, _pickled(method, args)))

    async def ask(self, kind: FrameKind, body: bytes) -> bytes:
        """The frame that answers a request. Raises as `call`."""
        loop = asyncio.get_running_loop()
        number = self._begin()
        answer = self._open[number] = loop.create_future()
        begun = loop.time()
        try:
            self._send(wire.frame(kind, number, body))
            data: bytes = await answer
        except asyncio.CancelledError:
            await self._take_back(number, begun)
            raise
        finally:
            self._open.pop(number, None)
        if data[8] == FrameKind.FAILED:
            raise self._raised(data)
        return data

    def inflow(self, method: str, *args: Any) -> tuple[int, Inflow]:
        """Begin a stream; `more` asks for parts beyond the first AHEAD, `end_inflow` ends it."""
        number = self._begin()
        inflow = self._open[number] = Inflow()
        self._send(wire.frame(FrameKind.CALL, number, _pickled(method, args)))
        return number, inflow

    def more(self, number: int, count: int) -> None:
        """So many parts were taken."""
        self._send(wire.frame(FrameKind.MORE, number, wire.NUMBER.pack(count)))

    async def end_inflow(self, number: int) -> None:
        """Nobody takes the parts of this stream any more."""
        if self._open.pop(number, None) is not None:
            await self._take_back(number, asyncio.get_running_loop().time())

    async def _take_back(self, number: int, begun: float) -> None:
        """Cancel a call, and end the process if the call does not end."""
        loop = asyncio.get_running_loop()
        if self._process.transport is None or not self._process.is_loaded:
            return
        ended = self._open[number] = loop.create_future()
        try:
            self._send(wire.frame(FrameKind.CANCEL, number))
            await asyncio.wait([ended], timeout=ACKNOWLEDGE)
            if not ended.done():
                await self._process.put_down(f"did not answer for {format_duration(round(loop.time() - begun, 1))}")
        finally:
            self._open.pop(number, None)
            if ended.done() and not ended.cancelled():
                ended.exception()

    def _begin(self) -> int:
        if self._process.transport is None:
            raise LinkError(self._process.why_gone)
        self._number = self._number % 0xFFFF_FFFF + 1
        return self._number

    def _send(self, data: bytes) -> None:
        if (transport := self._process.transport) is not None:
            transport.write(data)

    def _raised(self, data: bytes) -> Exception:
        try:
            return raised(wire.said(data))
        except ValueError as error:
            self._process.refuse(str(error))
            return LinkError("its process says what cannot be understood")

    # What comes.

    def answered(self, kind: int, number: int, frame: bytes) -> None:
        """A frame that is no news: the answer to a call, a part of a stream, or its end."""
        waiting = self._open.get(number)
        if isinstance(waiting, Inflow):
            self._flowed(waiting, kind, number, frame)
        elif waiting is not None and not waiting.done():
            waiting.set_result(frame)

    def _flowed(self, inflow: Inflow, kind: int, number: int, frame: bytes) -> None:
        if kind in (FrameKind.BLOCK, FrameKind.PART):
            if not inflow.came(frame):
                self._process.refuse("more than it was asked for")
            return
        del self._open[number]
        inflow.fail(self._raised(frame) if kind == FrameKind.FAILED else StopAsyncIteration())

    def fail(self, error: Exception) -> None:
        """The process has ended: nothing more will come."""
        for waiting in [*self._open.values()]:
            if isinstance(waiting, Inflow):
                waiting.fail(error)
            elif not waiting.done():
                waiting.set_exception(error)
        self._open.clear()


def _pickled(method: str, args: tuple[Any, ...]) -> bytes:
    import pickle

    return pickle.dumps((method, args), 5)
