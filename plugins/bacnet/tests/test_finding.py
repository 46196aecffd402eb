"""Devices are found by Who-Is, told with what they call themselves and their first object, and nobody is no error."""

from gateway.plugin import Discovered, Search
from plugins.bacnet.driver import Bacnet
from plugins.bacnet.tests.plant import INSTANCE, Served, connected, free_udp_port, make_device


async def found(port: int, timeout: float) -> tuple[list[Discovered], int]:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1

    search = Search(turn, host="127.0.0.1", ports=(port,), timeout=timeout)
    return [each async for each in Bacnet.discover(search)], turns


async def test_a_device_is_found_with_its_names_and_an_object(plant: Served) -> None:
    (device,), turns = await found(plant.port, 4.0)
    assert device.options == {"host": "127.0.0.1", "device": INSTANCE, "port": plant.port}
    assert device.name == "AHU-1234" and list(device.about) == ["BACpypes", "Test"]
    assert device.tags == {"first": {"address": "AI:1"}}
    assert turns >= 3


async def test_nobody_is_no_error() -> None:
    assert (await found(free_udp_port(), 0.2))[0] == []


async def test_it_says_what_it_is(plant: Served) -> None:
    device = make_device({"a": "AI:1"}, plant.port)
    async with connected(device) as driver:
        assert await driver.identify(device) == "BACpypes, Test, AHU-1234"
