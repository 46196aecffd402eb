"""What a peer sends is held within bounds, costs nobody else's turn, and is given as it was framed."""

import asyncio
import contextlib
import struct
import threading
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import LinkError, RefusedError
from gateway.kit import (
    CHUNK,
    Ended,
    Frames,
    Framing,
    Receiver,
    Sized,
    Stream,
    dial,
    dialling,
    open_datagrams,
    open_stream,
)
from gateway.kit.receiver import FRAMES_A_TURN
from gateway.testing import eventually
from tests.peers.ports import free_port

COUNTED = Sized(2, lambda head: 2 + struct.unpack(">H", head)[0], longest=1000)
LINES = Ended(b"\r\n", longest=1000)
CHECKED = Ended(b"\x03", more=1, longest=1000)
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def counted(body: bytes) -> bytes:
    return struct.pack(">H", len(body)) + body


@pytest.mark.parametrize(
    ("framing", "frame"),
    [
        (COUNTED, counted),
        (LINES, lambda body: body.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"),
        (CHECKED, lambda body: b"\x02" + body.replace(b"\x03", b"") + b"\x03!"),
    ],
    ids=["sized", "lines", "checked"],
)
@given(bodies=st.lists(st.binary(max_size=40), max_size=6), data=st.data())
def test_frames_come_out_whole_however_they_are_cut(
    framing: Framing, frame: Callable[[bytes], bytes], bodies: list[bytes], data: st.DataObject
) -> None:
    sent = [frame(body) for body in bodies]
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    frames, found = Frames(framing), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        frames.add(stream[begin:end])
        while (whole := frames.next()) is not None:
            found.append(whole)
    assert found == sent
    assert len(frames) == 0


@pytest.mark.parametrize(
    ("framing", "data", "said"),
    [
        (COUNTED, b"\xff\xff", "a frame of 65537 bytes, more than 1000"),
        (Sized(2, lambda head: 0), b"\0\0", "claims that its frame has 0 bytes"),
        (Sized(2, lambda head: {}[head]), b"\0\0", "KeyError"),
        (LINES, b"x" * 1001, "1000 bytes and no end of a frame"),
        (LINES, b"x" * 1000 + b"\r\n", "a frame of 1002 bytes"),
    ],
    ids=["claimed", "nothing", "broken", "endless", "long"],
)
def test_what_is_too_long_or_can_be_no_frame_is_refused_with_the_reason(
    framing: Framing, data: bytes, said: str
) -> None:
    frames = Frames(framing)
    frames.add(data)
    with pytest.raises(ValueError, match=said):
        frames.next()


def test_no_byte_of_a_line_that_comes_in_drops_is_searched_again_and_again() -> None:
    class Watching:
        longest = 10_000
        looked = 0

        def size(self, data: bytes | bytearray, searched: int) -> int:
            self.looked += len(data) - searched
            return Ended(b"\n").size(data, searched)

    framing = Watching()
    frames = Frames(framing)
    for _ in range(9_000):
        frames.add(b"x")
        assert frames.next() is None
    frames.add(b"\n")
    assert frames.next() == b"x" * 9_000 + b"\n"
    assert framing.looked == 9_001


class Counting(Receiver):
    """Counts frames, and whether its transport may read."""

    def __init__(self, framing: Framing) -> None:
        super().__init__(framing)
        self.frames = 0
        self.reading = True
        self.reason = ""
        self.flow = self

    def frame_received(self, frame: bytes) -> None:
        self.frames += 1

    def nonsense_received(self, reason: str) -> None:
        self.reason = reason
        self.stop()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def test_a_flood_of_frames_leaves_others_their_turn_and_is_not_read_on_meanwhile() -> None:
    receiver = Counting(COUNTED)
    receiver.data_received(counted(b"x") * 1000)
    for turn in range(1, 10):
        assert receiver.frames <= turn * FRAMES_A_TURN
        assert not receiver.reading
        await asyncio.sleep(0)
    await eventually(lambda: receiver.frames == 1000)
    assert receiver.reading


async def test_nothing_at_all_is_no_frame() -> None:
    """An empty datagram; its size, unknown, is that of what came."""
    receiver = Counting(COUNTED)
    receiver.data_received(b"")
    receiver.data_received(counted(b"x"))
    assert (receiver.frames, receiver.reason) == (1, "")


async def test_nothing_is_taken_after_the_end_or_after_nonsense() -> None:
    receiver = Counting(COUNTED)
    receiver.data_received(counted(b"x") * 1000)
    receiver.stop()
    frames = receiver.frames
    receiver.data_received(counted(b"x"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert receiver.frames == frames
    other = Counting(COUNTED)
    other.data_received(counted(b"x") + b"\xff\xff" + counted(b"x") * 3)
    assert (other.frames, "more than 1000" in other.reason) == (1, True)


class Peer:
    """A server that sends what it is told."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.said = b""

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)

    def send(self, data: bytes) -> None:
        self.writers[-1].write(data)

    @contextlib.asynccontextmanager
    async def stream(self, framing: Framing) -> AsyncIterator[Stream]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        stream = await open_stream("127.0.0.1", server.sockets[0].getsockname()[1], framing)
        await eventually(lambda: self.writers)
        try:
            yield stream
        finally:
            await stream.close()
            for writer in self.writers:
                writer.transport.abort()
            server.close()
            await server.wait_closed()


def run(loop: Callable[[], asyncio.AbstractEventLoop], test: Callable[[], object]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(test())  # type: ignore[arg-type]


@LOOPS
def test_what_nobody_takes_is_not_read_and_all_of_it_comes_when_it_is_taken(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def test() -> None:
        peer, count = Peer(), 20_000
        async with peer.stream(COUNTED) as stream:
            for n in range(count):
                peer.send(counted(struct.pack(">I", n) * 200))
            await eventually(lambda: len(stream._frames) > 64 * 1024)
            for _ in range(20):
                await asyncio.sleep(0.01)
                assert len(stream._frames) <= 64 * 1024 + CHUNK
            for n in range(count):
                assert struct.unpack_from(">HI", await stream.frame())[1] == n

    run(loop, test)


@LOOPS
def test_taking_frames_without_a_pause_leaves_others_their_turn(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def test() -> None:
        peer, taken, turns = Peer(), 0, 0

        async def beside() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with peer.stream(COUNTED) as stream:
            peer.send(counted(b"x") * 5000)
            await eventually(lambda: len(stream._frames) == 15_000)
            other = asyncio.ensure_future(beside())
            while taken < 5000:
                await stream.frame()
                taken += 1
            other.cancel()
            assert turns >= 5000 // FRAMES_A_TURN - 1

    run(loop, test)


@LOOPS
@pytest.mark.parametrize(
    ("framing", "data", "said"),
    [
        (COUNTED, b"\xff\xff", "no answer: a frame of 65537 bytes"),
        (LINES, b"x" * 2000, "no answer: 1000 bytes and no end"),
        (COUNTED, b"\0", "the far side closed the connection"),
    ],
    ids=["giant", "endless", "half"],
)
def test_what_can_be_no_frame_ends_the_connection_behind_the_frames_before_it(
    loop: Callable[[], asyncio.AbstractEventLoop], framing: Framing, data: bytes, said: str
) -> None:
    async def test() -> None:
        peer = Peer()
        good = counted(b"good") if framing is COUNTED else b"good\r\n"
        async with peer.stream(framing) as stream:
            peer.send(good * 3 + data)
            peer.writers[-1].close()
            for _ in range(3):
                assert await stream.frame() == good
            for _ in range(2):
                with pytest.raises(LinkError, match=said):
                    await stream.frame()
            with pytest.raises(LinkError, match=said):
                await stream.ask(b"and now?")
            await stream.close()

    run(loop, test)


async def test_an_answer_is_neither_what_came_before_the_request_nor_what_belongs_to_another() -> None:
    peer = Peer()
    async with peer.stream(COUNTED) as stream:
        peer.send(counted(b"late") * 2)
        await eventually(lambda: len(stream._frames) == 12)
        asking = asyncio.ensure_future(stream.ask(b"question", lambda frame: frame.endswith(b"mine")))
        await asyncio.sleep(0)
        peer.send(counted(b"not yours") + counted(b"mine"))
        assert await asking == counted(b"mine")
        assert stream.counts == {"stray": 3}


async def test_a_frame_that_never_becomes_whole_is_given_up_by_the_caller_and_the_line_can_be_closed() -> None:
    peer = Peer()
    async with peer.stream(COUNTED) as stream:
        peer.send(b"\0\x05ab")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await stream.frame()


async def test_datagrams_that_nobody_takes_are_dropped_and_counted() -> None:
    loop = asyncio.get_running_loop()
    heard: list[tuple[bytes, object]] = []

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, from_: object) -> None:
            heard.append((data, from_))
            for n in range(100):
                self.transport.sendto(b"%d" % n, from_)  # type: ignore[attr-defined]

    server, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    datagrams = await open_datagrams("127.0.0.1", server.get_extra_info("sockname")[1])
    assert await datagrams.ask(b"go") == b"0"
    await eventually(lambda: datagrams.counts["dropped"] > 0)
    assert len(datagrams._waiting) <= FRAMES_A_TURN
    assert await datagrams.ask(b"go", lambda answer: answer == b"0") == b"0"
    await datagrams.close()
    server.close()


async def test_nobody_there_is_said_in_words_with_what_to_look_at() -> None:
    port = free_port()
    with pytest.raises(LinkError, match=f"cannot connect to 127.0.0.1:{port}: connection refused; is the server on"):
        await open_stream("127.0.0.1", port, LINES, look_at="is the server on?")
    datagrams = await open_datagrams("127.0.0.1", port)
    with pytest.raises(LinkError, match="refused"):
        await datagrams.ask(b"anybody?")
    await datagrams.close()


@pytest.mark.parametrize("host", [".", "a" * 70 + ".invalid", "no such name"])
async def test_a_host_that_is_none_is_a_link_error(host: str) -> None:
    with pytest.raises(LinkError, match="cannot connect"):
        await dial(lambda: Stream("x", LINES), host, 1)


async def test_certificates_are_read_where_they_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def load(*_: object) -> None:
        threads.append(threading.current_thread())
        raise RefusedError("tls ca: no usable PEM file")

    monkeypatch.setattr(dialling, "tls_context", load)
    with pytest.raises(RefusedError, match="no usable PEM file"):
        await dial(lambda: Stream("x", LINES), "127.0.0.1", free_port(), tls=True)
    assert threads
    assert threading.main_thread() not in threads
