"""Every kind of line, against servers that are not our code."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.plugin import Device, DeviceError, LinkError, Readings, RefusedError, Tags
from gateway.testing import eventually
from plugins.modbus.driver import Modbus
from plugins.modbus.tests.fakes import RawDevice, connected, make_device, words
from plugins.modbus.tests.peers import SerialLine, pymodbus
from tests.peers.ports import free_port

KINDS = {"tcp": "tcp", "tls": "tcp", "udp": "udp", "rtu": "rtu-over-tcp", "ascii": "ascii-over-tcp"}
TAGS: dict[str, Any] = words(0, 1, 30) | {"on": "co:2", "off": "co:3"}
"""What `unit(1)` holds in these: 100, 101, 130, on, off."""


async def values(driver: Modbus, device: Device) -> list[float]:
    found = await driver.read(device.tags)
    assert not isinstance(found, Readings)
    return list(found)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_network_line_is_read(kind: str, tmp_path: Path) -> None:
    async with pymodbus(kind, (1, 2), tmp_path) as port:
        tls = {"tls": {"ca": str(tmp_path / "plant-ca.pem")}} if kind == "tls" else {}
        one, two = (
            make_device(TAGS, name=f"unit-{unit}", unit=unit, port=port, transport=KINDS[kind], **tls)
            for unit in (1, 2)
        )
        async with connected(one, two) as driver:
            for _ in range(3):
                assert await values(driver, one) == [100, 101, 130, 1, 0]
                assert await values(driver, two) == [200, 201, 230, 1, 0]


async def test_a_device_whose_certificate_nobody_vouches_for_is_not_spoken_to(tmp_path: Path) -> None:
    async with pymodbus("tls", folder=tmp_path) as port:
        with pytest.raises(RefusedError, match="the far side's certificate comes from an unknown authority"):
            await Modbus([make_device(TAGS, port=port, tls=True)]).connect()


async def test_a_device_that_speaks_no_tls_is_told_so() -> None:
    async with RawDevice(lambda request: b"what is this?") as raw:
        with pytest.raises(RefusedError, match="speak TLS"):
            await Modbus([make_device(TAGS, port=raw.port, tls=True)]).connect()


async def test_by_udp_nobody_there_is_an_error_and_not_silence() -> None:
    device = make_device(TAGS, port=free_port(), transport="udp", timeout="20s")
    async with connected(device) as driver:
        with pytest.raises(LinkError, match="refused"):
            await driver.read(device.tags)


async def test_a_serial_line_speaks_rtu_with_libmodbus(libmodbus: Callable[..., list[Any]]) -> None:
    (path,) = libmodbus("--serial", "--units", "7", "--hole", "hr:20-21", "--period", "3600")
    tags = words(*range(10, 30)) | {"coil": "co:0"}
    device = make_device(tags, host="", transport="rtu", serial=path, unit=7, **PATIENT)
    async with connected(device) as driver:
        for _ in range(2):
            readings = await driver.read(device.tags)
            assert isinstance(readings, Readings)
            assert readings.quality.nonzero()[0].tolist() == [10, 11]
            assert readings.value[20] == 1


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
async def test_units_on_a_serial_line_are_read_in_turn_and_a_dead_one_holds_nobody_up(kind: str) -> None:
    async with pymodbus(kind, (1, 2)) as port, SerialLine().to(port) as line:
        units = [on(line, unit, transport=kind, **PATIENT) for unit in (1, 2)]
        units.append(on(line, 9, transport=kind, **PATIENT | {"request_timeout": "200ms"}))
        line.silent = {9}
        async with connected(*units) as driver:
            for _ in range(3):
                assert await values(driver, units[0]) == [100, 101, 130, 1, 0]
                with pytest.raises(TimeoutError, match="unit 9: no answer within"):
                    await driver.read(units[2].tags)
                assert await values(driver, units[1]) == [200, 201, 230, 1, 0]


def on(line: SerialLine, unit: int = 1, **options: Any) -> Device:
    return make_device(
        TAGS, name=f"unit-{unit}", **{"host": "", "transport": "rtu", "serial": line.path, "unit": unit} | options
    )


async def test_a_damaged_answer_on_a_serial_line_is_asked_for_again() -> None:
    async with pymodbus("rtu") as port, SerialLine().to(port) as line:
        device = on(line, request_timeout="20s", retries=10)
        async with connected(device) as driver:
            line.noise = b"\0"
            assert await values(driver, device) == [100, 101, 130, 1, 0]
            assert driver.counts["damaged"] == driver.counts["retries"] >= 1


async def test_a_lost_answer_on_a_serial_line_is_asked_for_again() -> None:
    async with pymodbus("rtu") as port, SerialLine().to(port) as line:
        device = on(line, request_timeout="1s", retries=10, timeout="60s")
        async with connected(device) as driver:
            line.lost = 1
            assert await values(driver, device) == [100, 101, 130, 1, 0]
            assert driver.counts["retries"] >= 1


async def test_answers_that_stay_damaged_count_against_the_device(libmodbus: Callable[..., list[Any]]) -> None:
    async with pymodbus("rtu") as port, SerialLine().to(port) as line:
        device = on(line, **PATIENT)
        async with connected(device) as driver:
            line.noise = b"\xff"
            with pytest.raises(DeviceError, match="look at wiring, termination, baud and parity"):
                await driver.read(device.tags)
            assert await values(driver, device) == [100, 101, 130, 1, 0]


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
async def test_a_late_answer_on_an_unnumbered_line_is_never_taken_for_another_ones(kind: str) -> None:
    async with pymodbus(kind, (1, 2)) as port, SerialLine().to(port) as line:
        device, other = (on(line, unit, transport=kind, **PATIENT) for unit in (1, 2))
        early, late = Tags(device.name, device.tags[:1]), Tags(device.name, device.tags[1:2])
        async with connected(device, other) as driver:
            line.hold()
            await given_up(driver, early, line)
            reading = asyncio.create_task(driver.read(late))
            await eventually(lambda: line.requests >= 2, 20)
            line.release()
            assert list(await reading) == [101]  # type: ignore[arg-type]
            assert await values(driver, other) == [200, 201, 230, 1, 0]
            assert driver.counts["late"] == 1


async def test_an_answer_that_comes_while_another_unit_is_asked_is_thrown_away() -> None:
    async with pymodbus("rtu", (1, 2)) as port, SerialLine().to(port) as line:
        device, other = (on(line, unit, **PATIENT) for unit in (1, 2))
        async with connected(device, other) as driver:
            line.hold()
            await given_up(driver, device.tags, line)
            reading = asyncio.create_task(values(driver, other))
            await eventually(lambda: line.requests >= 2, 20)
            line.release()
            assert await reading == [200, 201, 230, 1, 0]
            assert await values(driver, device) == [100, 101, 130, 1, 0]


PATIENT = {"request_timeout": "20s", "retries": 0}


async def given_up(driver: Modbus, tags: Tags, line: SerialLine) -> None:
    """Ask, and give up while the answer is still out."""
    asked = line.requests
    reading = asyncio.create_task(driver.read(tags))
    await eventually(lambda: line.requests > asked, 20)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_port_that_is_not_there_says_what_to_look_at(tmp_path: Path) -> None:
    device = make_device(TAGS, host="", transport="rtu", serial=str(tmp_path / "ttyUSB0"))
    with pytest.raises(LinkError, match=r"cannot open .*ttyUSB0: No such file or directory; is the adapter plugged in"):
        await Modbus([device]).connect()


async def test_a_port_that_another_program_uses_is_left_alone() -> None:
    async with pymodbus("rtu") as port, SerialLine().to(port) as line:
        device = on(line)
        async with connected(device):
            with pytest.raises(LinkError, match="another program uses it"):
                await Modbus([device]).connect()


async def test_a_serial_port_that_is_pulled_out_ends_the_line() -> None:
    async with pymodbus("rtu") as port:
        async with SerialLine().to(port) as line:
            device = on(line, timeout="20s", request_timeout="20s")
            driver = Modbus([device])
            await driver.connect()
            line.lost = 1
            reading = asyncio.create_task(driver.read(device.tags))
            await eventually(lambda: line.requests > 0, 20)
        with pytest.raises(LinkError, match=r"connection lost|closed"):
            await reading
        await driver.close()


async def test_switching_rs485_on_a_port_that_cannot_is_said() -> None:
    async with pymodbus("rtu") as port, SerialLine().to(port) as line:
        with pytest.raises(LinkError, match="does it take these settings"):
            await Modbus([on(line, rs485=True)]).connect()


async def test_the_silence_that_a_device_wants_is_kept() -> None:
    async with pymodbus("tcp") as port:
        device = make_device(words(0, 40), port=port, max_gap=0, pause="150ms")
        async with connected(device) as driver:
            begin = asyncio.get_running_loop().time()
            assert await values(driver, device) == [100, 140]
            assert asyncio.get_running_loop().time() - begin > 0.149
