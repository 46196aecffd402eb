"""MQTT within a WebSocket (RFC 6455; MQTT 5 section 6): looks to paho like the socket below."""

import base64
import hashlib
import os
import socket
import time
from typing import Any

from gateway.core.text import cleaned

LONGEST_HEAD = 16 * 1024
"""Bytes of the server's answer to our request."""
LONGEST_CONTROL = 125
_FRAME = 128 * 1024
"""Bytes of MQTT in one frame of ours."""
_READ = 64 * 1024
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG = 0, 2, 8, 9, 10
_FINAL, _MASKED = 0x80, 0x80


class WebSocketError(OSError):
    """What came is no WebSocket, or the server ends it; in words."""


class WebSocket:
    """Bytes out and in, over a connected socket, which may be a TLS one. What is sent goes in binary frames; of those that
    come, data is handed on as it arrives, and a ping is answered."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw = bytearray()
        self._data = bytearray()
        self._left = 0
        """Bytes that are still to come of the frame whose data is being handed on."""
        self._out = b""
        """What the socket has not taken yet of a frame; `_taken` bytes of MQTT are in it."""
        self._taken = 0
        self._pong = b""
        self._end: OSError | None = None

    def ask(self, host: str, path: str, timeout: float) -> None:
        """Have the server agree. Blocks; raises WebSocketError when it does not, TimeoutError when it takes too long."""
        until = time.monotonic() + timeout
        key = base64.b64encode(os.urandom(16))
        self._sock.settimeout(timeout)
        self._sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
        )
        head = bytearray()
        while b"\r\n\r\n" not in head:
            self._sock.settimeout(max(0.001, until - time.monotonic()))
            more = self._sock.recv(_READ)
            head += more
            if not more or len(head) > LONGEST_HEAD or not head.startswith(b"HTTP/"[: len(head)]):
                raise WebSocketError("the port does not speak WebSocket: correct port, or leave websocket out")
        answer, _, rest = bytes(head).partition(b"\r\n\r\n")
        self._agree(answer, path, base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest()))
        self._raw += rest

    def _agree(self, answer: bytes, path: str, accepted: bytes) -> None:
        first, *lines = answer.split(b"\r\n")
        status = cleaned(first.partition(b" ")[2].decode("latin-1"), 100)
        if not status.startswith("101"):
            raise WebSocketError(f'no WebSocket at "{path}" ("{status}"): correct websocket = "/…", or allow it there')
        said = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if said.get(b"sec-websocket-accept") != accepted:
            raise WebSocketError("the port does not speak WebSocket: it did not look at our key")
        if said.get(b"sec-websocket-protocol", b"mqtt").lower() != b"mqtt":
            raise WebSocketError(f'what speaks WebSocket at "{path}" does not speak MQTT: correct websocket = "/…"')

    def recv(self, size: int) -> bytes:
        """As of a socket: BlockingIOError when nothing is there, b"" at the end. Raises WebSocketError."""
        self._parse()
        while not self._data:
            if self._end is not None:
                raise self._end
            if not (more := self._sock.recv(_READ)):
                return b""
            self._raw += more
            self._parse()
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    def _parse(self) -> None:
        while self._end is None:
            part = self._raw[: self._left]
            self._data += part
            del self._raw[: self._left]
            self._left -= len(part)
            if self._left or (head := self._head()) is None:
                return
            kind, length, start = head
            if kind in (_CONTINUATION, _BINARY):
                del self._raw[:start]
                self._left = length
            elif len(self._raw) < start + length:
                return
            else:
                payload = bytes(self._raw[start : start + length])
                del self._raw[: start + length]
                self._control(kind, payload)

    def _head(self) -> tuple[int, int, int] | None:
        """Kind and length of the next frame, and where its payload begins; None while that has not come."""
        raw = self._raw
        if len(raw) < 2:
            return None
        kind, length, start = raw[0] & 0x0F, raw[1] & 0x7F, 2
        if raw[0] & 0x70 or raw[1] & _MASKED or kind not in (_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG):
            self._odd("a frame that no server of MQTT sends")
            return None
        if kind >= _CLOSE and (length > LONGEST_CONTROL or not raw[0] & _FINAL):
            self._odd("too long a control frame")
            return None
        if length > LONGEST_CONTROL:
            size = 2 if length == 126 else 8
            if len(raw) < 2 + size:
                return None
            length, start = int.from_bytes(raw[2 : 2 + size], "big"), 2 + size
        return kind, length, start

    def _odd(self, what: str) -> None:
        self._end = WebSocketError(f"it sent something that is no WebSocket: {what}")

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == _CLOSE:
            code = int.from_bytes(payload[:2], "big")
            words = cleaned(payload[2:].decode("utf-8", "replace"), 120)
            said = f"code {code}{', ' if words else ''}{words}" if code else "without a reason"
            self._end = WebSocketError(f"it closed the WebSocket ({said})")
        elif kind == _PING:  # of several the last one's answer is enough (section 5.5.3)
            self._pong = _framed(_PONG, payload)
            if not self._out:
                self._send_pong()

    def _send_pong(self) -> None:
        try:
            self._pong = self._pong[self._sock.send(self._pong) :]
        except OSError:  # it waits for the next frame of ours; what is broken, that one finds
            return

    def send(self, data: bytes) -> int:
        """As of a socket. While a frame is on its way, the caller comes again with the same bytes."""
        if not self._out:
            chunk = bytes(data[:_FRAME])
            self._out, self._pong = self._pong + _framed(_BINARY, chunk), b""
            self._taken = len(chunk)
        self._out = self._out[self._sock.send(self._out) :]
        if self._out:
            raise BlockingIOError
        return self._taken

    def close(self) -> None:
        """Close the socket below, without a good-bye; MQTT has its own."""
        self._sock.close()

    def fileno(self) -> int:
        """Of the socket below."""
        return int(self._sock.fileno())

    def setblocking(self, flag: bool) -> None:
        """The socket below."""
        self._sock.setblocking(flag)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Of the socket below."""
        self._sock.setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """Of the socket below."""
        return self._sock.getsockopt(level, option, size)

    def version(self) -> str | None:
        """Of TLS; None when not encrypted."""
        return None if type(self._sock) is socket.socket else self._sock.version()


def _framed(kind: int, payload: bytes) -> bytes:
    """A frame of a client: masked, so that nothing between takes its content for a request of its own (section 5.3)."""
    size = len(payload)
    head = bytes((_FINAL | kind, _MASKED | (size if size <= LONGEST_CONTROL else 126 if size < 1 << 16 else 127)))
    if size > LONGEST_CONTROL:
        head += size.to_bytes(2 if size < 1 << 16 else 8, "big")
    mask = os.urandom(4)
    whole = int.from_bytes((mask * (size // 4 + 1))[:size], "big") ^ int.from_bytes(payload, "big")
    return head + mask + whole.to_bytes(size, "big")
