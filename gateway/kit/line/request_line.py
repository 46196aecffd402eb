"""A line to devices that answer requests: bytes, timers, who waits. What they mean is decided in `exchange_state.py`."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, cast

from gateway.config.tls import Tls
from gateway.kit.dialling import dial
from gateway.kit.line.answers import Answer, JointAnswer
from gateway.kit.line.exchange import AskingPace, Exchange
from gateway.kit.line.exchange_state import ExchangeState, LineManners, SilentError
from gateway.kit.line.framing import DamagedError, LineFraming, R
from gateway.kit.line.timeouts import timeouts_of
from gateway.kit.receiver import Receiver
from gateway.plugin import LinkError

MAX_DAMAGED = 8
"""Damaged frames one after the other, without a sound one, that end the connection."""

_IDLE = 0.5
"""Seconds without a request after which a device may be closing the connection just when one comes."""

_EARLY = 0.002
"""Seconds by which a timer may fire before its time."""


class ByteTransport(Protocol):
    """What a line needs of a socket or a serial port."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class RequestLine(Receiver, Generic[R]):
    """Sends requests, at most `max_in_flight` at once, and hands out their answers. One object is one connection."""

    def __init__(self, peer: str, framing: LineFraming[R], manners: LineManners) -> None:
        super().__init__(framing)
        self._peer = peer
        self._framing = framing
        self._state = ExchangeState(framing, manners)
        self._open = self._state.open
        self._turns = self._state.turns
        self._patience = self._state.patience
        self.manners = manners
        self._gap = manners.gap
        self._datagrams = manners.datagrams
        self._damaged = 0
        self._heard = False
        self._last = 0.0
        """When a frame came last."""
        self._rested = 0.0
        """For how long nothing was asked before the first request that nothing was heard on."""
        self.local_host = self.peer_host = ""
        """The addresses of both ends of a line by UDP."""
        self.closed_idle = False
        """Whether the far side, which had answered before, closed the connection since nothing was asked. That is no loss."""
        self._error = ""
        self._resume: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts_of(self._loop)
        self._lost = self._loop.create_future()

    @property
    def counts(self) -> Mapping[str, int]:
        """What went wrong and was made good: retries, damaged, late and stray answers."""
        return self._state.counts

    def stands_between(self, local_host: str, peer_host: str) -> None:
        """The addresses of both ends, which UDP alone has to be told."""
        self.local_host, self.peer_host = local_host, peer_host

    def brief(self, pace: AskingPace) -> AskingPace:
        """How to ask for what did not answer last time."""
        return self._patience.brief(pace)

    @property
    def ids_proven(self) -> bool:
        """Whether the far side gives transaction ids back."""
        return self._state.ids_proven

    @property
    def last_id(self) -> int | None:
        """The transaction id that was given last, for the next connection to go on from."""
        return self._state.last_id

    def recall_ids(self, last: int | None, proven: bool) -> None:
        """Go on from the connection before: the id that it gave last, if known, and whether the far side gave any back."""
        self._state.recall_ids(last, proven)

    @property
    def misfit(self) -> bytes:
        """The last frame of another length than was asked for."""
        return self._state.misfit

    @property
    def odd(self) -> str:
        """What was odd about the last frame, when it answered something else; else empty."""
        return self._state.odd

    @property
    def gives_no_ids(self) -> bool:
        """Whether answers are told apart by their turn alone."""
        return self._state.gives_no_ids

    async def exchange(
        self, requests: Sequence[R], pace: AskingPace, until: float | None = None, *, urgent: bool = False
    ) -> list[Answer]:
        """The answers to these requests to one unit, in their order; by the loop's time `until` at the latest. Exchanges
        take turns by request; `urgent` ones go before all others.

        Raises LinkError when the connection is lost or not to be trusted. When cancelled, the answers that still come are
        thrown away.
        """
        return cast(list[Answer], await self.joint_exchange(requests, pace, until, urgent=urgent))

    async def joint_exchange(
        self, requests: Sequence[R], pace: AskingPace, until: float | None = None, *, urgent: bool = False
    ) -> list[JointAnswer]:
        """The same for requests of which some are joined of several."""
        if self._error:
            raise LinkError(self._error)
        if not requests:
            return []
        now = self._loop.time()
        if self._heard and not self._open and not self._turns:
            self._rested = now - self._last
        exchange: Exchange[R] = Exchange(requests, pace, until or now + pace.whole, self._loop.create_future())
        self._turns.add(exchange, urgent)
        self._send(now)
        self._timeouts.add(self, min(now + self._patience.of(exchange.unit, pace), exchange.until))
        try:
            return await exchange.done
        except asyncio.CancelledError:
            self._give_up(exchange)
            raise

    def lower_in_flight(self, most: int) -> None:
        """The far side bears no more requests at once."""
        self._state.lower_in_flight(most)

    def rest(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._state.rest_until(self._loop.time() + seconds)

    async def close(self) -> None:
        """Close at once, and wait until the socket is gone, since many devices allow few connections."""
        self._fail("the connection was closed")
        await asyncio.shield(self._lost)

    def expire(self, now: float) -> float | None:
        """Give up what is over its time. Returns when the next will be, None when nothing is under way."""
        if not self._open and not self._turns:
            return None
        try:
            self._state.expire(now)
        except LinkError as error:
            self._drop(error)
        self._send(now)
        return self._state.next_due()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(ByteTransport, transport)
        self.flow = None if self._datagrams else self._transport

    def data_received(self, data: bytes) -> None:
        self._patience.heard()
        self._heard = True
        self._rested = 0.0
        if self._quiet is not None:
            self._wait_for_quiet()
            return
        super().data_received(data)
        if self._turns and not self.waiting:
            self._send(self._loop.time())

    def frames_received(self) -> None:
        if self._turns and not self._error:
            self._send(self._loop.time())

    def frame_received(self, frame: bytes) -> None:
        if self._quiet is not None:  # a frame before it was damaged
            return
        self._last = now = self._loop.time()
        try:
            self._state.take(self._framing.opened(frame), now)
            self._damaged = 0
        except DamagedError:
            self._spoilt()
        except LinkError as error:
            self._drop(error)
        else:
            if self._state.held is not None:
                self._timeouts.add(self, self._state.next_due() or 0.0)

    def nonsense_received(self, reason: str) -> None:
        if self._framing.ids or not self._framing.recovers:
            self._drop(LinkError(reason))
        else:
            self._spoilt()

    def end(self, error: Exception) -> None:
        """The far side refuses what is sent."""
        self._fail(f"{self._peer}: {_loss(error)}")

    def connection_lost(self, error: Exception | None) -> None:
        idle = not self._open and not self._turns
        self.closed_idle = self._heard and not self._error and (idle or self._rested > _IDLE)
        never = f" before any answer; is this its {self.manners.protocol} port, and has it a connection left?"
        self._fail(f"{self._peer}: {_loss(error)}{'' if self._heard else never}")
        self._timeouts.remove(self)
        for timer in (self._resume, self._quiet):
            if timer is not None:
                timer.cancel()
        self._lost.set_result(None)

    # Sending

    def _send(self, now: float) -> None:
        if self._quiet is not None or self._error:
            return
        try:
            frames = self._state.next_frames(now)
        except LinkError as error:
            self._drop(error)
            return
        if frames:
            self._write(frames)
        if now < self._state.not_before and self._turns and self._resume is None:
            self._resume = self._loop.call_at(self._state.not_before, self._resumed)

    def _resumed(self) -> None:
        self._resume = None
        now = self._loop.time()
        due = self._state.not_before
        self._send(due if now < due < now + _EARLY else now)

    def _write(self, frames: Sequence[bytes]) -> None:
        if not self._framing.ids and self.unfinished:  # bytes that are no part of an answer
            self._state.counts["stray"] += 1
            self.forget()
        if len(frames) == 1:
            self._transport.write(frames[0])
        elif self._datagrams:
            for frame in frames:
                self._transport.write(frame)
        else:
            self._transport.write(b"".join(frames))

    # What goes wrong

    def _spoilt(self) -> None:
        """A frame is damaged: wait until the line is quiet, then go on."""
        self.forget()
        self._state.counts["damaged"] += 1
        self._damaged += 1
        if self._damaged > MAX_DAMAGED:
            self._fail(
                f"{self._peer}: {MAX_DAMAGED} damaged answers in a row{self.manners.if_damaged}; connection dropped"
            )
        else:
            self._wait_for_quiet()

    def _wait_for_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = self._loop.call_later(max(0.02, 2 * self._gap), self._quieted)

    def _quieted(self) -> None:
        self._quiet = None
        try:
            self._state.spoilt()
        except LinkError as error:
            self._drop(error)
        self._send(self._loop.time())

    def _give_up(self, exchange: Exchange[R]) -> None:
        try:
            self._state.give_up(exchange, self._loop.time())
        except LinkError as error:
            self._drop(error)
        if not self._error:
            self._send(self._loop.time())

    def _drop(self, error: LinkError) -> None:
        silent = isinstance(error, SilentError)
        self._fail(f"{self._peer}: {error}; {self.manners.if_silent if silent else 'connection dropped'}")

    def _fail(self, reason: str) -> None:
        if self._error:
            return
        self._error = reason
        self.stop()
        self._transport.abort()
        self._state.end(reason)


def _loss(error: Exception | None) -> str:
    if error is None:
        return "the device closed the connection"
    number = error.errno if isinstance(error, OSError) else None
    return f"connection lost ({os.strerror(number) if number else error})"


async def open_line(
    line: RequestLine[Any],
    host: str,
    port: int,
    *,
    tls: Tls | bool = False,
    look_at: str = "",
    local_port: int | None = None,
) -> None:
    """Dial by TCP, or by UDP where the line's manners say `datagrams`; then `local_port` is where answers come to, where the
    far side wants a certain one. Raises LinkError; see `gateway.kit.dial`."""
    if not line.manners.datagrams:
        await dial(lambda: line, host, port, tls=tls, look_at=look_at)
        return
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _LineDatagrams(line),
            remote_addr=(host, port),
            local_addr=None if local_port is None else ("0.0.0.0", local_port),
        )
    except (OSError, UnicodeError) as error:
        raise LinkError(f"cannot reach {host}:{port}: {error}") from error
    line.stands_between(*(transport.get_extra_info(name)[0] for name in ("sockname", "peername")))
    line.connection_made(_DatagramSocket(transport))  # type: ignore[arg-type]  # what a line uses of one


class _LineDatagrams(asyncio.DatagramProtocol):
    """Hands datagrams to a line: each is a frame, and nothing of it is kept for the next."""

    def __init__(self, line: RequestLine[Any]) -> None:
        self._line = line

    def datagram_received(self, data: bytes, _from: Any) -> None:
        self._line.data_received(data)
        self._line.forget()

    def error_received(self, error: OSError | Exception) -> None:
        self._line.end(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._line.connection_lost(error)


class _DatagramSocket:
    """A socket for datagrams, written to as a stream is."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self.write = transport.sendto
        self.abort = transport.abort
