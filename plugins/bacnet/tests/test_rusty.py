"""The same against a second stack that nobody here wrote: rusty-bacnet. It makes segments, is a BBMD, and is strict."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.plugin import DeviceError, RefusedError, quality
from gateway.testing import FakeLineHost, eventually
from plugins.bacnet.driver import Bacnet
from plugins.bacnet.tests.plant import by_name, connected, free_udp_port, make_device, qualities

rusty = pytest.importorskip("rusty_bacnet", reason="the judge is missing: pip install rusty-bacnet")
INSTANCE = 1234


@asynccontextmanager
async def device(objects: int = 20, **options: Any) -> AsyncIterator[tuple[Any, int]]:
    """A server with that many analog inputs and one of each kind that can be commanded; and its port."""
    port = free_udp_port()
    server = rusty.BACnetServer(INSTANCE, "Rusty", interface="127.0.0.1", port=port, **options)
    for n in range(1, objects + 1):
        server.add_analog_input(n, f"Room pressure {n}", 53, float(n))
    server.add_analog_value(1, "Setpoint", 62)
    server.add_binary_value(1, "Enable")
    server.add_multistate_value(1, "Mode", 3)
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop()


async def read(driver: Bacnet) -> dict[str, Any]:
    return by_name(await driver.read(driver.devices[0].tags))


async def test_a_hundred_values_and_what_the_device_tells_of_them() -> None:
    tags: dict[str, Any] = {f"p{n}": f"AI:{n}" for n in range(1, 101)}
    async with (
        device(100) as (_, port),
        connected(make_device(tags | {"missing": "AI:4000", "odd": "AI:1/setpoint"}, port)) as driver,
    ):
        found = {tag.name: what for tag, what in (await driver.describe()).items()}
        assert (found["p7"].type, found["p7"].unit, found["p7"].description) == ("float32", "Pa", "Room pressure 7")
        readings = await driver.read(driver.devices[0].tags)
        assert by_name(readings) == {f"p{n}": float(n) for n in range(1, 101)} | {"missing": None, "odd": None}
        assert {name for name, code in qualities(readings).items() if code} == {"missing", "odd"}
        assert qualities(readings)["missing"] == quality.BAD_NODE_ID_UNKNOWN
        assert driver.facts["read_by"] == "ReadPropertyMultiple"


async def test_it_writes_at_a_priority_and_takes_commands_back() -> None:
    tags: dict[str, Any] = {
        "set": {"address": "AV:1", "priority": 10},
        "held": {"address": "AV:1", "commanded": True, "priority": 10},
        "all": "AV:1/priority-array",
        "on": {"address": "BV:1"},
        "mode": {"address": "MSV:1"},
        "input": "AI:3",
    }
    async with device() as (_, port), connected(make_device(tags, port)) as driver:
        tag = {each.name: each for each in driver.devices[0].tags}
        before = await read(driver)
        assert before["held"] == 0.0 and before["all"] == [None] * 16
        for name, value in (("set", 21.5), ("on", True), ("mode", 3)):
            await driver.write(tag[name], value)
        after = await read(driver)
        assert (after["set"], after["held"], after["on"], after["mode"]) == (21.5, 1.0, 1.0, 3.0)
        assert after["all"][9] == 21.5
        await driver.write(tag["held"], False)
        assert (await read(driver)) == before | {"on": 1.0, "mode": 3.0}
        with pytest.raises(DeviceError, match="writing is not allowed"):
            await driver.write(tag["input"], 1.0)
        with pytest.raises(DeviceError, match="out of the range"):
            await driver.write(tag["mode"], 7)


async def test_answers_in_segments_are_put_together() -> None:
    async with (
        device(800, segmentation_supported=rusty.Segmentation.BOTH) as (_, port),
        connected(make_device({"list": "device:1234/object-list"}, port)) as driver,
    ):
        found = (await read(driver))["list"]
        assert len(found) == 804 and found[8] == "AI:8"


async def test_a_list_that_the_device_cannot_send_at_once_is_read_by_index() -> None:
    async with (
        device(800) as (_, port),
        connected(
            make_device({"list": "device:1234/object-list", "first": "device:1234/object-list[2]"}, port)
        ) as driver,
    ):
        readings = await driver.read(driver.devices[0].tags)
        assert by_name(readings) == {"list": None, "first": "AI:1"}
        assert qualities(readings)["list"] == quality.BAD_NOT_SUPPORTED
        assert "larger than the device can send at once" in driver.remarks[0]
        found = [address async for address, _ in driver.browse()]
        assert len(found) == 803 and "AI:800" in found


@pytest.mark.parametrize("cov", ["unconfirmed", "confirmed"])
async def test_changes_come_between_two_scans(cov: str) -> None:
    host = FakeLineHost()
    async with device() as (server, port), connected(make_device({"a": "AI:3"}, port, cov=cov), host) as driver:
        assert await read(driver) == {"a": 3.0}
        await server.set_present_value_local(
            rusty.ObjectIdentifier(rusty.ObjectType.ANALOG_INPUT, 3), rusty.PropertyValue.real(77.5)
        )
        await eventually(lambda: {"a": 77.5} in [by_name(each) for each in host.brought])
        assert await read(driver) == {"a": 77.5}
        assert list(driver.remarks) == []


async def test_it_registers_as_a_foreign_device_and_finds_the_device_through_the_bbmd() -> None:
    async with device(bbmd=rusty.Bbmd([], accept_foreign_devices=True)) as (_, port):
        options = {"host": None, "bbmd": {"host": "127.0.0.1", "port": port}, "local_host": "127.0.0.1"}
        async with connected(make_device({"a": "AI:3"}, port, **options)) as driver:
            assert driver.facts["address"] == f"127.0.0.1:{port}"
            assert await read(driver) == {"a": 3.0}
            (until,) = driver._port.registered.values()
            assert until > asyncio.get_running_loop().time() + 200


async def test_a_bbmd_that_takes_no_foreign_devices_is_told() -> None:
    async with device(bbmd=rusty.Bbmd([])) as (_, port):
        options = {"host": None, "bbmd": {"host": "127.0.0.1", "port": port}, "local_host": "127.0.0.1"}
        with pytest.raises(RefusedError, match="let it take foreign devices"):
            await Bacnet([make_device({"a": "AI:3"}, port, **options)]).connect()
