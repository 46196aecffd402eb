"""What is told of a PLC's symbols, and how much of it."""

import struct
import time

import pytest

from gateway.plugin import DeviceError, Found
from plugins.ads import browsing
from plugins.ads.tests.fakes import BIG, INT, REAL, AdsPlc, Member, declaration, furnished
from plugins.ads.tests.simulated import connected, make_device


async def offers_of(plc: AdsPlc) -> dict[str, Found]:
    async with plc.serve() as port, connected(make_device({"a": "MAIN.a"}, port)) as driver:
        return {address: found async for address, found in driver.browse()}


async def test_what_is_offered_can_be_read_by_the_address_that_is_told() -> None:
    plc = furnished()
    told = await offers_of(plc)
    assert "" not in told
    assert told["MAIN.nCount"] == Found("int16", description="how many")
    assert told["MAIN.eState"].type == "int16"
    assert told["GVL.Temps"] == Found("", description="ARRAY [1..4] OF REAL")
    assert told["GVL.Motor.fSpeed"].type == "float64"
    assert told["GVL.Motors[1].sName"].type == "string"
    assert "GVL.Motor.pNext" not in told
    assert told["GVL.Motor.fSpeed"].path == "GVL/Motor/fSpeed"


async def test_a_hundred_thousand_symbols_are_told_up_to_a_bound_without_holding_up_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(browsing, "OFFERED", 30_000)
    plc = AdsPlc()
    plc.types["ST_TWO"] = declaration("ST_Two", 6, [Member("n", "INT", INT, 2, 0), Member("f", "REAL", REAL, 4, 2)])
    entry = plc.add("GVL.aVeryLongNameOfAVariable000000", "ST_Two", BIG, bytes(6), "what it is for").entry()
    table = b"".join(entry.replace(b"000000", b"%06d" % n) for n in range(100_000))

    def read(group: int, offset: int, size: int, usual=plc.read) -> bytes | int:  # type: ignore[no-untyped-def]
        if group == 0xF00F:
            return struct.pack("<6I", 100_000, len(table), 1, len(plc.types["ST_TWO"]), 0, 0)
        return table[:size] if group == 0xF00B else usual(group, offset, size)

    plc.read = read  # type: ignore[method-assign]
    begun = time.process_time()
    told = await offers_of(plc)
    assert time.process_time() - begun < 60
    assert len(told) == 30_001
    assert "first 30000" in told[""].description


@pytest.mark.parametrize(
    ("info", "table", "said"),
    [
        (struct.pack("<6I", 1, 60, 0, 0, 0, 0), b"\x10\0\0\0" + bytes(56), "damaged"),
        (struct.pack("<6I", 1, 1 << 31, 0, 0, 0, 0), b"", "more than"),
        (
            struct.pack("<6I", 1, 60, 0, 0, 0, 0),
            struct.pack("<6I3H", 60, 0, 0, 0, 0, 0, 500, 500, 0).ljust(60),
            "a symbol that cannot be read",
        ),
    ],
    ids=["damaged", "too large", "senseless"],
)
async def test_what_is_missing_is_said(info: bytes, table: bytes, said: str) -> None:
    plc = AdsPlc()
    plc.read = lambda group, *_: info if group == 0xF00F else table  # type: ignore[method-assign]
    assert said in (await offers_of(plc))[""].description


async def test_a_type_that_holds_itself_has_an_end() -> None:
    plc = AdsPlc()
    member = [Member(f"m{n}", "ST_Round", BIG, 4, 0) for n in range(3)]
    plc.types["ST_ROUND"] = declaration("ST_Round", 4, member)
    plc.add("GVL.Round", "ST_Round", BIG, bytes(4))
    plc.types["ST_MANY"] = declaration("ST_Many", 4, [Member("n", "INT", INT, 2, 0)])
    plc.add("GVL.Many", "ARRAY [1..500] OF ST_Many", BIG, bytes(8))
    told = await offers_of(plc)
    assert "GVL.Many[100].n" in told
    assert "more than 100 elements" in told[""].description
    assert "what stands within GVL.Round.m0" in told[""].description


async def test_types_that_unfold_without_end_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "OFFERED", 1000)
    plc = AdsPlc()
    for level in range(12):
        inner = f"ST_{level + 1}" if level < 11 else "T_Unknown"
        plc.types[f"ST_{level}"] = declaration(f"ST_{level}", 8, [Member(f"m{n}", inner, BIG, 8, 0) for n in range(9)])
    plc.add("GVL.Fan", "ST_0", BIG, bytes(8))
    plc.types["ST_11"] = declaration("ST_11", 8, [Member(f"m{n}", "INT", INT, 2, 0) for n in range(9)])
    plc.add("GVL.Vast", "ST_0", BIG, bytes(8))
    assert len(await offers_of(plc)) == 1001
    async with plc.serve() as port, connected(make_device({"vast": "GVL.Vast"}, port)) as driver:
        await driver.read(driver.devices[0].tags)
        assert any("more than 20000 values" in remark for remark in driver.remarks)


async def test_a_device_without_symbols_says_so() -> None:
    plc = AdsPlc()
    plc.read = lambda *_: 0x701  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="does not tell its symbols"):
        await offers_of(plc)
