"""Reading and writing symbols, and programs that change meanwhile, against a PLC of our own."""

import asyncio
import struct
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.plugin import DeviceError, ForeseenError, LinkError, Readings, quality
from plugins.ads.driver import Ads
from plugins.ads.frames import SUM_READ
from plugins.ads.reading import UNCERTAIN_STOPPED
from plugins.ads.tests.fakes import BIG, DINT, INT, REAL, AdsPlc, Member, declaration, furnished
from plugins.ads.tests.simulated import connected, make_device


async def read_all(driver: Ads, device: Any) -> dict[str, Any]:
    """Value of each tag, None for a bad one."""
    values = await driver.read(device.tags)
    names = [tag.name for tag in device.tags]
    if not isinstance(values, Readings):
        return dict(zip(names, list(values), strict=True))
    found = [values.exact.get(row, value) for row, value in enumerate(values.value)]
    good = values.quality < quality.BAD
    return {name: value if fine else None for name, value, fine in zip(names, found, good, strict=True)}


MOTOR = {"bOn": True, "fSpeed": 2.5, "sName": "M1", "eState": 1, "bLow": False, "bHigh": True}
VALUES: dict[str, Any] = {
    "MAIN.nCount": -7,
    "MAIN.bRun": 1,
    "MAIN.fSpeed": 1.5,
    "MAIN.fExact": -2.25,
    "MAIN.wStatus": 0x8010,
    "MAIN.wStatus.4": 1,
    "MAIN.wStatus.5": 0,
    "MAIN.wStatus.15": 1,
    "MAIN.nLong": -(1 << 60) - 1,
    "MAIN.nHuge": (1 << 63) + 1,
    "MAIN.sLot": "LOT-7",
    "main.SLOT": "LOT-7",
    "MAIN.wsName": "µ°C",
    "MAIN.tCycle": 90_500,
    "MAIN.ltCycle": 1_000_000_001,
    "MAIN.dDay": "2026-12-01",
    "MAIN.dtThen": "2026-12-01T02:15:16",
    "MAIN.todNow": "12:34:56.789",
    "MAIN.ldtThen": "2026-11-30T00:53:20.000000001",
    "MAIN.eState": -1,
    "MAIN.sAlias": "alias",
    "GVL.Temps": [1.0, 2.0, 3.0, 4.0],
    "GVL.Temps[3]": 3.0,
    "GVL.Grid": [[0, 1, 2], [3, 4, 5]],
    "GVL.Motor": MOTOR,
    "GVL.Motor.fSpeed": 2.5,
    "GVL.Motors": [MOTOR, MOTOR],
}


@pytest.mark.parametrize("options", [{}, {"max_items": 3}, {"max_in_flight": 4}])
@pytest.mark.parametrize("sums", [True, False])
async def test_every_type_by_the_name_that_the_program_has(sums: bool, options: dict[str, Any]) -> None:
    plc = furnished()
    plc.sums = sums
    async with plc.serve() as port:
        device = make_device({f"t{n}": name for n, name in enumerate(VALUES)}, port, **options)
        async with connected(device) as driver:
            await driver.describe()
            for _ in range(2):
                assert list((await read_all(driver, device)).values()) == list(VALUES.values())
    assert plc.handles == {}, "all handles are given back"


async def test_a_scan_is_one_sum_read_and_a_look_at_the_state_now_and_then() -> None:
    plc = furnished()
    for n in range(300):
        plc.add(f"GVL.n{n}", "INT", INT, struct.pack("<h", n))
    async with plc.serve() as port:
        device = make_device({f"n{n}": f"GVL.n{n}" for n in range(300)}, port)
        async with connected(device) as driver:
            await driver.read(device.tags)
            plc.asked.clear()
            assert list((await read_all(driver, device)).values()) == list(range(300))
    assert plc.asked[0] == (9, SUM_READ)
    assert [command for command, _ in plc.asked[1:]] in ([], [4], [9], [4, 9])  # the last gives handles back


