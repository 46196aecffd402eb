"""What is received of a server, within bounds of our own (OPC 10000-6 §6.7.2, §7.1).

The library's protocol object believes every header, joins what has come anew with each packet, and has no limits but those
that the server names. Here nothing is kept that is not within the bounds, which are tighter until the session is trusted;
the work of one turn of the loop is bounded, and a server that sends faster than that waits.
"""

import asyncio
import struct
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.client.ua_client import UASocketProtocol
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import header_from_binary, uatcp_to_binary
from asyncua.ua.uaerrors import BadRequestTooLarge

from gateway.plugin import cleaned

from ..values.bounds import PARTS, Measured, NotUnderstoodError, decoded
from .errors import EndedError


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that is taken: bytes of a chunk and of a message, chunks of a message, and parts that are decoded of it."""

    chunk: int
    message: int
    chunks: int
    parts: int


STRANGER = Bounds(64 * 1024, 1024 * 1024, 256, 20_000)
TRUSTED = Bounds(1024 * 1024, 16 * 1024 * 1024, 4096, PARTS)
CHUNK = 64 * 1024
"""Bytes of a chunk that the server is asked to keep to."""
SHORT = 8 * 1024
"""Bytes of an acknowledgement or an error, at most."""
LEAST_BUFFER = 1024
"""Bytes of a chunk that every server takes; less makes no sense."""
WORK = 256 * 1024
"""Bytes that are worked on in one turn of the loop; a chunk counts as PER_CHUNK more."""
PER_CHUNK = 2048
SURPLUS = 1000
"""Answers that nobody asked for, beyond one for each request, before the connection is given up."""

_HEAD = struct.Struct("<3scI")
_FAULT = ua.ObjectIds.ServiceFault_Encoding_DefaultBinary.to_bytes(2, "little")
_LARGEST = {b"ACK": SHORT, b"ERR": SHORT, b"OPN": CHUNK, b"MSG": TRUSTED.chunk, b"CLO": SHORT}


class BeyondBoundsError(ConnectionAbortedError):
    """The server sends what no server has to send; says what."""


@dataclass(frozen=True, slots=True)
class _Aborted:
    """The server has given up a message that it had begun."""

    request: int
    code: int


class _Limits(TransportLimits):  # type: ignore[misc]
    """What the server says that it takes. What we take it does not decide."""

    bounds = STRANGER
    request = 0
    """Bytes of a request, at most; 0 where the server names no limit."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        """Keep what the server's acknowledgement grants; sizes that make no sense are taken for the least."""
        told = [size for size in (msg.ReceiveBufferSize, msg.SendBufferSize) if size > 0]
        self.max_send_buffer = min(CHUNK, max(LEAST_BUFFER, min(told, default=LEAST_BUFFER)))
        limits = [msg.MaxMessageSize, msg.MaxChunkCount * (self.max_send_buffer - 512)]
        self.request = min((limit for limit in limits if limit > 0), default=0)

    def is_msg_size_within_limit(self, sz: int) -> bool:
        """True, or raises BeyondBoundsError."""
        if sz > self.bounds.message:
            raise BeyondBoundsError(f"the server sends a message of more than {self.bounds.message} bytes")
        return True

    def is_chunk_count_within_limit(self, sz: int) -> bool:
        """True, or raises BeyondBoundsError."""
        if sz > self.bounds.chunks:
            raise BeyondBoundsError(f"the server sends a message of more than {self.bounds.chunks} chunks")
        return True


class _Channel(SecureConnection):  # type: ignore[misc]
    def _receive(self, msg: MessageChunk) -> Any:
        if msg.MessageHeader.ChunkType != ua.ChunkType.Abort:
            return super()._receive(msg)
        self._check_incoming_chunk(msg)
        self._drop_incoming_parts()
        code = decoded(ua.ErrorMessage, Measured(msg.Body)).Error
        return _Aborted(msg.SequenceHeader.RequestId, int(code.value) if code is not None else 0)

    def message_to_binary(
        self, message: bytes, message_type: ua.MessageType = ua.MessageType.SecureMessage, request_id: int = 0
    ) -> bytes:
        """The chunks of a request. Raises BadRequestTooLarge for one that is larger than the server takes."""
        if 0 < self._limits.request < len(message):
            raise BadRequestTooLarge
        chunks: bytes = super().message_to_binary(message, message_type, request_id)
        return chunks


