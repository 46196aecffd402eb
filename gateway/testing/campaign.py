"""A campaign of faults for a driver that asks over TCP: a relay between it and its server misbehaves in one way at a time."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.kit import CHUNK, Frames, Framing
from gateway.plugin import Device, DeviceError, Driver, LinkError, Readings, quality

Bend = Callable[[bytes, bytes], list[bytes]]
"""Takes a request and its right answer, whole frames; gives the bytes to send in the answer's place."""


@asynccontextmanager
async def bent(target: int, requests: Framing, answers: Framing, bend: Bend) -> AsyncIterator["BentRelay"]:
    """A relay to a port of this machine, by frames. Gives the relay, whose `bend` may be changed."""
    relay = BentRelay(target, requests, answers, bend)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        for task in list(relay.serving):
            task.cancel()
        await asyncio.gather(*relay.serving, return_exceptions=True)
        await server.wait_closed()


class BentRelay:
    def __init__(self, target: int, requests: Framing, answers: Framing, bend: Bend) -> None:
        self.port = 0
        self.bend = bend
        self.serving: set[asyncio.Task[Any]] = set()
        self._target, self._requests, self._answers = target, requests, answers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: each request goes on to the server, and its answer back, bent."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        asked, answered = Frames(self._requests), Frames(self._answers)
        try:
            while True:
                request = await _frame(reader, asked)
                far_writer.write(request)
                for part in self.bend(request, await _frame(far_reader, answered)):
                    writer.write(part)
                await writer.drain()
        except (EOFError, OSError):
            pass
        finally:
            writer.close()
            far_writer.close()


async def _frame(reader: asyncio.StreamReader, frames: Frames) -> bytes:
    while (frame := frames.next()) is None:
        data = await reader.read(CHUNK)
        if not data:
            raise EOFError
        frames.add(data)
    return frame


def now_and_then(bend: Bend) -> Bend:
    """About a quarter of the answers are bent; which, follows no pattern that a driver could fall in step with."""
    dice = random.Random(2026)
    return lambda request, right: bend(request, right) if dice.random() < 0.25 else [right]


def _late() -> Bend:
    """Each answer comes once more, before the one to the next request."""
    before: list[bytes] = []

    def answer(_: bytes, right: bytes) -> list[bytes]:
        sent = [*before, right]
        before[:] = [right]
        return sent

    return answer


_DICE = random.Random(4)
GOOD, MOSTLY, BENT, DOWN = "good", "mostly good", "bent", "down"

MANNERS: Mapping[str, tuple[Callable[[], Bend], str]] = {
    "answers come twice": (lambda: lambda _, right: [right, right], MOSTLY),
    "answers come again late": (_late, MOSTLY),
    "answers come byte by byte": (lambda: lambda _, right: [right[n : n + 1] for n in range(len(right))], GOOD),
    "lost now and then": (lambda: now_and_then(lambda *_: []), MOSTLY),
    "half a frame now and then": (lambda: now_and_then(lambda _, right: [right[: len(right) // 2]]), MOSTLY),
    "zeros now and then": (lambda: now_and_then(lambda _, right: [bytes(len(right))]), MOSTLY),
    "rubbish before an answer now and then": (
        lambda: now_and_then(lambda _, right: [_DICE.randbytes(9), right]),
        MOSTLY,
    ),
    "silence": (lambda: lambda *_: [], DOWN),
    "halves": (lambda: lambda _, right: [right[: len(right) // 2]], DOWN),
    "zeros": (lambda: lambda _, right: [bytes(len(right))], DOWN),
    "rubbish": (lambda: lambda _, right: [_DICE.randbytes(len(right))], DOWN),
    "another protocol": (lambda: lambda *_: [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"], DOWN),
}
"""What a relay does, and what comes of it: all tags stay good, or again and again; one is bad alone; or all are bad."""


class FaultCampaign:
    """Each manner costs what it must, nothing is good that is wrong, and all is good again when it is repaired.

        class TestFaults(FaultCampaign):
            driver = Acme
            values = {"left": 1, "right": 2}
            requests, answers = AcmeAsked(), AcmeFraming()

            @pytest_asyncio.fixture
            async def server(self): ...yield its port

            def device(self, port): return build_device(Acme, {"port": port, "timeout": "1s"}, …)

    Waiting is by scans, any of which may fail, so that a slow machine fails nothing.
    """

    driver: type[Driver[Any, Any]]
    values: Mapping[str, Any]
    """Tag → what it holds at the server, as long as the tests run."""

    loops: Sequence[str] = ("uvloop",)
    """The event loops that it runs on, where they are installed; see `gateway.testing.loops`."""

    bent = ""
    """The tag that `about` is about."""

    requests: Framing
    answers: Framing
    """How the relay finds frames on their way to the server, and back."""

    def device(self, port: int) -> Device:
        """A device at 127.0.0.1:port with the tags of `values`, and a short timeout."""
        raise NotImplementedError("give your test class a method `device`")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("manner", MANNERS)
    async def test_a_manner_costs_what_it_must_and_is_over_when_it_is_repaired(
        self, manner: str, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_bend, kind = MANNERS[manner]
        await self.endures(make_bend(), kind, server, monkeypatch)

    async def endures(self, bend: Bend, kind: str, server: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """For manners of the protocol's own."""
        monkeypatch.setattr("gateway.kit.blocks.plan.PROBE_AFTER", 0.1)
        every = set(self.values)
        wanted = {GOOD: every, MOSTLY: every, BENT: every - {self.bent}, DOWN: set()}[kind]
        async with bent(server, self.requests, self.answers, bend) as relay:
            reader = _Reader(self.driver, self.device(relay.port), self.values)
            try:
                for _ in range(3):
                    await reader.until(wanted)
                relay.bend = lambda _, right: [right]
                await reader.until(every)
            finally:
                await reader.close()


class _Reader:
    """Reads as the gateway does: an error of the line makes a new one."""

    def __init__(self, driver: type[Driver[Any, Any]], device: Device, values: Mapping[str, Any]) -> None:
        self._make = driver
        self._device = device
        self._values = values
        self._driver: Driver[Any, Any] | None = None

    async def scan(self) -> set[str]:
        """The tags that are good. What is good must be right."""
        try:
            if self._driver is None:
                driver = self._make([self._device])
                await driver.connect()
                self._driver = driver
            values: Any = await self._driver.read(self._device.tags)
        except DeviceError:
            return set()
        except (LinkError, OSError, TimeoutError):
            await self.close()
            return set()
        names = [tag.name for tag in self._device.tags]
        if isinstance(values, Readings):
            found = [values.exact.get(row, value) for row, value in enumerate(values.value)]
            good = list(values.quality == quality.GOOD)
        else:
            found, good = list(values), [True] * len(names)
        for name, value, is_good in zip(names, found, good, strict=True):
            assert not is_good or value == self._values[name], f"{name} is good and wrong: {value!r}"
        return {name for name, is_good in zip(names, good, strict=True) if is_good}

    async def until(self, wanted: set[str]) -> None:
        found = await self.scan()
        while found != wanted:
            await asyncio.sleep(0.02)
            found = await self.scan()

    async def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()
