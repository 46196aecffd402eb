"""A campaign of faults for a driver that asks by TCP or UDP: a relay to its server misbehaves in one way at a time."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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


@asynccontextmanager
async def bent_datagrams(target: int, bend: Bend) -> AsyncIterator["BentDatagrams"]:
    """A relay to a UDP port of this machine. Gives the relay, whose `bend` may be changed."""
    relay = BentDatagrams(target, bend)
    make = asyncio.get_running_loop().create_datagram_endpoint
    transport, _ = await make(lambda: relay, local_addr=("127.0.0.1", 0))
    try:
        yield relay
    finally:
        transport.close()
        relay.close()


class BentDatagrams(asyncio.DatagramProtocol):
    """Each client has a port of its own towards the server; an answer is bent with the request that came last."""

    def __init__(self, target: int, bend: Bend) -> None:
        self.port = 0
        self.bend = bend
        self._target = target
        self._far: dict[Any, _FarEnd] = {}

    def connection_made(self, transport: Any) -> None:
        self._near = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        far = self._far.get(addr)
        if far is None:
            far = self._far[addr] = _FarEnd(lambda request, right: self._answered(addr, request, right))
            make = asyncio.get_running_loop().create_datagram_endpoint
            far.opening = asyncio.ensure_future(make(lambda: far, remote_addr=("127.0.0.1", self._target)))
        far.ask(data)

    def _answered(self, addr: Any, request: bytes, right: bytes) -> None:
        for part in self.bend(request, right):
            if not self._near.is_closing():
                self._near.sendto(part, addr)

    def close(self) -> None:
        """The ports towards the server."""
        for far in self._far.values():
            if far.transport is not None:
                far.transport.close()
            elif far.opening is not None:
                far.opening.cancel()


class _FarEnd(asyncio.DatagramProtocol):
    def __init__(self, answered: Callable[[bytes, bytes], None]) -> None:
        self.transport: Any = None
        self.opening: asyncio.Future[Any] | None = None
        self._answered = answered
        self._waiting: list[bytes] = []
        self._request = b""

    def ask(self, request: bytes) -> None:
        self._request = request
        if self.transport is None:
            self._waiting.append(request)
        else:
            self.transport.sendto(request)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        for request in self._waiting:
            transport.sendto(request)

    def datagram_received(self, data: bytes, _: Any) -> None:
        self._answered(self._request, data)


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


_UNBENT = 30.0
"""Seconds within which all is good where nothing is bent."""


class FaultCampaign:
    """Each manner costs what it must, nothing is good that is wrong, and all is good again when it is repaired.

        class TestFaults(FaultCampaign):
            driver = Acme
            values = {"left": 12.5, "right": -3.25}
            requests = answers = Ended(b"\\r\\n", longest=100)  # where a frame ends, on its way there and back

            @pytest_asyncio.fixture
            async def server(self): ...yield its port

            def device(self, port): return build_device(Acme, {"port": port, "timeout": "1s"}, …)

    It is for a protocol whose answers say what they answer, by a number, a name or an address; what else cannot be told from
    a right answer stands in `beyond`. Waiting is by scans, any of which may fail, so that a slow machine fails nothing.
    """

    driver: type[Driver[Any, Any]]
    values: Mapping[str, Any]
    """Tag → what it holds at the server, as long as the tests run."""

    loops: Sequence[str] = ("asyncio",)
    """The event loops that it runs on, where they are installed; see `gateway.testing.loops`."""

    bent = ""
    """The tag that `about` is about."""

    beyond: Mapping[str, str] = {}
    """Manners that nobody can tell from right answers in this protocol, and why; they are not tried."""

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
        if manner in self.beyond:
            pytest.skip(self.beyond[manner])
        make_bend, kind = MANNERS[manner]
        await self.endures(make_bend(), kind, server, monkeypatch)

    def relay(self, server: int, bend: Bend) -> AbstractAsyncContextManager["BentRelay | BentDatagrams"]:
        """The way to the server, whose `bend` may be changed."""
        self._says("requests", "answers")
        return bent(server, self.requests, self.answers, bend)

    async def endures(self, bend: Bend, kind: str, server: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """For manners of the protocol's own."""
        self._says("driver", "values")
        await self._is_good_unbent(server)
        monkeypatch.setattr("gateway.kit.blocks.plan.PROBE_AFTER", 0.1)
        every = set(self.values)
        wanted = {GOOD: every, MOSTLY: every, BENT: every - {self.bent}, DOWN: set()}[kind]
        async with self.relay(server, bend) as relay:
            reader = _Reader(self.driver, self.device(relay.port), self.values)
            try:
                for _ in range(3):
                    await reader.until(wanted)
                relay.bend = lambda _, right: [right]
                await reader.until(every)
            finally:
                await reader.close()

    def _says(self, *needed: str) -> None:
        if missing := [name for name in needed if not hasattr(self, name)]:
            pytest.fail(
                f"give your class {', '.join(missing)}: FaultCampaign's docstring has an example", pytrace=False
            )

    async def _is_good_unbent(self, server: int) -> None:
        """Else each manner would wait for ever for what never comes."""
        async with self.relay(server, lambda _, right: [right]) as relay:
            reader = _Reader(self.driver, self.device(relay.port), self.values)
            try:
                async with asyncio.timeout(_UNBENT):
                    await reader.until(set(self.values))
            except TimeoutError:
                missing = ", ".join(sorted(set(self.values) - reader.good)) or "none of them"
                pytest.fail(
                    f"through a relay that changes nothing, not all of `values` are good after {_UNBENT:g} s "
                    f"(missing: {missing}; last error: {reader.why or 'none'}). The relay takes one request, and then one "
                    "answer, as `requests` and `answers` say where they end: is that so, and does the driver speak first? "
                    "Is the device's timeout short?",
                    pytrace=False,
                )
            finally:
                await reader.close()


