"""The line against a device that misbehaves in every way; nothing wrong may ever come out as good."""

import asyncio
import gc
import os
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kit.block_driver import _plans
from gateway.kit.blocks import PROBE_AFTER, BlockPlan
from gateway.kit.line.patience import MAX_SILENT
from gateway.plugin import Device, DeviceError, LinkError, Readings, Tags, quality
from gateway.testing import eventually
from plugins.modbus.driver import Modbus
from plugins.modbus.tests.fakes import RawDevice, connected, exception, make_device, registers, time_passes, words


def device_at(raw: RawDevice, count: int = 4, **options: object) -> Device:
    return make_device(words(*range(count)), port=raw.port, **options)


async def read(driver: Modbus, device: Device) -> list[float]:
    values = await driver.read(device.tags)
    assert not isinstance(values, Readings)
    return [float(value) for value in values]  # type: ignore[arg-type]


def plan_of(device: Device) -> BlockPlan:
    return _plans[device.tags]


def changed(at: int, to: int) -> Callable[[bytes], bytes]:
    def answer(request: bytes) -> bytes:
        frame = bytearray(registers(request))
        frame[at] = to
        return bytes(frame)

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (changed(3, 1), "no Modbus TCP"),
        (lambda request: b"SSH-2.0-OpenSSH_9.2\r\n", "no Modbus TCP"),
    ],
    ids=["protocol", "garbage"],
)
async def test_what_is_no_modbus_drops_the_connection(answer: Callable[[bytes], bytes], said: str) -> None:
    async with RawDevice(answer) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            for _ in range(2):
                with pytest.raises(LinkError, match=said):
                    await read(driver, device)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(changed(6, 2), "unit 2 answers in place of unit 1; any_unit = true"), (changed(7, 4), "for function 4")],
    ids=["unit", "function"],
)
async def test_an_answer_to_something_else_is_not_believed_and_is_named_when_nothing_better_comes(
    answer: Callable[[bytes], bytes], said: str
) -> None:
    async with RawDevice(answer) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            reading = asyncio.create_task(read(driver, device))
            await eventually(lambda: driver.counts["stray"])
            time_passes(driver, 30)
            with pytest.raises(TimeoutError, match=said):
                await reading
            raw.answer = lambda request: answer(request) + registers(request)
            assert await read(driver, device) == [0, 1, 2, 3]
            assert raw.connections == 1


@pytest.mark.parametrize(
    "wrong",
    [
        changed(8, 6),
        lambda request: registers(request[:-1] + bytes([request[11] - 1])),
        lambda request: registers(request[:-1] + bytes([request[11] + 1])),
        lambda request: registers(request)[:4] + bytes([0, 4 + 2 * request[11]]) + registers(request)[6:] + b"!",
    ],
    ids=["byte count", "short", "long", "surplus"],
)
async def test_an_answer_of_another_length_costs_the_tag_that_it_is_about(wrong: Callable[[bytes], bytes]) -> None:
    def answer(request: bytes) -> bytes:
        start, count = struct.unpack(">HH", request[8:])
        return wrong(request) if start <= 2 < start + count else registers(request)

    async with RawDevice(answer) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            for _ in range(3):
                readings = await driver.read(device.tags)
                assert isinstance(readings, Readings)
                assert readings.quality.tolist() == [0, 0, quality.BAD_DECODING, 0]
                assert readings.value[[0, 1, 3]].tolist() == [0, 1, 3]
            assert driver._line.misfit[6:8] == b"\x01\x03"
            assert raw.connections == 1


async def test_surplus_bytes_behind_the_data_are_left_out_where_the_option_says_so() -> None:
    def answer(request: bytes) -> bytes:
        return registers(request)[:4] + bytes([0, 5 + 2 * request[11]]) + registers(request)[6:] + b"!!"

    async with RawDevice(answer) as raw:
        device = device_at(raw, padded=True)
        async with connected(device) as driver:
            assert await read(driver, device) == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [0, 1, 0xFFFF])
async def test_a_device_that_always_gives_the_same_number_back_is_read_and_remarked(number: int) -> None:
    async with RawDevice(lambda request: struct.pack(">H", number) + registers(request)[2:]) as raw:
        device = make_device(words(0, 40), port=raw.port, max_gap=0)
        async with connected(device) as driver:
            for _ in range(3):
                assert await read(driver, device) == [0, 40]
            assert driver.remarks == [
                "the device gives no transaction ids back; its answers are told apart by their turn"
            ]
            assert raw.connections == 1