class BoundedProtocol(UASocketProtocol):  # type: ignore[misc]
    """The library's protocol object, with its own way of receiving and of waiting."""

    def __init__(self, timeout: float, security_policy: Any) -> None:
        super().__init__(timeout, security_policy)
        self._open_secure_channel_exchange: Any = None
        self.limits = _Limits(CHUNK, CHUNK, 0, 0)
        self._connection = _Channel(security_policy, self.limits)
        self._received = bytearray()
        self._behind = False
        """Whether there is more to work on in the next turn of the loop."""
        self.reason: Exception | None = None
        """Why the connection was given up; None while it was not."""
        self.surplus = 0
        """Answers that nobody has asked for, or that came twice."""

    def trust(self) -> None:
        """The session is open: the server may send what a server has to send."""
        self.limits.bounds = TRUSTED

    # --- receiving ---

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self.reason is None:
            self._received += data
            if not self._behind:
                self._work()

    def _work(self) -> None:
        """Take chunks, as many as one turn of the loop allows; reading pauses while there are more."""
        was_behind, self._behind = self._behind, False
        done = 0
        try:
            while done < WORK and self.reason is None and (chunk := self._next_chunk()):
                done += len(chunk) + PER_CHUNK
                self._take(chunk)
        except Exception as error:  # noqa: BLE001 - whatever the library raises for what no server sends
            self._give_up(error)
        if self.transport is None or self.reason is not None or self.transport.is_closing():
            return
        self._behind = done >= WORK
        if self._behind:
            asyncio.get_running_loop().call_soon(self._work)
            if not was_behind:
                self.transport.pause_reading()
        elif was_behind:
            self.transport.resume_reading()

    def _next_chunk(self) -> bytes:
        """The next whole chunk; empty while it has not come. Raises BeyondBoundsError as soon as its header is seen."""
        received = self._received
        if len(received) < _HEAD.size:
            return b""
        kind, _, size = _HEAD.unpack_from(received)
        if kind not in _LARGEST:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadTcpMessageTypeInvalid)
        most = min(_LARGEST[kind], self.limits.bounds.chunk)
        if not _HEAD.size < size <= most:
            raise BeyondBoundsError(f"the server begins a chunk of {size} bytes; up to {most} are taken")
        if len(received) < size:
            return b""
        if len(received) == size:
            chunk = bytes(received)
            received.clear()
            return chunk
        chunk = bytes(received[:size])
        del received[:size]
        return chunk

    def _take(self, chunk: bytes) -> None:
        data = Measured(chunk)
        header = header_from_binary(data)
        message = self._connection.receive_from_header_and_body(header, data)
        match message:
            case None:
                return
            case _Aborted():
                self._answer(message.request, ua.UaStatusCodeError(message.code))
            case ua.Message():
                whole = b"".join([*(part.Body for part in message._chunks), b"\0"])  # see bounds.Measured.data
                body = Measured(whole, 0, len(whole) - 1, [self.limits.bounds.parts])
                self._answer(message.request_id(), body)
                if header.MessageType == ua.MessageType.SecureOpen:
                    self._opened(body)
            case ua.Acknowledge():
                self._answer(0, message)
            case ua.ErrorMessage():
                code = int(message.Error.value) if message.Error is not None else 0
                raise ua.UaStatusCodeError(code or int(ua.StatusCodes.BadConnectionClosed))
            case _:
                raise BeyondBoundsError("the server sends what only a client sends")

    def _answer(self, request: int, answer: Any) -> None:
        future = self._callbackmap.pop(request, None)
        if future is None:
            if not 0 < request <= self._request_id:
                raise BeyondBoundsError("the server answers a request that was never made")
            self.surplus += 1
            if self.surplus > SURPLUS + self._request_id:
                raise BeyondBoundsError(f"the server has sent {self.surplus} answers that nobody has asked for")
        elif not future.done():
            set_it = future.set_exception if isinstance(answer, Exception) else future.set_result
            set_it(answer)

    def _opened(self, body: Measured) -> None:
        asked = self._open_secure_channel_exchange
        if not isinstance(asked, ua.OpenSecureChannelParameters):
            raise BeyondBoundsError("the server opens a channel that nobody has asked for")
        response = decoded(ua.OpenSecureChannelResponse, body)
        response.ResponseHeader.ServiceResult.check()
        self._open_secure_channel_exchange = response
        self._connection.set_channel(response.Parameters, asked.RequestType, asked.ClientNonce)

    def _give_up(self, error: Exception) -> None:
        if isinstance(error, ua.UaStatusCodeError):
            error = EndedError(int(error.code))
        elif not isinstance(error, BeyondBoundsError):
            error = BeyondBoundsError(f"the server's answer makes no sense ({type(error).__name__}: {cleaned(error)})")
        self.reason = error.with_traceback(None)  # its frames hold this object, which holds the reason
        self._forget()
        self._fail_all_pending(error)
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        """What has come of an answer, and will not be completed."""
        self._received.clear()
        self._connection._drop_incoming_parts()

    def disconnect_socket(self) -> None:
        """Close the connection, at once where the server takes nothing more."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().disconnect_socket()

    # --- waiting: the library's own time-outs lose cancellations, or make others of them ---

    async def send_hello(self, url: str, max_messagesize: int = 0, max_chunkcount: int = 0) -> ua.Acknowledge:
        """Say what we take, whatever the arguments say. Returns what the server takes."""
        hello = ua.Hello(0, CHUNK, CHUNK, TRUSTED.message, TRUSTED.chunks, url)
        answer = self._callbackmap[0] = asyncio.get_running_loop().create_future()
        if self.transport is None:
            raise ConnectionError("the connection is closed")
        self.transport.write(uatcp_to_binary(ua.MessageType.Hello, hello))
        async with asyncio.timeout(self.timeout):
            return await answer

    async def open_secure_channel(self, params: ua.OpenSecureChannelParameters) -> Any:
        """Open the channel, or renew its token."""
        request = ua.OpenSecureChannelRequest()
        request.Parameters = params
        self._open_secure_channel_exchange = params
        future = self._send_request(request, message_type=ua.MessageType.SecureOpen)
        try:
            async with asyncio.timeout(self.timeout):
                await future
            response = self._open_secure_channel_exchange
            assert isinstance(response, ua.OpenSecureChannelResponse)
        finally:
            self._open_secure_channel_exchange = None
        return response.Parameters

    async def send_request(
        self, request: Any, timeout: float | None = None, message_type: ua.MessageType = ua.MessageType.SecureMessage
    ) -> Buffer:
        """The undecoded answer to a request; a `timeout` of 0 waits for ever. Raises the library's errors, TimeoutError, and
        ConnectionError."""
        timeout = self.timeout if timeout is None else timeout
        return await self.answer_to(self._send_request(request, timeout, message_type), timeout)

    async def answer_to(self, sent: asyncio.Future[Any], timeout: float) -> Buffer:
        """The undecoded answer to a request that was sent."""
        if timeout:
            async with asyncio.timeout(timeout):
                data: Buffer = await sent
        else:
            data = await sent
        if isinstance(data, Measured) and _is_no_fault(data.ahead(4)):
            return data
        try:
            self.check_answer(data, "")
        except ua.UaStatusCodeError:
            raise
        except Exception as error:  # whatever the library raises for a header that is cut off
            raise NotUnderstoodError(cleaned(f"{type(error).__name__}: {error}", 300)) from error
        return data


def _is_no_fault(kind: bytes) -> bool:
    """Whether an answer begins with the short form of another kind than that of a fault; the library looks more slowly."""
    return kind[:2] == b"\1\0" and len(kind) == 4 and kind[2:] != _FAULT