DATAGRAM_MANNERS = {name: manner for name, manner in MANNERS.items() if "byte by byte" not in name}


class DatagramCampaign(FaultCampaign):
    """The same by UDP, where each datagram is a request or an answer."""

    def relay(self, server: int, bend: Bend) -> AbstractAsyncContextManager["BentRelay | BentDatagrams"]:
        """The way to the server, by datagrams."""
        return bent_datagrams(server, bend)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("manner", DATAGRAM_MANNERS)
    async def test_a_manner_costs_what_it_must_and_is_over_when_it_is_repaired(
        self, manner: str, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if manner in self.beyond:
            pytest.skip(self.beyond[manner])
        make_bend, kind = DATAGRAM_MANNERS[manner]
        await self.endures(make_bend(), kind, server, monkeypatch)


class _Reader:
    """Reads as the gateway does: an error of the line makes a new one."""

    def __init__(self, driver: type[Driver[Any, Any]], device: Device, values: Mapping[str, Any]) -> None:
        self._make = driver
        self._device = device
        self._values = values
        self._driver: Driver[Any, Any] | None = None
        self.good: set[str] = set()
        """Tags that were good at the last scan."""
        self.why = ""
        """The last error."""

    async def scan(self) -> set[str]:
        """The tags that are good. What is good must be right."""
        try:
            async with asyncio.timeout(None if self._make.takes_turns else self._device.config.timeout):
                values = await self._values_now()
        except (DeviceError, LinkError, OSError, TimeoutError) as error:
            self.why = str(error) or type(error).__name__
            if not isinstance(error, DeviceError):
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

    async def _values_now(self) -> Any:
        if self._driver is None:
            driver = self._make([self._device])
            await driver.connect()
            self._driver = driver
        return await self._driver.read(self._device.tags)

    async def until(self, wanted: set[str]) -> None:
        self.good = await self.scan()
        while self.good != wanted:
            await asyncio.sleep(0.02)
            self.good = await self.scan()

    async def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()