async def test_places_by_index_group_and_offset_need_no_symbols() -> None:
    plc = AdsPlc()
    plc.memory[8:12] = b"\x12\x34\x56\x78"
    async with plc.serve() as port:
        tags = {
            "word": {"address": "0x4040:8", "type": "WORD"},
            "bit": {"address": "16448:8.9", "type": "WORD"},
            "gone": {"address": "0x4041:8", "type": "INT"},
            "beyond": {"address": "0x4040:65535", "type": "INT"},
            "several": {"address": "0x4040:0x8", "type": "ARRAY [0..1] OF UINT"},
        }
        device = make_device(tags, port)
        async with connected(device) as driver:
            found = await read_all(driver, device)
    assert found == {"word": 0x3412, "bit": 0, "gone": None, "beyond": None, "several": [0x3412, 0x7856]}
    assert all(group in (0, SUM_READ) for _, group in plc.asked)


# A program that is changed


async def test_after_an_online_change_nothing_is_decoded_by_what_was_before() -> None:
    plc = furnished()
    async with plc.serve() as port:
        device = make_device({"count": "MAIN.nCount", "speed": "MAIN.fSpeed"}, port)
        async with connected(device) as driver:
            await driver.describe()
            assert await read_all(driver, device) == {"count": -7, "speed": 1.5}
            plc.add("GVL.New", "INT", INT, b"\1\0")
            plc.download("MAIN.nCount")
            plc.add("MAIN.nCount", "INT", INT, struct.pack("<h", 5))
            assert await read_all(driver, device) == {"count": 5, "speed": 1.5}


