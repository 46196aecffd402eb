"""RTU in a TCP stream, whose frames carry no numbers, with a device that misbehaves: nothing wrong may come out as good."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.kit.line.request_line import MAX_DAMAGED
from gateway.plugin import Device, DeviceError, LinkError, Readings, quality
from gateway.testing import eventually
from plugins.modbus.driver import Modbus
from plugins.modbus.line.framing import crc16
from plugins.modbus.tests.fakes import connected, make_device, time_passes, words

Answerer = Callable[[bytes], bytes]
ECHO = 8


def right(request: bytes) -> bytes:
    """A right answer: each register holds its own offset; function 8 gives back what it was given."""
    unit, function, start, count = struct.unpack(">BBHH", request[:6])
    if function == ECHO:
        return request
    return framed(struct.pack(f">BBB{count}H", unit, function, 2 * count, *range(start, start + count)))


def framed(body: bytes) -> bytes:
    return body + crc16(body)


def refused(request: bytes, code: int) -> bytes:
    return framed(bytes((request[0], request[1] | 0x80, code)))


class RtuDevice:
    """Answers RTU requests in a TCP stream by a function; those of its newest connection."""

    def __init__(self, answer: Answerer = right) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.on_connect: Callable[[], object] = lambda: None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "RtuDevice":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    def send(self, data: bytes) -> None:
        """Say something unasked on the newest connection."""
        self._writers[-1].write(data)

    async def asked(self, count: int) -> None:
        await eventually(lambda: len(self.requests) >= count, 20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.on_connect()
        try:
            while writer is self._writers[-1]:
                request = await reader.readexactly(8)
                if writer is not self._writers[-1]:
                    break
                self.requests.append(request)
                writer.write(self.answer(request))
        except asyncio.CancelledError:
            pass
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def device_at(raw: RtuDevice, *offsets: int, name: str = "plc", **options: Any) -> Device:
    defaults = {"transport": "rtu-over-tcp", "request_timeout": "20s"}
    return make_device(words(*offsets or range(4)), name=name, port=raw.port, **defaults | options)


async def read(driver: Modbus, device: Device) -> list[float]:
    values = await driver.read(device.tags)
    assert not isinstance(values, Readings)
    return [float(value) for value in values]  # type: ignore[arg-type]


async def silent_at(raw: RtuDevice, driver: Modbus, device: Device, count: int) -> Any:
    """A read in which the time for the request is over that the device is asked as its `count`-th."""
    reading = asyncio.create_task(driver.read(device.tags))
    await raw.asked(count)
    time_passes(driver, 21)
    return await reading


async def give_up(raw: RtuDevice, driver: Modbus, device: Device) -> bytes:
    """A request whose answer is still out."""
    raw.answer = lambda request: b""
    reading = asyncio.create_task(driver.read(device.tags))
    await raw.asked(len(raw.requests) + 1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    return raw.requests[-1]


OTHERS = {
    "unit": lambda request: right(b"\x02" + request[1:]),
    "function": lambda request: right(request[:1] + b"\x04" + request[2:]),
    "short": lambda request: right(request[:5] + b"\x03" + request[6:]),
    "another master's request": lambda request: framed(b"\x01\x03\0\x64\0\x02"),
    "another master's write": lambda request: framed(b"\x01\x06\0\x64\0\x02"),
    "surplus": lambda request: b"",
}


@pytest.mark.parametrize("other", OTHERS)
async def test_what_another_master_and_its_device_say_is_counted_and_not_believed(other: str) -> None:
    foreign = OTHERS[other]
    async with RtuDevice(lambda request: foreign(request) + right(request) + b"!" * (other == "surplus")) as raw:
        device = make_device(words(0, 40), port=raw.port, max_gap=0, transport="rtu-over-tcp", request_timeout="20s")
        async with connected(device) as driver:
            for _ in range(3):
                assert await read(driver, device) == [0, 40]
            assert driver.counts["stray"] >= 3


async def test_of_answers_that_come_twice_the_second_is_not_taken_for_the_next_ones() -> None:
    async with RtuDevice(lambda request: right(request) * 2) as raw:
        device = make_device(words(0, 40), port=raw.port, max_gap=0, transport="rtu-over-tcp", request_timeout="20s")
        async with connected(device) as driver:
            for _ in range(5):
                assert await read(driver, device) == [0, 40]
            assert driver.counts["stray"] >= 9


async def test_an_answer_that_comes_in_pieces_is_put_together() -> None:
    async with RtuDevice(lambda request: b"") as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            reading = asyncio.create_task(read(driver, device))
            await raw.asked(1)
            for byte in right(raw.requests[0]):
                raw.send(bytes([byte]))
                await asyncio.sleep(0)
            assert await reading == [0, 1, 2, 3]


async def test_a_unit_that_owes_an_answer_must_give_back_a_number_first() -> None:
    async with RtuDevice() as raw:
        early, late = device_at(raw), device_at(raw, 10, 11, 12, 13)
        async with connected(early) as driver:
            owed = await give_up(raw, driver, early)
            raw.answer = lambda request: right(owed) + right(request) if request[1] == ECHO else right(request)
            assert await read(driver, late) == [10, 11, 12, 13]
            assert [request[1] for request in raw.requests] == [3, ECHO, 3]
            raw.answer = right
            assert await read(driver, early) == [0, 1, 2, 3]
            assert [request[1] for request in raw.requests] == [3, ECHO, 3, 3], "asked for a number once only"


async def test_a_device_without_function_8_says_so_and_is_believed() -> None:
    async with RtuDevice() as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            await give_up(raw, driver, device)
            raw.answer = lambda request: refused(request, 1) if request[1] == ECHO else right(request)
            assert await read(driver, device) == [0, 1, 2, 3]


async def test_a_stream_is_dropped_when_a_living_unit_does_not_say_where_it_is() -> None:
    async with RtuDevice() as raw:
        raw.answer = lambda request: b"" if request[1] == ECHO or request[3] == 20 else right(request)
        device = device_at(raw, 0, 20, max_gap=0)
        async with connected(device) as driver:
            readings = await silent_at(raw, driver, device, 2)
            assert isinstance(readings, Readings)
            with pytest.raises(LinkError, match="gives no mark back"):
                await silent_at(raw, driver, device, 3)


async def test_a_dead_unit_that_says_nothing_at_all_does_not_end_the_line_of_the_others() -> None:
    async with RtuDevice(lambda request: right(request) if request[0] == 2 else b"") as raw:
        dead = device_at(raw, name="dead", unit=1, request_timeout="50ms")
        alive = device_at(raw, name="alive", unit=2)
        async with connected(dead, alive) as driver:
            for _ in range(6):
                with pytest.raises(TimeoutError):
                    await read(driver, dead)
                assert await read(driver, alive) == [0, 1, 2, 3]


async def test_damaged_answers_end_the_connection_when_they_do_not_cease() -> None:
    async with RtuDevice(lambda request: right(request)[:-1] + b"?") as raw:
        device = device_at(raw, retries=2)
        async with connected(device) as driver:
            with pytest.raises(LinkError, match=f"{MAX_DAMAGED} damaged answers in a row"):
                for _ in range(MAX_DAMAGED + 1):
                    with pytest.raises(DeviceError, match="damaged"):
                        await read(driver, device)


async def test_a_dead_unit_is_probed_with_the_patience_that_the_line_deserves() -> None:
    async with RtuDevice(lambda request: right(request) if request[0] == 2 else b"") as raw:
        dead, alive = device_at(raw, name="dead", unit=1), device_at(raw, name="alive", unit=2)
        async with connected(dead, alive) as driver:
            assert await read(driver, alive) == [0, 1, 2, 3]
            answer = raw.answer
            await give_up(raw, driver, dead)
            raw.answer = answer
            _, pace = driver._ways[dead.tags]
            assert driver._line._patience.of(1, pace) < pace.patience
            assert driver._line._patience.of(2, pace) == pace.patience
            assert await read(driver, alive) == [0, 1, 2, 3]


async def test_what_came_before_the_device_fell_silent_is_delivered() -> None:
    async with RtuDevice(lambda request: b"" if request[3] == 10 else right(request)) as raw:
        device = device_at(raw, 0, 10, 20, max_gap=0, retries=0)
        async with connected(device) as driver:
            readings = await silent_at(raw, driver, device, 2)
            assert isinstance(readings, Readings)
            assert readings.quality.tolist() == [0, quality.BAD_TIMEOUT, 0]
            assert readings.value[[0, 2]].tolist() == [0, 20]


class Mischief:
    """One thing that a device or a line does to an answer; what it holds back comes before the next one."""

    def __init__(self) -> None:
        self.held = b""

    def forget(self) -> None:
        self.held = b""

    def late(self, answer: bytes) -> bytes:
        self.held += answer
        return b""

    def on_time(self, answer: bytes) -> bytes:
        held, self.held = self.held, b""
        return held + answer


_SPOILS = st.one_of(
    st.just("right"),
    st.just("late"),
    st.just("lost"),
    st.just("twice"),
    st.tuples(st.just("flip"), st.integers(0, 12), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0, 12)),
    st.tuples(st.just("refuse"), st.integers(1, 11)),
    st.tuples(st.just("noise"), st.binary(max_size=8)),
)


def spoilt(spoil: Any, request: bytes, mischief: Mischief) -> bytes:
    answer = right(request)
    match spoil:
        case "late":
            return mischief.late(answer)
        case "lost":
            return b""
        case "twice":
            return mischief.on_time(answer * 2)
        case ("flip", at, bits):
            broken = bytearray(answer)
            broken[at % len(broken)] ^= bits
            return mischief.on_time(bytes(broken))
        case ("cut", size):
            return mischief.on_time(answer[:size])
        case ("refuse", code):
            return mischief.on_time(refused(request, code))
        case ("noise", noise):
            return mischief.on_time(noise + answer)
    return mischief.on_time(answer)


@pytest.fixture
def no_end_of_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, nothing is older than what is still expected."""
    monkeypatch.setattr("gateway.kit.line.owed_answers.LONG", 1e6)


