"""MQTT in a WebSocket: with mosquitto's, whose frames libwebsockets makes, and against servers that send anything."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.errors import LinkError, RefusedError
from gateway.mqtt import TlsOptions
from gateway.mqtt.paho_client import BatchedClient, PlainClient
from gateway.mqtt.websocket import WebSocket, WebSocketError
from tests.mqtt.noted import connected, noted_session
from tests.peers.broker import Broker, Subscriber, wait_until
from tests.peers.certificates import Authority
from tests.peers.odd_servers import serving
from tests.peers.ports import free_port, listens

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("client_type", [BatchedClient, PlainClient])
@pytest.mark.parametrize("encrypted", [False, True], ids=["ws", "wss"])
async def test_messages_go_out_and_come_back_through_a_websocket(
    tmp_path: Path, client_type: type[PlainClient], encrypted: bool
) -> None:
    authority, port = Authority(tmp_path), free_port()
    own = authority.issue("127.0.0.1")
    files = [f"certfile {own.certificate}", f"keyfile {own.key}"] if encrypted else []
    with Broker(tmp_path, [f"listener {port} 127.0.0.1", "protocol websockets", *files]) as broker:
        wait_until(lambda: listens(port), "mosquitto listens for WebSockets")
        tls = TlsOptions(ca=authority.certificate) if encrypted else None
        with Subscriber(broker) as subscriber:
            async with connected(port, websocket="/mqtt", tls=tls, client_type=client_type) as noted:
                assert noted.session.promise["encryption"].startswith("TLSv1." if encrypted else "none")
                noted.session.publish_many([("a", b"%d " % n + b"x" * 40_000, False, n) for n in range(200)])
                await noted.until(lambda: len(noted.acknowledged) == 200)
                await noted.session.subscribe("back/#")
                noted.session.publish_many([("back/big", b"y" * 200_000, False, "big")])
                await noted.until(lambda: bool(noted.messages))
                assert noted.messages[0][1] == b"y" * 200_000
            assert [int(each.payload.split()[0]) for each in subscriber.wait_for(201)[:200]] == list(range(200))


@asynccontextmanager
async def odd_server(*answers: bytes, agree: bool = False, hold: bool = False) -> AsyncIterator[int]:
    """Answers a request with these pieces; `agree`: behind a right agreement."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
        if agree:
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            writer.write(
                b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
        for each in answers:
            writer.write(each)
            await writer.drain()
        if hold:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    async with serving(serve) as port:
        yield port


async def refusal(port: int, timeout: float = 30.0) -> LinkError:
    with pytest.raises(LinkError) as caught:
        await noted_session(port, websocket="/mqtt", timeout=timeout).session.connect()
    return caught.value


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", 'no WebSocket at "/mqtt" ("404 Not Found"): correct websocket'),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", '("403 Forbidden")'),
        (b"HTTP/1.1 200 \x1b[31mOK\r\n\r\n", '("200 '),
        (b"\x20\x02\x00\x00", "the port does not speak WebSocket: correct port, or leave websocket out"),
        (b"HTTP/1.1 101 Yes\r\n\r\n", "did not look at our key"),
        (b"HTTP/1.1 " + b"a" * 100_000, "the port does not speak WebSocket"),
        (b"HTTP/1.1 101 Half", "the port does not speak WebSocket"),
        (b"", "the port does not speak WebSocket"),
    ],
)
async def test_what_agrees_to_no_websocket_is_told(answer: bytes, words: str) -> None:
    async with odd_server(answer) as port:
        error = await refusal(port)
    assert isinstance(error, RefusedError)
    assert words in str(error)
    assert "\x1b" not in str(error)


