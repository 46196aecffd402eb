"""What a CPU tells of itself: by the C++ server of snap7, and what may come instead."""

import random
import struct

import pytest

from gateway.plugin import Search, cleaned
from gateway.testing.fuzz import spoilt
from plugins.s7.driver import S7
from plugins.s7.frames import S7Request
from plugins.s7.itself import data_blocks, identity
from plugins.s7.tests.simulated import connected, cpu, make_device


async def no_pause() -> None:
    """Go on at once."""


async def test_data_blocks_are_listed_with_their_sizes_and_what_is_missing_is_said() -> None:
    async with cpu() as plc, connected(make_device({"a": "M0.0"}, plc.port)) as driver:
        offers = [offer async for offer in driver.browse()]
    assert [(address, found.description) for address, found in offers[:-1]] == [
        ("DB1.0", "data block of 2000 bytes"),
        ("DB2.0", "data block of 20000 bytes"),
        ("DB7.0", "data block of 64 bytes"),
    ]
    assert offers[-1][0] == ""
    assert "import tia" in offers[-1][1].description


async def test_a_cpu_is_found_with_its_name_order_number_and_protection() -> None:
    async with cpu() as plc:
        (found,) = [
            each async for each in S7.discover(Search(no_pause, host="127.0.0.1", ports=(plc.port,), timeout=20))
        ]
    assert found.options == {"host": "127.0.0.1", "port": plc.port, "slot": 1}
    assert found.name == "SNAP7-SERVER"
    assert {"order number 6ES7 315-2EH14-0AB0", "module CPU 315-2 PN/DP", "not protected"} <= set(found.about)
    assert found.tags == {"marker_byte_0": {"address": "MB0"}}


def answered(data: bytes, more: int = 0) -> bytes:
    return struct.pack(">BBBBBH", 7, 5, more, 0xFF, 9, len(data)) + data


async def test_a_list_of_blocks_in_several_parts_is_asked_for_to_its_end() -> None:
    asked: list[bytes] = []
    parts = [answered(struct.pack(">HBBHBB", 1, 34, 5, 2, 34, 5), 1), answered(struct.pack(">HBB", 900, 34, 5))]

    async def ask(request: S7Request) -> bytes | int:
        asked.append(request.data)
        if request.data[6] == 3:
            return 0xD402
        return parts[len([data for data in asked if data[6] == 2]) - 1]

    assert [block async for block in data_blocks(ask)] == [(1, 0), (2, 0), (900, 0)]
    assert asked[1][:10] == bytes([0, 1, 0x12, 8, 0x12, 0x43, 2, 7, 5, 0])


async def test_an_answer_that_never_ends_is_given_up() -> None:
    async def ask(_: S7Request) -> bytes | int:
        return answered(b"\0\1\0\0", 1)

    with pytest.raises(ValueError, match="does not end"):
        _ = [block async for block in data_blocks(ask)]


@pytest.mark.fuzz
async def test_spoilt_answers_about_itself_do_no_harm(new_seed: int, rounds: int) -> None:
    dice = random.Random(new_seed)
    right = [
        answered(struct.pack(">HHHH", 0x1C, 0, 34, 2) + b"\0\1mixer".ljust(34, b"\0") + b"\0\2CPU".ljust(34, b"\0")),
        answered(struct.pack(">HBBHBB", 1, 34, 5, 2, 34, 5)),
        answered(bytes(78)),
    ]

    async def ask(_: S7Request) -> bytes | int:
        return spoilt(dice.choice(right), dice) if dice.random() < 0.9 else dice.randrange(1 << 16)

    for _ in range(rounds // 10 + 1):
        name, about = await identity(ask)
        assert all(line == cleaned(line, 200) for line in (name, *about))
        try:
            found = [block async for block in data_blocks(ask)]
        except ValueError:
            continue
        assert all(0 <= number < 1 << 16 and 0 <= size < 1 << 16 for number, size in found)