async def campaign(spoils: list[Any], patience: str = "30ms") -> int:
    """Reads two sets of registers in turn; returns how often all was good. Fails if anything wrong was."""
    script, mischief, good = iter(spoils), Mischief(), 0
    async with RtuDevice(lambda request: spoilt(next(script, "right"), request, mischief)) as raw:
        raw.on_connect = mischief.forget
        offsets = (range(4), range(10, 14))
        tags = [device_at(raw, *each, request_timeout=patience) for each in offsets]
        driver: Modbus | None = None
        for turn in range(len(spoils) + 4):
            if driver is None:
                driver = Modbus([tags[0]])
                await driver.connect()
            wanted = offsets[turn % 2]
            try:
                values = await driver.read(tags[turn % 2].tags)
            except (DeviceError, TimeoutError):
                continue
            except LinkError:
                await driver.close()
                driver = None
                continue
            if isinstance(values, Readings):
                values = np.where(values.quality == quality.GOOD, values.value, wanted)
            assert list(values) == list(wanted)
            good += 1
        if driver is not None:
            await driver.close()
    return good


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("no_end_of_doubts")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_SPOILS, min_size=1, max_size=6))
async def test_whatever_happens_on_the_line_only_right_answers_are_given_as_good(spoils: list[Any]) -> None:
    await campaign(spoils)


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.usefixtures("no_end_of_doubts")
@settings(max_examples=70, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(_SPOILS, min_size=1, max_size=12), min_size=15, max_size=15))
async def test_a_long_campaign_delivers_nothing_wrong(lines: list[list[Any]]) -> None:
    """A thousand lines; fifteen at a time, since most of it is waiting."""
    async with asyncio.TaskGroup() as group:
        for spoils in lines:
            group.create_task(campaign(spoils))


async def test_the_campaign_lets_good_answers_through() -> None:
    assert await campaign(["right"] * 4, patience="20s") == 8
