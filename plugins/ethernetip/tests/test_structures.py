"""Structures of a Logix controller, its list of tags, and devices that are found."""

import struct
from typing import Any

import pytest

from gateway.plugin import DeviceError, Search
from plugins.ethernetip.driver import EthernetIp
from plugins.ethernetip.tests.fakes import RECIPE, SHORT, STRING, FakePlc, FakeStructure, tag
from plugins.ethernetip.tests.simulated import connected, make_device, read_all


def step(temp: float, name: bytes, bits: int = 1) -> bytes:
    """Bytes of a Step."""
    counts = struct.pack("<3h", 1, -2, 3)
    return bytes([bits, 0, 0, 0]) + struct.pack("<f", temp) + counts + b"\0\0" + struct.pack("<I20s", len(name), name)


def recipe() -> bytes:
    """Bytes of a Recipe."""
    head = struct.pack("<ifQ", 7, 1.5, 1 << 37)
    return head + step(20.5, b"HEAT") + step(80.5, b"HOLD", 2) + step(4.5, b"") + struct.pack("<q", -(1 << 60) - 1)


def plc(**options: Any) -> FakePlc:
    """A controller with a Recipe."""
    tags = {
        "Recipe": tag(RECIPE, recipe()),
        "Program:Main.Recipes": tag(RECIPE, recipe() * 2, 2),
        "Program:Main.Speed": tag(0xCA, struct.pack("<f", 2.5)),
        "Lot": tag(STRING, b"\5\0\0\0LOT-7"),
        "Short": tag(SHORT, b"\2\0\0\0AB"),
        "Flags": tag(0xD3, b"\1", 2),
    }
    return FakePlc(tags, **options)


MEMBERS = {
    "Recipe.Number": 7, "Recipe.Speed": 1.5, "Recipe.Flags[37]": 1, "Recipe.Flags[36]": 0, "Recipe.Last": -(1 << 60) - 1,
    "Recipe.Steps[1].Done": 0, "Recipe.Steps[1].Hold": 1, "Recipe.Steps[1].Temp": 80.5, "Recipe.Steps[1].Counts[1]": -2,
    "Recipe.Steps[1].Counts[0..2]": [1, -2, 3], "Recipe.Steps[1].Name": "HOLD", "Recipe.Number.0": 1,
    "Program:Main.Recipes[1].Steps[0].Name": "HEAT", "Short": "AB", "Lot": "LOT-7",
    "Recipe.Steps[3].Temp": None, "Recipe.Nothing": None, "Recipe.Flags[64]": None, "Recipe.Steps[1].Counts[3]": None,
    "Recipe.Steps[1].Counts[1..3]": None,
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"message_size": 500}, {"connected": False}], ids=str)
async def test_members_are_read_whole_or_one_by_one(options: dict[str, Any]) -> None:
    async with plc().serve() as port:
        device = make_device({f"t{n}": address for n, address in enumerate(MEMBERS)}, port, **options)
        async with connected(device) as driver:
            for _ in range(2):
                found = dict(zip(MEMBERS, (await read_all(driver, device)).values(), strict=True))
                assert found == MEMBERS


async def test_members_that_are_asked_for_together_are_one_question() -> None:
    controller = plc()
    async with controller.serve() as port:
        tags = {"n": "Recipe.Number", "s": "Recipe.Speed", "f": "Recipe.Flags[37]", "l": "Recipe.Last", "x": "Short"}
        device = make_device(tags, port)
        async with connected(device) as driver:
            await driver.read(device.tags)
            controller.asked.clear()
            wanted = {"n": 7, "s": 1.5, "f": 1, "l": -(1 << 60) - 1, "x": "AB"}
            assert await read_all(driver, device) == wanted
            assert controller.asked[0].count(b"\x4c") == 2
            controller.tags["Recipe"].data[0] = 9
            assert (await read_all(driver, device))["n"] == 9


async def test_a_structure_that_a_download_changed_is_not_read_by_its_old_shape() -> None:
    controller = plc()
    async with controller.serve() as port:
        tags = {"n": "Recipe.Number", "s": "Recipe.Speed", "l": "Recipe.Last", "x": "Short"}
        device = make_device(tags, port)
        async with connected(device) as driver:
            assert (await read_all(driver, device))["s"] == 1.5
            # the same names, at other places
            members = (
                ("Speed", 0xCA, None, 0, None),
                ("Number", 0xC4, None, 4, None),
                ("Last", 0xC5, None, 8, None),
            )
            other = FakeStructure(0x124, "Recipe", 0xF00E, 16, members)
            controller.tags["Recipe"] = tag(other, struct.pack("<fiq", 2.5, 8, 9))
            assert await read_all(driver, device) == {"n": None, "s": None, "l": None, "x": "AB"}
            for _ in range(2):
                assert await read_all(driver, device) == {"n": 8, "s": 2.5, "l": 9, "x": "AB"}


