"""A line that several devices share: who is asked when."""

import asyncio
import struct

from gateway.kit.line import NO_ANSWER, AskingPace, Exchange
from gateway.kit.line.turns import Turns
from gateway.plugin import Device
from plugins.modbus.driver import Modbus
from plugins.modbus.requests import ModbusRequest, echo
from plugins.modbus.tests.fakes import RawDevice, connected, make_device, registers, words


def device_of(raw: RawDevice, unit: int, requests: int, **options: object) -> Device:
    """A device that needs so many requests."""
    addresses = words(*range(0, 10 * requests, 10))
    return make_device(addresses, name=f"unit-{unit}", port=raw.port, unit=unit, max_gap=0, **options)


def units(raw: RawDevice) -> list[int]:
    """Whom the requests went to; a write counts as minus its value."""
    return [-struct.unpack(">H", each[10:12])[0] if each[7] == 6 else each[6] for each in raw.requests]


def reply(request: bytes) -> bytes:
    return registers(request) if request[7] == 3 else request


async def test_a_device_of_many_requests_does_not_hold_up_one_of_few() -> None:
    async with RawDevice(lambda request: b"") as raw:
        many, one, two = device_of(raw, 1, 40), device_of(raw, 2, 1), device_of(raw, 3, 2)
        async with connected(many, one, two) as driver:
            readings = [asyncio.create_task(driver.read(device.tags)) for device in (many, one, two)]
            await raw.wait_for_requests(1)
            raw.answer = reply
            raw.send(reply(raw.requests[0]))
            await asyncio.gather(*readings)
            assert units(raw) == [1, 2, 3, 1, 3, *[1] * 38]


async def test_writes_go_before_all_reads_that_wait_and_stay_in_their_order() -> None:
    async with RawDevice(lambda request: b"") as raw:
        many, other = device_of(raw, 1, 3), device_of(raw, 2, 2)
        async with connected(many, other) as driver:
            readings = [asyncio.create_task(driver.read(device.tags)) for device in (many, other)]
            await raw.wait_for_requests(1)
            writes = [asyncio.create_task(driver.write(many.tags[0], value)) for value in (7, 8, 9)]
            await asyncio.sleep(0)
            raw.answer = reply
            raw.send(reply(raw.requests[0]))
            await asyncio.gather(*readings, *writes)
            assert units(raw) == [1, -7, -8, -9, 2, 1, 2, 1]


async def test_scans_of_one_device_take_turns_as_well() -> None:
    assert Modbus.takes_turns
    tags = words(0, 10) | {"slow": {"address": "hr:20", "type": "uint16", "scan": "10s"}}
    async with RawDevice(registers) as raw:
        device, other = make_device(tags, port=raw.port, max_gap=0), device_of(raw, 2, 1)
        async with connected(device, other) as driver:
            await driver.read(device.tags)
            one = driver.pace(device.config, 1)
            assert driver._ways[device.tags][1] == AskingPace(one.patience, 3 * one.whole, one.retries, one.pause)


async def test_an_exchange_that_is_dropped_is_asked_no_more() -> None:
    turns, kept, dropped = Turns(), exchange(3), exchange(3)
    for each in (kept, dropped):
        turns.add(each, urgent=False)
    assert [turns.next()[:2] for _ in range(3)] == [(kept, 0), (dropped, 0), (kept, 1)]
    turns.repeat((dropped, 0, 0, True))
    turns.drop(dropped)
    assert list(turns.exchanges()) == [kept]
    assert turns.next()[:2] == (kept, 2)
    assert not turns


async def test_what_is_repeated_goes_before_what_was_not_sent_yet_and_after_what_is_urgent() -> None:
    turns, waiting, again, urgent = Turns(), exchange(1), exchange(2), exchange(1)
    turns.add(again, urgent=False)
    turns.add(waiting, urgent=False)
    turns.next()
    turns.repeat((again, 0, 0, True))
    turns.add(urgent, urgent=True)
    assert [turns.next()[0] for _ in range(4)] == [urgent, again, waiting, again]


async def test_time_is_over_for_what_was_not_sent_in_it() -> None:
    turns, early, late = Turns(), exchange(2, until=5.0), exchange(2, until=6.0)
    for each in (early, late):
        turns.add(each, urgent=False)
        turns.repeat((each, 0, 0, True))
    assert turns.overdue(5.0) == [early]
    assert [turn[0] for turn in turns.take_overdue(5.0)] == [early]
    turns.skip(early, NO_ANSWER)
    assert not turns.repeats(early)
    assert turns.repeats(late)
    assert list(turns.exchanges()) == [late, late]


def exchange(count: int, until: float = 9.0) -> Exchange:
    requests: list[ModbusRequest] = [echo(1, number) for number in range(count)]
    return Exchange(requests, AskingPace(), until, asyncio.get_running_loop().create_future())