async def test_another_version_is_noticed_even_where_old_handles_still_work() -> None:
    plc = furnished()
    async with plc.serve() as port:
        device = make_device({"count": "MAIN.nCount"}, port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == {"count": -7}
            handles = dict(plc.handles)
            moved = plc.add("MAIN.nMoved", "INT", INT, struct.pack("<h", 9))
            plc.download("MAIN.nMoved")
            plc.symbols["MAIN.NCOUNT"] = moved
            moved.name = "MAIN.nCount"
            plc.handles.update(dict.fromkeys(handles, "MAIN.BRUN"))
            plc.put("MAIN.nCount", struct.pack("<h", 9))
            assert await read_all(driver, device) == {"count": 9}


async def test_handles_that_are_not_valid_are_asked_for_anew_though_the_version_is_the_same() -> None:
    plc = furnished()
    async with plc.serve() as port:
        device = make_device({"count": "MAIN.nCount", "speed": "MAIN.fSpeed"}, port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == {"count": -7, "speed": 1.5}
            plc.handles.clear()
            assert await read_all(driver, device) == {"count": -7, "speed": 1.5}


async def test_a_symbol_that_a_download_deleted_costs_its_own_tag_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plugins.ads.program.AGAIN", 0.0)
    plc = furnished()
    async with plc.serve() as port:
        device = make_device({"count": "MAIN.nCount", "speed": "MAIN.fSpeed"}, port)
        async with connected(device) as driver:
            await driver.describe()
            plc.download("MAIN.nCount")
            with capture_logs() as logs:
                assert await read_all(driver, device) == {"count": None, "speed": 1.5}
            assert any("no such symbol" in log.get("reason", "") for log in logs)
            assert any("count: the program has no such symbol" in remark for remark in driver.remarks)
            plc.add("MAIN.nCount", "INT", INT, b"\3\0")
            assert await read_all(driver, device) == {"count": 3, "speed": 1.5}


async def test_a_tag_of_another_type_ends_the_line_so_that_it_is_told_anew() -> None:
    plc = furnished()
    async with plc.serve() as port:
        device = make_device({"count": "MAIN.nCount"}, port)
        async with connected(device) as driver:
            await driver.describe()
            plc.download("MAIN.nCount")
            plc.add("MAIN.nCount", "DINT", DINT, struct.pack("<i", 70000))
            with pytest.raises(ForeseenError, match="it is int32 now in place of int16"):
                await driver.read(device.tags)
        async with connected(device) as driver:
            assert [found.type for found in (await driver.describe()).values()] == ["int32"]
            assert await read_all(driver, device) == {"count": 70000}


# What a PLC may tell wrong


async def test_what_cannot_be_decoded_costs_its_own_tag_and_says_why() -> None:
    plc = furnished()
    short = [Member("a", "INT", INT, 2, 0), Member("b", "LREAL", 5, 8, 4)]
    plc.types["ST_PACKED"] = declaration("ST_Packed", 8, short)
    plc.add("GVL.Packed", "ST_Packed", BIG, bytes(8))
    plc.types["ST_SIZE"] = declaration("ST_Size", 16, [Member("a", "INT", INT, 2, 0)])
    plc.add("GVL.Size", "ST_Size", BIG, bytes(12))
    plc.types["ST_ROUND"] = declaration("ST_Round", 4, [Member("me", "ST_Round", BIG, 4, 0)])
    plc.add("GVL.Round", "ST_Round", BIG, bytes(4))
    plc.add("GVL.Vast", "ARRAY [0..99999] OF BYTE", 17, bytes(8))
    plc.add("GVL.Odd", "T_Unknown", BIG, bytes(8))
    plc.add("GVL.Pointer", "POINTER TO INT", 19, bytes(4))
    plc.add("GVL.Nested", "ARRAY [0..0] OF " * 2000 + "INT", INT, bytes(2))
    plc.add("GVL.Bent", "ARRAY [0..1] OF REAL", REAL, bytes(9))
    plc.types["T_BROKEN"] = b"\x05\0\0\0\0"
    plc.add("GVL.Broken", "T_Broken", BIG, bytes(8))
    tags = {
        "packed": ("GVL.Packed", "member b ends beyond the 8 bytes"),
        "size": ("GVL.Size", "it has 12 bytes, and ST_Size has 16"),
        "round": ("GVL.Round", "too deep"),
        "vast": ("GVL.Vast", "name a part of it"),
        "odd": ("GVL.Odd", "does not tell what a T_Unknown is made of"),
        "pointer": ("GVL.Pointer", "name what it points to"),
        "nested": ("GVL.Nested", "too deep"),
        "bent": ("GVL.Bent", "it has 9 bytes"),
        "broken": ("GVL.Broken", "does not tell"),
        "bit": ("MAIN.wStatus.16", "has the bits .0 to .15"),
        "bit_of_real": ("MAIN.fSpeed.3", "no bits"),
        "beyond": ("GVL.Temps[9]", "bounds of arrays"),
    }
    given: dict[str, Any] = {name: address for name, (address, _) in tags.items()} | {"good": "MAIN.nCount"}
    given["said"] = {"address": "MAIN.nCount", "type": "DINT"}
    async with plc.serve() as port:
        device = make_device(given, port)
        async with connected(device) as driver:
            found = await read_all(driver, device)
            assert found.pop("good") == -7
            assert set(found.values()) == {None}
            told = driver._programs["device-1"]
            why = {tag.name: told.why(tag.config) for tag in device.tags}
            assert {name: reason in why[name] for name, (_, reason) in tags.items()} == dict.fromkeys(tags, True)
            assert "type says DINT" in why["said"]


async def test_a_plc_that_does_not_run_makes_its_values_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.ads.driver.STATE_EVERY", 0.0)
    plc = furnished()
    plc.state = 6
    async with plc.serve() as port:
        device = make_device({"count": "MAIN.nCount", "lot": "MAIN.sLot", "gone": "MAIN.gone"}, port)
        async with connected(device) as driver:
            values = await driver.read(device.tags)
            assert isinstance(values, Readings)
            assert list(values.quality) == [UNCERTAIN_STOPPED, UNCERTAIN_STOPPED, quality.BAD_NODE_ID_UNKNOWN]
            assert (values.value[0], values.exact[1]) == (-7, "LOT-7")
            assert any("does not run (stop)" in remark for remark in driver.remarks)
            plc.state = 5
            values = await driver.read(device.tags)
            assert isinstance(values, Readings)
            assert list(values.quality) == [quality.GOOD, quality.GOOD, quality.BAD_NODE_ID_UNKNOWN]


# Who is asked


async def test_a_controller_without_a_route_says_what_to_enter_where() -> None:
    plc = AdsPlc(route=False)
    async with plc.serve() as port:
        with pytest.raises(LinkError, match=r"Edit Routes.*AMS net id 127\.0\.0\.1\.1\.1 and address 127\.0\.0\.1"):
            async with connected(make_device({"a": "MAIN.a"}, port)):
                pass


async def test_somebody_else_on_the_port_is_no_matter_of_routes() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LinkError, match="is this port 48898") as caught:
            async with connected(make_device({"a": "MAIN.a"}, port)):
                pass
    assert "Edit Routes" not in str(caught.value)


async def test_a_controller_in_config_mode_is_told() -> None:
    plc = AdsPlc(ports=())
    async with plc.serve() as port:
        device = make_device({"a": "MAIN.a"}, port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match="config mode"):
                await driver.read(device.tags)


async def test_a_wrong_net_id_is_told() -> None:
    async with furnished().serve() as port:
        device = make_device({"a": "MAIN.nCount"}, port, net_id="1.2.3.4.1.1")
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match="compare net_id"):
                await driver.read(device.tags)