async def test_what_comes_by_a_number_of_another_master_is_not_believed_even_when_nothing_else_ever_came() -> None:
    async with RawDevice(lambda request: b"\x12\x34" + registers(request, lambda _: 666)[2:]) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            reading = asyncio.create_task(read(driver, device))
            await eventually(lambda: driver.counts["stray"])
            time_passes(driver, 30)
            with pytest.raises(TimeoutError, match="transaction_ids = false"):
                await reading


async def test_numbers_that_are_wrong_in_many_ways_are_borne_where_the_option_says_so() -> None:
    async with RawDevice(lambda request: os.urandom(2) + registers(request)[2:]) as raw:
        device = make_device(words(0, 40), port=raw.port, max_gap=0, transaction_ids=False)
        async with connected(device) as driver:
            for _ in range(300):
                assert await read(driver, device) == [0, 40]


async def test_where_no_number_tells_a_late_answer_the_connection_ends_before_it_can_be_believed() -> None:
    async with RawDevice(lambda request: bytes(2) + registers(request)[2:]) as raw:
        device = make_device(words(0), port=raw.port)
        async with connected(device) as driver:
            assert await read(driver, device) == [0]
            raw.answer = lambda request: b""
            await raw.given_up(driver, device.tags)
            with pytest.raises(LinkError, match="gives no number back"):
                await read(driver, device)


async def test_once_a_number_came_back_another_ones_answer_is_never_believed() -> None:
    def forwarded(request: bytes) -> bytes:
        return struct.pack(">H", 7) + registers(request, lambda _: 666)[2:]

    async with RawDevice(registers) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            assert await read(driver, device) == [0, 1, 2, 3]
            raw.answer = lambda request: forwarded(request) + registers(request) * 2
            for _ in range(5):
                assert await read(driver, device) == [0, 1, 2, 3]
            assert driver.counts["stray"] >= 9
            raw.answer = forwarded
            reading = asyncio.create_task(read(driver, device))
            await raw.wait_for_requests(7)
            await eventually(lambda: driver.counts["stray"] >= 11)
            time_passes(driver, 30)
            with pytest.raises(TimeoutError):
                await reading
            assert raw.connections == 1


async def test_a_flood_of_answers_that_nobody_asked_for_ends_the_connection() -> None:
    async with RawDevice(lambda request: registers(request) * 3000) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            await read(driver, device)
            with pytest.raises(LinkError, match="1000 answers in a row that were not asked for"):
                for _ in range(3):
                    raw.answer = lambda request: b""
                    await read(driver, device)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 7, 9, 200])
async def test_whatever_exception_one_register_causes_the_others_are_good(code: int) -> None:
    def answer(request: bytes) -> bytes:
        start, count = struct.unpack(">HH", request[8:])
        return exception(request, code) if start <= 2 < start + count else registers(request)

    async with RawDevice(answer) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            readings = await driver.read(device.tags)
            assert isinstance(readings, Readings)
            assert (readings.quality == 0).tolist() == [True, True, False, True]


async def test_silence_about_one_register_is_found_and_costs_only_its_tag() -> None:
    def answer(request: bytes) -> bytes:
        start, count = struct.unpack(">HH", request[8:])
        return b"" if start <= 5 < start + count else registers(request)

    async with RawDevice(answer) as raw:
        device = device_at(raw, count=8, timeout="1s")
        good: list[bool] = []
        for _ in range(6):
            async with connected(device) as driver:
                try:
                    while True:
                        readings = await driver.read(device.tags)
                        assert isinstance(readings, Readings)
                        good = (readings.quality == 0).tolist()
                        if sum(good) == 7:
                            break
                except (TimeoutError, LinkError):
                    continue
                break
        assert good == [True] * 5 + [False] + [True] * 2
        raw.answer = registers
        async with connected(device) as driver:
            for _ in range(3):
                plan_of(device).prepare(time.monotonic() + PROBE_AFTER)
                values = await driver.read(device.tags)
            assert list(values) == list(range(8))  # type: ignore[arg-type]


async def test_an_answer_that_comes_in_pieces_is_put_together() -> None:
    async with RawDevice(lambda request: b"") as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            reading = asyncio.create_task(read(driver, device))
            await raw.wait_for_requests(1)
            for byte in registers(raw.requests[0]):
                raw.send(bytes([byte]))
                await raw.writers[-1].drain()
                await asyncio.sleep(0)
            assert await reading == [0, 1, 2, 3]