async def test_members_of_a_structure_that_may_not_be_read_whole_are_read_one_by_one() -> None:
    controller = plc()
    controller.refuse = lambda _: None
    answer = controller.answer

    def guarded(message: bytes, room: int) -> bytes:
        whole = message.startswith(b"\x4c\x04\x91\x06Recipe\1")
        return b"\xcc\0\x0f\0" if whole and controller.asked[-1][:1] == b"\x0a" else answer(message, room)

    async with controller.serve() as port:
        device = make_device({"n": "Recipe.Number", "s": "Recipe.Speed", "l": "Recipe.Last", "x": "Short"}, port)
        async with connected(device) as driver:
            await driver.describe()
            controller.answer = guarded  # type: ignore[method-assign]
            await driver.read(device.tags)
            assert await read_all(driver, device) == {"n": 7, "s": 1.5, "l": -(1 << 60) - 1, "x": "AB"}


async def test_a_whole_structure_comes_by_its_members_names() -> None:
    async with plc().serve() as port:
        device = make_device({"step": "Recipe.Steps[0]"}, port)
        async with connected(device) as driver:
            wanted = {"Done": True, "Hold": False, "Temp": 20.5, "Counts": [1, -2, 3], "Name": "HEAT"}
            assert await read_all(driver, device) == {"step": wanted}


async def test_a_controller_that_tells_no_structures_is_read_by_members() -> None:
    controller = plc(refuse=lambda service: (0x08, None) if service in (0x55, 0x03) else None)
    async with controller.serve() as port:
        tags: dict[str, Any] = {"n": "Recipe.Number", "s": "Recipe.Speed", "l": "Recipe.Last", "x": "Short"}
        device = make_device(tags | {"y": {"address": "Short", "type": "STRING"}}, port)
        async with connected(device) as driver:
            found = await read_all(driver, device)
            assert found == {"n": 7, "s": 1.5, "l": -(1 << 60) - 1, "x": None, "y": "AB"}
            assert any("for a string say so by its type" in remark for remark in driver.remarks)


async def test_strings_are_written_within_their_own_room() -> None:
    controller = plc()
    async with controller.serve() as port:
        device = make_device({"short": "Short", "name": "Recipe.Steps[2].Name", "whole": "Recipe"}, port)
        async with connected(device) as driver:
            await driver.write(device.tags[0], "x" * 20)
            await driver.write(device.tags[1], "COOL")
            with pytest.raises(DeviceError, match="room for 20"):
                await driver.write(device.tags[0], "x" * 21)
            with pytest.raises(DeviceError, match="a structure is not written"):
                await driver.write(device.tags[2], "x")
            found = await read_all(driver, device)
            assert (found["short"], found["name"]) == ("x" * 20, "COOL")
            assert found["whole"]["Last"] == -(1 << 60) - 1


@pytest.mark.parametrize("options", [{}, {"message_size": 500}, {"connected": False}], ids=str)
async def test_browsing_lists_tags_programs_and_members(options: dict[str, Any]) -> None:
    controller = plc()
    controller.tags |= {f"Spare{n:03}": tag(0xC4) for n in range(200)}
    async with controller.serve() as port:
        device = make_device({"a": "Short"}, port, **options)
        async with connected(device) as driver:
            found = {address: (what.type, what.description) async for address, what in driver.browse()}
    assert found["Recipe.Steps[2].Temp"] == ("float32", "REAL")
    assert found["Recipe.Steps[2].Done"] == ("bool", "BOOL")
    assert found["Recipe.Steps[2].Name"] == ("string", "STRING20")
    assert found["Recipe.Flags{64}"] == ("", "BOOL[64]")
    assert found["Program:Main.Recipes[1].Last"] == ("int64", "LINT")
    assert found["Program:Main.Speed"] == ("float32", "REAL")
    assert found["Lot"] == ("string", "ASCIISTRING82")
    assert found["Spare199"] == ("int32", "DINT")
    assert not any("ZZZ" in address or "__" in address or address == "Program:Main" for address in found)
    addresses = [address for address in found if address]
    async with plc().serve() as port:  # each is an address that can be read
        device = make_device({f"t{n}": address for n, address in enumerate(addresses) if "Spare" not in address}, port)
        async with connected(device) as driver:
            assert None not in (await read_all(driver, device)).values()


async def test_what_has_no_list_of_tags_says_so() -> None:
    drive = FakePlc(name="PowerFlex 525", device_type=2, route=b"")
    drive.refuse = lambda service: (0x08, None) if service == 0x55 else None
    async with drive.serve() as port:
        device = make_device({"a": {"address": "@1/1/7", "type": "SHORT_STRING"}}, port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == {"a": "PowerFlex 525"}
            found = [(address, what.description) async for address, what in driver.browse()]
            assert [address for address, _ in found] == ["@1/1/7", ""]
            assert "lists no tags" in found[1][1]


async def test_devices_say_what_they_are() -> None:
    async def turn() -> None:
        pass

    async with plc().serve() as port:
        found = [each async for each in EthernetIp.discover(Search(turn, "127.0.0.1", ports=[port]))]
    assert [(each.name, each.options) for each in found] == [("1756-L85E/B", {"host": "127.0.0.1", "port": port})]
    assert "controller" in found[0].about[0]