async def test_two_plcs_of_a_controller_share_one_connection() -> None:
    plc = furnished()
    plc.ports = (851, 852)
    async with plc.serve() as port:
        first = make_device({"count": "MAIN.nCount"}, port)
        second = make_device({"speed": "MAIN.fSpeed", "count": "MAIN.nCount"}, port, ams_port=852, name="device-2")
        third = make_device({"count": "MAIN.nCount"}, port, ams_port=853, name="device-3")
        assert Ads.line_key(first.config) == Ads.line_key(second.config)
        async with connected(first, second, third) as driver:
            assert await read_all(driver, first) == {"count": -7}
            assert await read_all(driver, second) == {"speed": 1.5, "count": -7}
            with pytest.raises(DeviceError, match="AMS port 853"):
                await driver.read(third.tags)
        assert plc.connections == 1


# Writing


async def test_what_is_written_is_there_and_nothing_beside_it_changes() -> None:
    plc = furnished()
    writes: dict[str, tuple[Any, bytes]] = {
        "MAIN.nCount": (9, b"\x09\0"),
        "MAIN.bRun": (False, b"\0"),
        "MAIN.fExact": (0.5, struct.pack("<d", 0.5)),
        "MAIN.nLong": ((1 << 60) + 1, struct.pack("<q", (1 << 60) + 1)),
        "MAIN.sLot": ("LOT-8µ", b"LOT-8\xb5\0\0\0\0\0"),
        "MAIN.wsName": ("°", b"\xb0\0" + bytes(12)),
        "MAIN.eState": ("fault", b"\xff\xff"),
        "MAIN.tCycle": (250, struct.pack("<I", 250)),
        "GVL.Temps[2]": (-1.0, struct.pack("<f", -1.0)),
    }
    before = {name: plc.value(name) for name in VALUES if "." in name and name.upper() in plc.symbols}
    async with plc.serve() as port:
        device = make_device({f"t{n}": name for n, name in enumerate(writes)}, port)
        async with connected(device) as driver:
            for tag, (value, _) in zip(device.tags, writes.values(), strict=True):
                await driver.write(tag, value)
    assert {name: plc.value(name) for name in writes} == {name: data for name, (_, data) in writes.items()}
    apart = before.keys() - writes.keys() - {"main.SLOT", "GVL.Temps"}
    assert {name: plc.value(name) for name in apart} == {name: before[name] for name in apart}


@pytest.mark.parametrize(
    ("address", "value", "said"),
    [
        ("MAIN.nCount", 70000, "does not fit"),
        ("MAIN.nCount", "x", "no number"),
        ("MAIN.bRun", 7, "neither true nor false"),
        ("MAIN.sLot", "LOT-7-and-more", "room for 10"),
        ("MAIN.sLot", "LOT\0", "ends a text"),
        ("MAIN.sLot", "한", "has not"),
        ("MAIN.sLot", 5, "no text"),
        ("MAIN.eState", 7, "none of E_State: 0, 1, -1"),
        ("MAIN.eState", "Broken", "none of E_State: Off, On, Fault"),
        ("MAIN.dDay", "2026-12-01", "not written"),
        ("GVL.Motor", 1, "name one of its parts"),
        ("MAIN.wStatus.4", 1, "BOOL"),
        ("MAIN.gone", 1, "no such symbol"),
    ],
)
async def test_what_cannot_be_written_says_why(address: str, value: Any, said: str) -> None:
    async with furnished().serve() as port:
        device = make_device({"a": address}, port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match=said):
                await driver.write(device.tags[0], value)


async def test_a_write_after_a_change_of_the_program_goes_to_what_has_the_name_now() -> None:
    plc = furnished()
    async with plc.serve() as port:
        device = make_device({"count": "MAIN.nCount"}, port)
        async with connected(device) as driver:
            await driver.describe()
            plc.download()
            await driver.write(device.tags[0], 3)
            assert plc.value("MAIN.nCount") == b"\3\0"
            plc.download("MAIN.nCount")
            plc.add("MAIN.nCount", "REAL", REAL, struct.pack("<f", 1.0))
            with pytest.raises(ForeseenError, match="float32"):
                await driver.write(device.tags[0], 4)
            assert plc.value("MAIN.nCount") == struct.pack("<f", 1.0)
