"""The driver against libmodbus in another process, with pymodbus to write what it shall read."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from gateway.plugin import Readings, quality
from plugins.modbus.driver import Modbus
from plugins.modbus.tests.fakes import connected, floats, make_device, words

Start = Callable[..., list[int]]
KEPT = 1000
"""First of the server's registers and coils that keep what is written."""


async def test_what_pymodbus_wrote_is_read_in_every_type_and_word_order(libmodbus: Start) -> None:
    (port,) = libmodbus()
    values: dict[str, Any] = {
        "int16": -12345, "uint16": 54321, "int32": -1234567890, "uint32": 4000000000, "float32": 1.25e-3,
        "int64": -(2**60) - 1, "uint64": 2**64 - 2, "float64": -1.1e300,
    }  # fmt: skip
    tags: dict[str, Any] = {}
    expected = []
    async with AsyncModbusTcpClient("127.0.0.1", port=port) as client:
        at = KEPT
        for type_ in values:
            for order, word_order in (("ABCD", "big"), ("CDAB", "little")):
                if type_ in ("int16", "uint16"):
                    order = "AB"
                kind = client.DATATYPE[type_.upper()]
                written = client.convert_to_registers(values[type_], kind, word_order)
                await client.write_registers(at, written, device_id=1)
                tags[f"{type_}_{word_order}"] = {"address": f"hr:{at}", "type": type_, "order": order}
                expected.append(values[type_])
                at += len(written)
        await client.write_coils(KEPT, [True, False, True], device_id=1)
    tags |= {f"c{n}": f"co:{KEPT + n}" for n in range(3)} | {f"b{n}": f"hr:{KEPT}.{n}" for n in range(16)}
    expected += [1, 0, 1, *(-12345 >> n & 1 for n in range(16))]
    device = make_device(tags, port=port)
    async with connected(device) as driver:
        readings = await driver.read(device.tags)
    assert isinstance(readings, Readings)
    assert (readings.quality == quality.GOOD).all()
    found = [readings.exact.get(row, value) for row, value in enumerate(readings.value.tolist())]
    assert found == [pytest.approx(value, rel=1e-7) if isinstance(value, float) else value for value in expected]


async def test_all_areas_are_read_and_follow_the_device(libmodbus: Start) -> None:
    (port,) = libmodbus("--period", "0.05")
    counter = {"address": "30001", "type": "uint32"}
    device = make_device(floats(50) | {"counter": counter, "coil": "00001", "input": "10001"}, port=port)
    async with connected(device) as driver:
        seen = set()
        while len(seen) < 3:
            before, values = [list(await driver.read(device.tags)) for _ in range(2)]  # type: ignore[arg-type]
            if before != values:  # the device went on between two requests of one scan
                continue
            seen.add(values[50])
            assert [value - values[0] for value in values[:50]] == [n / 64 for n in range(50)]
            assert values[51] + values[52] == 1


async def test_a_hole_in_a_real_device_is_found_and_the_rest_read(
    libmodbus: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = libmodbus("--hole", "hr:20-21")
    device = make_device(words(*range(100)), port=port)
    async with connected(device) as driver:
        for _ in range(2):
            readings = await driver.read(device.tags)
            assert isinstance(readings, Readings)
            assert readings.quality.nonzero()[0].tolist() == [20, 21]
    said = [line for line in capsys.readouterr().out.splitlines() if "refuses addresses" in line]
    assert len(said) == 1
    assert "40021, 40022" in said[0]
    assert "illegal data address" in said[0]


async def test_units_behind_one_gateway_share_a_connection(libmodbus: Start) -> None:
    (port,) = libmodbus("--units", "3,4", "--silent", "4")
    alive, silent = (make_device(words(0), name=f"unit-{unit}", port=port, unit=unit) for unit in (3, 4))
    assert Modbus.line_key(alive.config) == Modbus.line_key(silent.config)
    async with connected(alive, silent) as driver:
        for _ in range(2):
            reading = asyncio.create_task(driver.read(silent.tags))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert len(await driver.read(alive.tags)) == 1
