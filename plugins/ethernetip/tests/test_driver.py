"""Reading and writing by a controller: cpppo's, which is not ours, and one of our own for what that one has not."""

import asyncio
import struct
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.plugin import DeviceError, LinkError, RefusedError, quality
from plugins.ethernetip.tests.fakes import FakePlc, tag
from plugins.ethernetip.tests.simulated import connected, cpppo, make_device, read_all

CPPPO = (
    "Bool=BOOL", "Sint=SINT", "Int=INT", "Dint=DINT", "Lint=LINT", "Usint=USINT", "Uint=UINT", "Udint=UDINT", "Real=REAL",
    "Lreal=LREAL", "Text=SSTRING", "Many=DINT[3000]", "Few=REAL[10]",
)  # fmt: skip
VALUES = {
    "Bool": 1, "Sint": -7, "Int": -700, "Dint": -70000, "Lint": -(1 << 60) - 1, "Usint": 200, "Uint": 60000,
    "Udint": 4_000_000_000, "Real": 1.5, "Lreal": -2.25, "Text": "LOT-7", "Many[2999]": 77, "Few[3]": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("connection", [{}, {"message_size": 500}, {"connected": False}], ids=str)
async def test_cpppos_controller_takes_and_gives_every_type(connection: dict[str, Any]) -> None:
    async with cpppo(*CPPPO) as port:
        names = {name.replace("[", "_").rstrip("]"): name for name in VALUES}
        lists = {"few": "Few[2..4]", "many": "Many{3000}", "bit": "Int.2", "missing": "Nothing", "behind": "Few[10]"}
        if "connected" in connection:  # there cpppo hangs up over what it does not have
            lists |= {"missing": "Few[2..3]", "behind": "Few[9]"}
        device = make_device(names | lists, port, **connection)
        async with connected(device) as driver:
            for each in device.tags[: len(names)]:
                await driver.write(each, VALUES[each.config.address])
            found = await read_all(driver, device)
            assert {name: found[short] for short, name in names.items()} == VALUES
            assert found["few"] == [0.0, 0.5, 0.0]
            assert found["many"] == [0] * 2999 + [77]
            absent = ([0.0, 0.5], 0.0) if "connected" in connection else (None, None)
            assert (found["bit"], found["missing"], found["behind"]) == (True, *absent)
            told = {each.name: what.type for each, what in (await driver.describe()).items()}
            assert (told["Real"], told["Lint"], told["Text"]) == ("float32", "int64", "string")


def words() -> dict[str, Any]:
    return {f"Word{n}": tag(0xC3, struct.pack("<h", n)) for n in range(200)}


async def test_many_tags_go_in_few_messages() -> None:
    plc = FakePlc(words())
    async with plc.serve() as port:
        device = make_device({name.lower(): name for name in plc.tags}, port)
        async with connected(device) as driver:
            await driver.read(device.tags)
            plc.asked.clear()
            assert list((await read_all(driver, device)).values()) == list(range(200))
            assert len(plc.asked) == 1


@pytest.mark.parametrize(
    ("largest", "left", "said"),
    [(500, 9, None), (0, 9, "does not have this service"), (4000, 0, "no connection left")],
)
async def test_smaller_connections_or_none_are_borne(largest: int, left: int, said: str | None) -> None:
    plc = FakePlc(words(), largest=largest, left=left)
    async with plc.serve() as port:
        device = make_device({name.lower(): name for name in plc.tags}, port)
        async with connected(device) as driver:
            assert list((await read_all(driver, device)).values()) == list(range(200))
            assert [said in remark for remark in driver.remarks] == [True] if said else not driver.remarks


async def test_a_device_that_bears_less_than_its_connection_is_asked_for_less_at_once() -> None:
    plc = FakePlc(words() | {"Long": tag(0xC4, struct.pack("<200i", *range(200)), 200)}, most=300)
    async with plc.serve() as port:
        device = make_device({name.lower(): name for name in words()} | {"long": "Long{200}"}, port)
        async with connected(device) as driver:
            for _ in range(20):
                found = await read_all(driver, device)
                if None not in found.values():
                    break
            assert found.pop("long") == list(range(200))
            assert list(found.values()) == list(range(200))
            plc.asked.clear()
            await driver.read(device.tags)
            assert len(plc.asked) < 30


async def test_missing_tags_are_looked_up_together() -> None:
    plc = FakePlc(words())
    async with plc.serve() as port:
        device = make_device({"a": "Word1"} | {f"m{n}": f"Missing{n}" for n in range(300)}, port)
        async with connected(device) as driver:
            assert (await read_all(driver, device))["a"] == 1
            assert len(plc.asked) < 8


async def test_a_connection_is_given_back() -> None:
    plc = FakePlc(words(), left=1)
    async with plc.serve() as port:
        device = make_device({"a": "Word1"}, port)
        for _ in range(3):
            async with connected(device) as driver:
                assert not driver.remarks
                assert await read_all(driver, device) == {"a": 1}
        assert plc.left == 1


async def test_a_wrong_slot_is_refused_with_what_to_change() -> None:
    async with FakePlc(words()).serve() as port:
        with pytest.raises(RefusedError, match=r"compare route or slot with the chassis .*0312"):
            async with connected(make_device({"a": "Word1"}, port, slot=3)):
                pass
        device = make_device({"a": "Word1"}, port, slot=3, connected=False)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match="compare route or slot"):
                await driver.read(device.tags)