@pytest.mark.parametrize("more", [b"", b"Sec-WebSocket-Protocol: chat\r\n"])
async def test_an_answer_that_never_ends_is_left_in_time(more: bytes) -> None:
    async with odd_server(b"HTTP/1.1 101 Switching\r\n" + more, hold=True) as port:
        assert "has not answered within 0.3 s" in str(await refusal(port, timeout=0.3))


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (b"\x81\x03abc", "no WebSocket: a frame that no server of MQTT sends"),
        (b"\x82\x83abcdabc", "no WebSocket: a frame that no server of MQTT sends"),
        (b"\xc2\x03abc", "no WebSocket: a frame that no server of MQTT sends"),
        (b"\x89\x7e\x01\x00" + bytes(256), "no WebSocket: too long a control frame"),
        (b"\x09\x00", "no WebSocket: too long a control frame"),
        (b"\x88\x08\x03\xf0go now", "it closed the WebSocket (code 1008, go now)"),
        (b"\x88\x00", "it closed the WebSocket (without a reason)"),
        (b"\x82\x7f" + b"\x7f" + b"\xff" * 7 + b"HTTP", "does not speak MQTT (its first byte is 0x48)"),
        (b"\x82\x04HTTP", "does not speak MQTT (its first byte is 0x48)"),
        (b"\x82", "closed the connection without an answer"),
    ],
)
async def test_frames_that_are_none_end_the_connection_with_the_reason(frames: bytes, words: str) -> None:
    async with odd_server(frames, agree=True) as port:
        assert words in str(await refusal(port))


class Piecemeal:
    """A socket that brings and takes a few bytes at a time, and then says that it would block."""

    def __init__(self, incoming: bytes, at_once: int) -> None:
        self.incoming, self.at_once, self.sent = bytearray(incoming), at_once, bytearray()
        self.blocks = False

    def recv(self, size: int) -> bytes:
        self.blocks = not self.blocks
        if self.blocks or not self.incoming:
            raise BlockingIOError
        data = bytes(self.incoming[: self.at_once])
        del self.incoming[: self.at_once]
        return data

    def send(self, data: bytes) -> int:
        self.blocks = not self.blocks
        if self.blocks:
            raise BlockingIOError
        self.sent += data[: self.at_once]
        return min(self.at_once, len(data))


def unmasked(raw: bytes) -> list[tuple[int, bytes]]:
    """The frames of a client, read by another code than what made them."""
    found, at = [], 0
    while at < len(raw):
        kind, size = raw[at] & 15, raw[at + 1] & 127
        assert raw[at] & 0x80
        assert raw[at + 1] & 0x80
        at += 2
        if size > 125:
            more = 2 if size == 126 else 8
            size, at = int.from_bytes(raw[at : at + more], "big"), at + more
        mask, payload = raw[at : at + 4], raw[at + 4 : at + 4 + size]
        assert len(payload) == size
        found.append((kind, bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))))
        at += 4 + size
    return found


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 1000])
def test_frames_come_whole_however_they_are_cut(at_once: int) -> None:
    first, second, third = os.urandom(100), os.urandom(3000), os.urandom(70_000 if at_once > 7 else 200)
    sizes = [bytes([100]), b"\x7e" + (3000).to_bytes(2, "big"), b"\x7f" + len(third).to_bytes(8, "big")]
    incoming = (
        b"\x02" + sizes[0] + first + b"\x89\x02hi" + b"\x80" + sizes[1] + second + b"\x8a\x00\x82" + sizes[2] + third
    )
    sock = Piecemeal(incoming, at_once)
    carrier, got = WebSocket(sock), b""
    while len(got) < len(first + second + third):
        try:
            got += carrier.recv(50)
        except BlockingIOError:
            continue
    assert got == first + second + third
    message, left = os.urandom(5000), 5000
    while left:
        try:
            left -= carrier.send(memoryview(message)[5000 - left :])  # type: ignore[arg-type]
        except BlockingIOError:
            continue
    frames = unmasked(bytes(sock.sent))
    assert b"".join(payload for kind, payload in frames if kind == 2) == message
    assert [payload for kind, payload in frames if kind == 10] == [b"hi"]


def test_wild_bytes_are_an_error_in_words_or_data_and_nothing_else() -> None:
    for seed in range(300):
        sock = Piecemeal(hashlib.sha512(b"%d" % seed).digest() * 3, 1000)
        carrier = WebSocket(sock)
        for _ in range(5):
            try:
                carrier.recv(1000)
            except BlockingIOError:
                continue
            except WebSocketError as error:
                assert str(error)
                break
