"""What a connection begins with, a banner and a login say, is done on each one that is dialled, also by `ask` itself."""

import asyncio

import pytest

from gateway.core.errors import LinkError, RefusedError
from gateway.kit import Ended, Stream, open_stream
from gateway.testing import eventually, serving

LINES = Ended(b"\r\n", longest=100)


class Guarded:
    """A device that answers only who has taken its banner and logged in."""

    def __init__(self) -> None:
        self.logins = 0
        self.open: list[asyncio.StreamWriter] = []
        self.hangs_up = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.append(writer)
        try:
            writer.write(b"ACME 1.0\r\n")
            if self.hangs_up:
                return
            logged_in = False
            while line := await reader.readline():
                if line == b"PIN 1234\r\n":
                    logged_in, self.logins = True, self.logins + 1
                    writer.write(b"OK\r\n")
                else:
                    writer.write(b"12.5\r\n" if logged_in else b"NO\r\n")
        finally:
            self.open.remove(writer)


def login(pin: bytes):
    async def greet(stream: Stream) -> None:
        assert await stream.frame() == b"ACME 1.0\r\n"
        if await stream.ask(b"PIN %s\r\n" % pin) != b"OK\r\n":
            raise RefusedError("the device does not take the pin")

    return greet


async def test_a_connection_that_was_closed_idle_is_greeted_anew_before_the_request() -> None:
    device = Guarded()
    async with serving(device.talk) as port:
        stream = await open_stream("127.0.0.1", port, LINES, greet=login(b"1234"))
        for turn in range(3):
            assert await stream.ask(b"GET\r\n") == b"12.5\r\n"
            assert (device.logins, stream.counts["idle_closes"]) == (turn + 1, turn)
            device.open[0].close()
            await eventually(lambda: not device.open and stream._lost is not None)
        await stream.close()


async def test_who_is_refused_at_the_greeting_leaves_no_connection() -> None:
    device = Guarded()
    async with serving(device.talk) as port:
        with pytest.raises(RefusedError, match="does not take the pin"):
            await open_stream("127.0.0.1", port, LINES, greet=login(b"0000"))
        await eventually(lambda: not device.open)


async def test_a_greeting_that_is_given_up_leaves_no_connection() -> None:
    device, begun = Guarded(), asyncio.Event()

    async def greet(stream: Stream) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with serving(device.talk) as port:
        opening = asyncio.ensure_future(open_stream("127.0.0.1", port, LINES, greet=greet))
        await begun.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await eventually(lambda: not device.open)


async def test_who_hangs_up_on_a_greeting_is_not_dialled_again_and_again() -> None:
    device = Guarded()
    async with serving(device.talk) as port:
        stream = await open_stream("127.0.0.1", port, LINES, greet=login(b"1234"))
        assert await stream.ask(b"GET\r\n") == b"12.5\r\n"
        device.hangs_up = True
        device.open[0].close()
        await eventually(lambda: not device.open and stream._lost is not None)
        for _ in range(2):
            with pytest.raises(LinkError):
                await stream.ask(b"GET\r\n")
        assert stream.counts["idle_closes"] == 1
        await stream.close()
