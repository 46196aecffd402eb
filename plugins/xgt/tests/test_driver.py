"""Reading and writing against a PLC in this process, which a client that is not ours understands (test_frames.py)."""

import struct
from typing import Any

import pytest

from gateway.plugin import DeviceError
from gateway.testing import read_all
from plugins.xgt.address import parse_address
from plugins.xgt.frames import XgtFraming, write_bits
from plugins.xgt.tests.fakes import XgtPlc, connected, make_device


async def test_every_type_in_ls_order() -> None:
    plc = XgtPlc()
    plc.put("D", 100, struct.pack("<fhq", 1.5, -7, 0x778899AABBCCDDEE - (1 << 63)))
    plc.put("D", 110, b"LOT-4711\0\0")
    plc.put("R", 120, struct.pack("<H", 0x1234))
    plc.put("M", 12, struct.pack("<H", 0x8A20))
    tags = {
        "real": {"address": "D100", "type": "REAL"},
        "int": {"address": "%DW102", "type": "INT"},
        "big": {"address": "D103", "type": "LINT"},
        "text": {"address": "D110", "type": "STRING", "length": 10},
        "bcd": {"address": "R120", "type": "bcd16"},
        "bit": "M12.F",
        "same": "%MX207",
        "part": {"address": "M12.8-B"},
        "input": "P1",
    }
    async with plc.serve() as port:
        device = make_device(tags, port)
        async with connected(device) as driver:
            found = await read_all(driver, device)
    assert found == [1.5, -7, 0x778899AABBCCDDEE - (1 << 63), "LOT-4711", 1234, 1, 1, 10, 1]


async def test_scattered_words_go_in_one_request_and_many_in_one_piece() -> None:
    plc = XgtPlc()
    async with plc.serve() as port:
        few = make_device({f"d{n}": f"D{n}" for n in range(0, 1600, 100)}, port)
        async with connected(few) as driver:
            assert await read_all(driver, few) == list(range(0, 1600, 100))
        assert [(kind, len(names)) for _, kind, names in plc.asked] == [(2, 16)]
        plc.asked.clear()
        many = make_device({f"d{n}": f"D{n}" for n in range(1500)}, port)
        async with connected(many) as driver:
            assert await read_all(driver, many) == list(range(1500))
        assert [(kind, names) for _, kind, names in plc.asked] == [
            (0x14, ["%DB0"]), (0x14, ["%DB1400"]), (0x14, ["%DB2800"]),
        ]  # fmt: skip


async def test_a_plc_that_gives_one_place_at_a_time_is_asked_so() -> None:
    plc = XgtPlc(places=False)
    async with plc.serve() as port:
        device = make_device({"a": "D6", "b": "D500"}, port)
        async with connected(device) as driver:
            for _ in range(3):
                assert await read_all(driver, device) == [6, 500]
    assert [kind for _, kind, _ in plc.asked] == [2, *[0x14] * 6]


async def test_a_word_that_the_plc_lacks_costs_its_own_tag() -> None:
    plc = XgtPlc()
    plc.refused = {"D7"}
    async with plc.serve() as port:
        device = make_device({"a": "D6", "b": "D7", "c": "D8", "d": "Q5", "e": "D700"}, port)
        async with connected(device) as driver:
            for _ in range(2):
                assert await read_all(driver, device) == [6, None, 8, None, 700]


async def test_what_is_written_is_read_back_and_nothing_beside_it_changes() -> None:
    plc = XgtPlc()
    tags: dict[str, Any] = {
        "real": {"address": "D100", "type": "float32"},
        "bit": "M12.5",
        "part": {"address": "M12.8-B"},
        "text": {"address": "D20", "type": "string", "length": 5},
    }
    async with plc.serve() as port:
        device = make_device(tags, port)
        async with connected(device) as driver:
            for tag, value in zip(device.tags, (-2.25, 1, 5, "LOT-7"), strict=True):
                await driver.write(tag, value)
            assert await read_all(driver, device) == [-2.25, 1, 5, "LOT-7"]
    assert plc.word("M", 12) == 12 & ~0x0F20 | 1 << 5 | 5 << 8
    assert [plc.word("D", 99), plc.word("D", 102)] == [99, 102]


async def test_a_refused_write_says_why() -> None:
    plc = XgtPlc()
    plc.refused = {"D6"}
    async with plc.serve() as port:
        device = make_device({"a": "D6"}, port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match=r"beyond the end of the device's range \(error code 0004\)"):
                await driver.write(device.tags[0], 7)


def test_bits_of_an_xgb_are_named_in_hexadecimal() -> None:
    wrapped = XgtFraming().wrap(write_bits(parse_address("M12.F"), [1], True), 1)
    assert b"%MX12F" in wrapped
    assert b"%DX100.A" in XgtFraming().wrap(write_bits(parse_address("D100.A"), [1], True), 1)
    assert b"%MX207" in XgtFraming().wrap(write_bits(parse_address("M12.F"), [1], False), 1)


async def test_it_says_of_which_series_it_is_also_when_it_refuses() -> None:
    plc = XgtPlc()
    plc.refused = {"%MB0"}
    async with plc.serve() as port:
        device = make_device({"word": "D1"}, port)
        async with connected(device) as driver:
            assert await driver.identify(device) == "LS Electric XGK"
