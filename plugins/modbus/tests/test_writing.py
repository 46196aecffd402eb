"""Writing: the same codec as reading, on devices that are not our code; and what happens when one does not answer."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from gateway.kit.registers import FORMATS, ORDERS, decode, size_of
from gateway.plugin import Device, DeviceError, Readings
from plugins.modbus.config import ModbusDevice, ModbusTag
from plugins.modbus.driver import Modbus
from plugins.modbus.requests import ModbusRequest
from plugins.modbus.tests.fakes import RawDevice, connected, exception, make_device, registers, words
from plugins.modbus.writing import write_of
from tests.kit.test_registers import values_of

KEPT = 1000
"""First of the server's registers and coils that keep what is written."""

PLC = ModbusDevice(name="plc", driver="modbus", host="10.0.0.5", unit=3)


def written(options: dict[str, Any], value: Any, device: ModbusDevice = PLC) -> str:
    return write_of(ModbusTag(**options), device, value).pdu.hex(" ", 2)


async def test_what_is_written_is_read_back_in_every_type_and_order_also_by_pymodbus(
    libmodbus: Callable[..., list[int]],
) -> None:
    (port,) = libmodbus()
    cases = [(type_, order) for type_ in FORMATS for order in ORDERS[size_of(type_)]]
    tags = {
        f"{type_}_{order}": {"address": f"hr:{KEPT + 4 * n}", "type": type_, "order": order}
        for n, (type_, order) in enumerate(cases)
    }
    device = make_device(tags, port=port)
    async with connected(device) as driver, AsyncModbusTcpClient("127.0.0.1", port=port) as client:
        for n, (tag, (type_, order)) in enumerate(zip(device.tags, cases, strict=True)):
            value = -1.5 if type_.startswith("float") else 1234
            await driver.write(tag, value)
            if order == "ABCD" and type_.upper() in client.DATATYPE.__members__:
                found = await client.read_holding_registers(KEPT + 4 * n, count=size_of(type_) // 2, device_id=1)
                kind = client.DATATYPE[type_.upper()]
                assert client.convert_from_registers(found.registers, kind) == value
        values = await driver.read(device.tags)
        assert list(values) == [-1.5 if type_.startswith("float") else 1234 for type_, _ in cases]  # type: ignore[arg-type]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([(type_, order) for type_ in FORMATS for order in ORDERS[size_of(type_)]]), st.data())
def test_any_value_goes_out_as_the_bytes_that_decode_to_it(case: tuple[str, str], data: st.DataObject) -> None:
    type_, order = case
    value = data.draw(values_of(type_))
    request = write_of(ModbusTag(address="hr:7", type=type_, order=order), PLC, value)  # type: ignore[arg-type]
    wire = request.pdu[-size_of(type_) :]
    assert decode(wire, type_, order) == value


def test_single_registers_and_coils_go_by_their_own_functions_unless_the_device_lacks_them() -> None:
    several = PLC.model_copy(update={"write_function": "multiple"})
    register, coil = {"address": "hr:16", "type": "int16"}, {"address": "co:5"}
    assert written(register, -2) == "06 0010 fffe"
    assert written(register, -2, several) == "1000 1000 0102 fffe"
    assert written(coil, True) == "05 0005 ff00"
    assert written(coil, 1, several) == "0f 0005 0001 0101"


def test_a_bit_is_written_by_its_mask_alone() -> None:
    assert written({"address": "hr:4.2"}, True) == "16 0004 fffb 0004"
    assert written({"address": "hr:4.4-7"}, 9) == "16 0004 ff0f 0090"
    assert written({"address": "hr:4.high", "type": "int8"}, -1) == "16 0004 00ff ff00"


@pytest.mark.parametrize(
    ("options", "value", "said"),
    [
        ({"address": "ir:1", "type": "int16"}, 1, "30002: input registers can only be read"),
        ({"address": "di:1"}, True, "can only be read"),
        ({"address": "hr:1", "type": "int16"}, 40000, "40000 does not fit in int16"),
        ({"address": "hr:1", "type": "int16"}, 1.4, "1.4 does not fit in int16"),
        ({"address": "hr:1", "type": "int16"}, "1", "'1' is no number"),
        ({"address": "co:1"}, 2, "2 is neither true nor false"),
        ({"address": "hr:1.3-4"}, 4, "4 does not fit in 2 bits"),
        ({"address": "hr:1", "type": "string", "length": 4}, 4, "4 is no text"),
        ({"address": "hr:1", "type": "string", "length": 250}, "x", "more than one request can write, 123"),
    ],
)
def test_a_value_that_cannot_be_written_is_refused_before_anything_is_sent(
    options: dict[str, Any], value: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        written(options, value)


async def test_a_write_goes_before_the_requests_of_a_scan_that_wait() -> None:
    async with RawDevice(lambda request: b"") as raw:
        device = make_device(words(0, 10, 20), port=raw.port, max_gap=0)
        async with connected(device) as driver:
            reading = asyncio.create_task(driver.read(device.tags))
            await raw.wait_for_requests(1)
            raw.answer = lambda request: request if request[7] == 6 else registers(request)
            writing = asyncio.create_task(driver.write(device.tags[1], 5))
            await asyncio.sleep(0)
            raw.send(registers(raw.requests[0]))
            await writing
            await reading
            assert [request[7] for request in raw.requests] == [3, 6, 3, 3]


@pytest.mark.parametrize("code", [1, 2, 3, 4])
async def test_a_write_that_the_device_refuses_fails_with_its_reason(code: int) -> None:
    async with RawDevice(lambda request: exception(request, code)) as raw:
        device = make_device(words(0), port=raw.port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match=rf"unit 1: .*exception {code}"):
                await driver.write(device.tags[0], 1)


async def test_a_write_without_answer_is_not_repeated_and_says_that_it_may_have_happened() -> None:
    async with RawDevice(lambda request: b"") as raw:
        device = make_device(words(0), port=raw.port, request_timeout="50ms", retries=3)
        async with connected(device) as driver:
            with pytest.raises(TimeoutError, match="it may have been written"):
                await driver.write(device.tags[0], 1)
            await raw.wait_for_requests(1)
            assert len(raw.requests) == 1


async def test_a_bit_of_a_device_without_masks_is_written_with_its_register() -> None:
    words_of_device = {7: 0b1010}

    def answer(request: bytes) -> bytes:
        function, at, value = struct.unpack(">BHH", request[7:])
        if function == 6:
            words_of_device[at] = value
            return request
        return registers(request, words_of_device.__getitem__)

    async with RawDevice(answer) as raw:
        device = make_device({"bit": "hr:7.2"}, port=raw.port, bit_writes="read-modify-write")
        async with connected(device) as driver:
            await driver.write(device.tags[0], True)
            assert words_of_device == {7: 0b1110}
            await driver.write(device.tags[0], 0)
            assert words_of_device == {7: 0b1010}


async def test_writes_reach_units_on_a_serial_line(libmodbus: Callable[..., list[Any]]) -> None:
    (path,) = libmodbus("--serial", "--units", "4", "--period", "3600")
    tags = {"speed": {"address": f"hr:{KEPT}", "type": "float32", "order": "CDAB"}, "on": f"co:{KEPT}"}
    device = make_device(tags, host="", transport="rtu", serial=path, unit=4, request_timeout="20s")
    async with connected(device) as driver:
        await driver.write(device.tags[0], 12.5)
        await driver.write(device.tags[1], True)
        assert await read(driver, device) == [12.5, 1]


async def read(driver: Modbus, device: Device) -> list[float]:
    values = await driver.read(device.tags)
    assert not isinstance(values, Readings)
    return list(values)  # type: ignore[arg-type]


def test_a_device_that_answers_for_another_unit_may_also_confirm_writes_so() -> None:
    request: ModbusRequest = write_of(
        ModbusTag(address="hr:1", type="int16"), PLC.model_copy(update={"any_unit": True}), 1
    )
    assert request.any_unit