@pytest.mark.parametrize("half", [b"", b"\0\1\0\0\0"], ids=["nothing", "half a frame"])
async def test_a_lost_connection_fails_the_waiting_reads_at_once(half: bytes) -> None:
    async with RawDevice(lambda request: half if request[1] == 1 else b"") as raw:
        device = device_at(raw, max_in_flight=2)
        async with connected(device) as driver:
            readings = [asyncio.create_task(read(driver, device)) for _ in range(3)]
            await raw.wait_for_requests(2)
            raw.writers[-1].close()
            for reading in readings:
                with pytest.raises(LinkError, match="closed the connection"):
                    await asyncio.wait_for(reading, 20)


@pytest.mark.parametrize("answered", [True, False])
async def test_a_peer_that_ends_the_connection_before_any_answer_may_not_speak_modbus(answered: bool) -> None:
    async with RawDevice(registers) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            if answered:
                await read(driver, device)
            raw.answer = lambda request: b""
            reading = asyncio.create_task(read(driver, device))
            await raw.wait_for_requests(1 + answered)
            raw.writers[-1].close()
            with pytest.raises(LinkError) as caught:
                await asyncio.wait_for(reading, 20)
            assert ("is this its Modbus port" in str(caught.value)) is not answered


async def test_only_as_many_requests_as_allowed_are_under_way() -> None:
    async with RawDevice(lambda request: b"") as raw:
        device = make_device(words(0, 10, 20, 30, 40), port=raw.port, max_in_flight=3, max_gap=0)
        async with connected(device) as driver:
            reading = asyncio.create_task(read(driver, device))
            await raw.wait_for_requests(3)
            assert len(raw.requests) == 3
            raw.answer = registers
            for request in reversed(raw.requests[:3]):
                raw.send(registers(request))
            assert await reading == [0, 10, 20, 30, 40]


async def test_a_late_answer_is_thrown_away_and_the_line_goes_on() -> None:
    async with RawDevice(lambda request: b"") as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            late = await raw.given_up(driver, device.tags)
            raw.answer = lambda request: registers(late, lambda _: 666) + registers(request)
            assert await read(driver, device) == [0, 1, 2, 3]
            raw.answer = registers
            assert await read(driver, device) == [0, 1, 2, 3]
            assert raw.connections == 1


async def test_a_connection_that_stays_silent_is_taken_for_dead() -> None:
    async with RawDevice(lambda request: b"") as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            for _ in range(MAX_SILENT):
                await raw.given_up(driver, device.tags)
            with pytest.raises(LinkError, match="connected, but no answer to the last 4 reads"):
                await read(driver, device)


async def test_a_silent_unit_does_not_end_the_line_of_the_others() -> None:
    async with RawDevice(lambda request: registers(request) if request[6] == 2 else b"") as raw:
        silent, alive = device_at(raw, unit=1), make_device(words(0), name="other", port=raw.port, unit=2)
        async with connected(silent, alive) as driver:
            for _ in range(2 * MAX_SILENT):
                await raw.given_up(driver, silent.tags)
                assert await read(driver, alive) == [0]


async def test_a_read_given_up_makes_room_for_the_next() -> None:
    async with RawDevice(lambda request: registers(request) if request[6] == 2 else b"") as raw:
        dead, alive = device_at(raw, unit=1), make_device(words(0), name="other", port=raw.port, unit=2)
        async with connected(dead, alive) as driver:
            waiting = asyncio.create_task(read(driver, dead))
            await raw.wait_for_requests(1)
            next_in_line = asyncio.create_task(read(driver, alive))
            await asyncio.sleep(0)
            waiting.cancel()
            assert await asyncio.wait_for(next_in_line, 20) == [0]


async def test_a_unit_that_the_gateway_does_not_reach_is_a_trouble_of_that_device_alone() -> None:
    async with RawDevice(lambda request: registers(request) if request[6] == 2 else exception(request, 11)) as raw:
        dead = make_device(words(0, 10, 20), port=raw.port, unit=1, max_gap=0)
        alive = make_device(words(0), name="other", port=raw.port, unit=2)
        async with connected(dead, alive) as driver:
            with pytest.raises(DeviceError, match=r"unit 1: no answer: .*exception 11"):
                await driver.read(dead.tags)
            assert len(raw.requests) == 1, "further requests to the dead unit would only hold up the line"
            assert await read(driver, alive) == [0]