async def test_small_controllers_and_drives_are_asked_directly() -> None:
    for name, kind in [("2080-LC50-48QBB", 0x0E), ("1766-L32BWA", 0x0E), ("PowerFlex 525", 0x02)]:
        plc = FakePlc(words(), name=name, device_type=kind, route=b"")
        async with plc.serve() as port:
            device = make_device({"a": "Word1"}, port)
            async with connected(device) as driver:
                assert await read_all(driver, device) == {"a": 1}
                assert driver.facts["product"] == name


async def test_what_is_no_ethernet_ip_is_said_so() -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(http, "127.0.0.1", 0) as server:
        with pytest.raises(LinkError, match="no EtherNet/IP; is this port 44818"):
            async with connected(make_device({"a": "Word1"}, server.sockets[0].getsockname()[1])):
                pass


async def test_a_tag_that_a_download_deletes_or_changes_costs_itself() -> None:
    plc = FakePlc(words())
    async with plc.serve() as port:
        tags = {"a": "Word1", "b": {"address": "Word2", "type": "INT"}, "c": "Word3"}
        device = make_device(tags, port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == {"a": 1, "b": 2, "c": 3}
            del plc.tags["Word1"]
            plc.tags["Word2"] = tag(0xCA, struct.pack("<f", 1.5))
            with capture_logs() as logs:
                assert await read_all(driver, device) == {"a": None, "b": None, "c": 3}
                assert await read_all(driver, device) == {"a": None, "b": None, "c": 3}
            reasons = {log["tags"]: log["reason"] for log in logs}
            assert "deleted by a download" in reasons["a"]
            assert reasons["b"] == "the controller has REAL there, and the file says INT"
            plc.tags |= words()
            driver._plans[device.tags].looked = -100.0
            assert await read_all(driver, device) == {"a": 1, "b": 2, "c": 3}


async def test_another_type_where_the_file_leaves_it_open_has_the_line_dialled_anew_once() -> None:
    plc = FakePlc(words())
    async with plc.serve() as port:
        device = make_device({"a": "Word1", "b": "Word2"}, port)
        described = make_device({"a": "Word1", "b": "Word2"}, port)
        async with connected(device) as driver:
            for each, what in (await driver.describe()).items():
                object.__setattr__(each, "type", what.type)
            await driver.read(device.tags)
            plc.tags["Word2"] = tag(0xCA, struct.pack("<f", 1.5))
            assert await read_all(driver, device) == {"a": 1, "b": None}
            with pytest.raises(LinkError, match=r"types were changed by a download.*: b"):
                await driver.read(device.tags)
            assert await read_all(driver, device) == {"a": 1, "b": None}
            plc.tags["Word2"] = tag(0xC4, struct.pack("<i", 7))
            driver._plans[device.tags].looked = -100.0
            with pytest.raises(LinkError, match="types were changed by a download"):
                await driver.read(device.tags)
            plc.tags["Word2"] = tag(0xCA, struct.pack("<f", 1.5))
        async with connected(described) as driver:
            assert await read_all(driver, described) == {"a": 1, "b": 1.5}


@pytest.mark.parametrize(("access", "reason"), [("none", "External Access"), ("read only", "External Access")])
async def test_external_access_is_named(access: str, reason: str) -> None:
    plc = FakePlc(words())
    plc.tags["Word1"].access = access
    async with plc.serve() as port:
        device = make_device({"a": "Word1", "b": "Word2"}, port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == {"a": 1 if access == "read only" else None, "b": 2}
            with pytest.raises(DeviceError, match=reason):
                await driver.write(device.tags[0], 5)


@pytest.mark.parametrize(
    ("given", "value", "said"),
    [
        ("Word1", 70000, "does not fit into a INT"),
        ("Word1", 1.5, "no whole number"),
        ("Word1", "x", "no number"),
        ("Word1.3", 7, "neither true nor false"),
        ("Word1{1}", 7, "lists are not written"),
        ("Nothing", 7, "no such tag"),
        ({"address": "Word1", "type": "REAL"}, 7, "has INT there, and the file says REAL"),
        ("N7:0", 70000, "does not fit into a INT"),
        ("N9:0", 7, "PCCC status 10"),
        ("ST9:0", "x" * 83, "room for 82"),
        ({"address": "@1/1/99", "type": "UINT"}, 7, "does not have this"),
        ({"address": "@1/1/99", "type": "SHORT_STRING"}, "x" * 256, "too long"),
        ({"address": "@1/1/99", "type": "SHORT_STRING"}, "한", "characters that"),
    ],
)
async def test_what_cannot_be_written_says_why(given: Any, value: Any, said: str) -> None:
    async with FakePlc(words()).serve() as port:
        device = make_device({"a": given}, port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match=said):
                await driver.write(device.tags[0], value)


async def test_data_files_of_every_kind() -> None:
    files = {
        (0x89, 7): struct.pack("<6h", 1, -2, 3, 4, 5, 6),
        (0x8A, 8): struct.pack("<2f", 1.5, -2.5),
        (0x85, 3): b"\x10\0\0\0\x08\0",
        (0x86, 4): struct.pack("<6H", 0x2000, 100, 42, 0, 0, 7),
        (0x87, 5): struct.pack("<3H", 0x8000, 9, 3),
        (0x88, 6): struct.pack("<3H", 0, 12, 4),
        (0x8D, 9): bytes(84) + struct.pack("<H", 5) + b"OL-T\0" + b"7" + bytes(76),
        (0x91, 10): struct.pack("<i", -70000),
        (0x8E, 12): b"BA",
        (0x84, 2): bytes(2) + b"\0\x80",
    }
    plc = FakePlc({}, {at: bytearray(held) for at, held in files.items()}, name="1766-L32BWA", route=b"")
    wanted = {
        "N7:0": 1, "N7:1": -2, "N7:5": 6, "N7:0/0": 1, "F8:1": -2.5, "B3:0/4": 1, "B3/35": 1, "T4:0.ACC": 42, "T4:0/DN": 1,
        "T4:1.ACC": 7, "C5:0.PRE": 9, "C5:0/CU": 1, "R6:0.POS": 4, "ST9:1": "LOT-7"[:5], "L10:0": -70000, "A12:0": "AB",
        "S:1/15": 1, "N7:0{6}": [1, -2, 3, 4, 5, 6], "N7:9": None, "N99:0": None,
    }  # fmt: skip
    async with plc.serve() as port:
        device = make_device({f"t{n}": address for n, address in enumerate(wanted)}, port)
        async with connected(device) as driver:
            for _ in range(2):
                found = dict(zip(wanted, (await read_all(driver, device)).values(), strict=True))
            assert found == wanted
            plc.asked.clear()
            await driver.read(device.tags)
            by_address = {each.config.address: each for each in device.tags}
            for address, value in {
                "N7:1": 9,
                "B3:0/4": 0,
                "F8:1": 8.5,
                "ST9:1": "NEW",
                "L10:0": 5,
                "T4:0.ACC": 1,
            }.items():
                await driver.write(by_address[address], value)
                wanted[address] = value
            wanted |= {"N7:0{6}": [1, 9, 3, 4, 5, 6]}
            found = dict(zip(wanted, (await read_all(driver, device)).values(), strict=True))
            assert found == wanted


async def test_a_value_that_is_none_is_bad_alone() -> None:
    plc = FakePlc(words() | {"Nan": tag(0xCA, struct.pack("<f", float("nan")))})
    async with plc.serve() as port:
        device = make_device({"a": "Nan", "b": "Word2"}, port)
        async with connected(device) as driver:
            readings = await driver.read(device.tags)
            assert list(readings.quality) == [quality.BAD_SENSOR_FAILURE, quality.GOOD]