async def test_what_a_gateway_does_not_reach_the_unit_for_costs_no_other_address() -> None:
    async with RawDevice(lambda request: exception(request, 11) if request[9] == 10 else registers(request)) as raw:
        device = make_device(words(0, 10, 20), port=raw.port, max_gap=0)
        async with connected(device) as driver:
            readings = await driver.read(device.tags)
            assert isinstance(readings, Readings)
            assert readings.quality.tolist() == [0, quality.BAD_NO_COMMUNICATION, 0]


async def test_a_device_that_is_busy_is_asked_again_as_often_as_it_may_be() -> None:
    async with RawDevice(lambda request: exception(request, 6) if len(raw.requests) < 3 else registers(request)) as raw:
        device = device_at(raw, retries=2)
        async with connected(device) as driver:
            assert await read(driver, device) == [0, 1, 2, 3]
            raw.requests.clear()
            raw.answer = lambda request: exception(request, 6)
            readings = await driver.read(device.tags)
            assert isinstance(readings, Readings)
            assert readings.quality.tolist() == [quality.BAD_DEVICE_FAILURE] * 4
            assert len(raw.requests) == 3


async def test_reads_on_request_leave_nothing_behind() -> None:
    async with RawDevice(registers) as raw:
        device = device_at(raw)
        gc.collect()
        before = len(_plans)
        async with connected(device) as driver:
            for _ in range(3):
                assert len(await driver.read(Tags(device.name, device.tags[:2]))) == 2  # type: ignore[arg-type]
            gc.collect()
            assert len(_plans) == before


async def test_an_answer_to_the_connection_before_is_not_believed_on_the_next_one() -> None:
    """As a device server with a queue delivers it."""
    async with RawDevice(registers) as raw:
        device = make_device(words(0, 40), port=raw.port, max_gap=0)
        asked: list[bytes] = []
        for _ in range(2):
            async with connected(device) as driver:
                assert await read(driver, device) == [0, 40]
                asked.append(b"".join(raw.requests[-2:]))
        before, after = ({each[at : at + 2] for at in (0, 12)} for each in asked)
        assert not before & after


async def test_transaction_ids_wrap_around() -> None:
    async with RawDevice(registers) as raw:
        device = device_at(raw, count=1)
        async with connected(device) as driver:
            driver._line._state._numbers.last = 0xFFFE
            for _ in range(3):
                assert await read(driver, device) == [0]
            assert [struct.unpack(">H", request[:2])[0] for request in raw.requests] == [0xFFFF, 0, 1]


async def test_a_refused_connection_says_what_to_look_at() -> None:
    async with RawDevice(registers) as raw:
        port = raw.port
    driver = Modbus([make_device(words(0), port=port)])
    with pytest.raises(LinkError, match=f"cannot connect to 127.0.0.1:{port}: connection refused; is the port right"):
        await driver.connect()


async def test_closing_a_dead_line_is_no_error() -> None:
    async with RawDevice(lambda request: b"nonsense") as raw:
        device = device_at(raw)
        driver = Modbus([device])
        await driver.connect()
        with pytest.raises(LinkError):
            await driver.read(device.tags)
        await driver.close()


_MISTAKES = st.one_of(
    st.just(registers),
    st.tuples(st.integers(0, 8), st.integers(0, 255)).map(lambda change: changed(*change)),
    st.integers(1, 255).map(lambda code: lambda request: exception(request, code)),
    st.binary(max_size=40).map(lambda garbage: lambda request: garbage),
    st.binary(max_size=40).map(lambda garbage: lambda request: registers(request) + garbage),
    st.integers(0, 16).map(lambda size: lambda request: registers(request)[:size]),
    st.integers(0, 9).map(lambda count: lambda request: registers(request[:11] + bytes([count]))),
)


@pytest.mark.timeout(300)
@settings(max_examples=100, deadline=None)
@given(st.lists(_MISTAKES, min_size=1, max_size=6))
async def test_whatever_a_device_does_only_right_answers_are_given_as_good(
    mistakes: list[Callable[[bytes], bytes]],
) -> None:
    script = iter(mistakes)
    async with RawDevice(lambda request: next(script, registers)(request)) as raw:
        device = device_at(raw)
        async with connected(device) as driver:
            for _ in range(len(mistakes) + 1):
                try:
                    values = await asyncio.wait_for(driver.read(device.tags), 0.03)
                except (LinkError, DeviceError, TimeoutError):
                    continue
                if isinstance(values, Readings):
                    values = np.where(values.quality == quality.GOOD, values.value, range(4))
                assert list(values) == [0, 1, 2, 3]
