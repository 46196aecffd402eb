"""Frames beside those of a client that is not ours, and against what may come."""

import asyncio
import random
import struct

import pytest

from gateway.testing.fuzz import spoilt, taken
from plugins.xgt.address import AREAS, parse_address
from plugins.xgt.frames import XgtFraming, XgtRequest, joined, read
from plugins.xgt.tests.fakes import XgtPlc


async def test_a_client_that_is_not_ours_understands_the_plc_of_these_tests() -> None:
    """pyXGTClient 0.0.1 writes and reads words one by one, and bytes that follow each other."""
    client_type = pytest.importorskip("pyXGTClient.client", reason="pip install pyXGTClient").XGTClient
    plc = XgtPlc()

    def ask(port: int) -> list[object]:
        client = client_type(host="127.0.0.1", port=port, timeout=10.0)
        client.open()
        try:
            client.writeData(["%DW100"], [0x1234])
            client.writeContinuousData("%DB600", [7, 0, 8, 0])
            return [client.readData(["%DW100", "%DW300", "%DW301"]), client.readContinuousData("%DB200", 4)]
        finally:
            client.close()

    async with plc.serve() as port:
        found = await asyncio.to_thread(ask, port)
    assert found == [[0x1234, 7, 8], [0x34, 0x12, 101, 0]]
    assert [(command, kind) for command, kind, _ in plc.asked] == [(0x58, 2), (0x58, 0x14), (0x54, 2), (0x54, 0x14)]


@pytest.mark.parametrize(
    ("text", "area", "offset", "bit"),
    [
        ("D100", "D", 100, None),
        ("%MW12", "M", 12, None),
        ("m12.f", "M", 12, 15),
        ("%MX207", "M", 12, 15),
        ("ZR5", "ZR", 5, None),
    ],
)
def test_addresses(text: str, area: str, offset: int, bit: int | None) -> None:
    at = parse_address(text)
    assert (at.area.name, at.offset, at.bit) == (area, offset, bit)


def right_answer(asked: XgtRequest, words: list[int], number: int) -> bytes:
    wire = struct.pack(f"<{len(words)}H", *words)
    values = [wire] if asked.kind == 0x14 else [wire[n : n + 2] for n in range(0, len(wire), 2)]
    body = struct.pack("<HHHHH", 0x55, asked.kind, 0, 0, len(values))
    body += b"".join(struct.pack("<H", len(value)) + value for value in values)
    head = b"LSIS-XGT\0\0" + struct.pack("<HBBHHB", 0, 0xA0, 0x11, number, len(body), 3)
    return head + bytes([sum(head) & 0xFF]) + body


@pytest.mark.fuzz
def test_spoilt_frames_do_no_harm(new_seed: int, rounds: int) -> None:
    """Of spoilt answers none is good of which more than the values was hit."""
    dice, framing = random.Random(new_seed), XgtFraming()
    for _ in range(rounds):
        words = [dice.randrange(1 << 16) for _ in range(dice.randrange(1, 16))]
        single = [read(AREAS["D"], dice.randrange(30000), 1) for _ in words]
        asked = joined(single) if dice.random() < 0.5 else read(AREAS["D"], dice.randrange(30000), len(words))
        assert asked is not None
        number = dice.randrange(1 << 16)
        right = right_answer(asked, words, number)
        (whole,) = taken(framing, asked, number, right)
        assert whole == struct.pack(f">{len(words)}H", *words)
        broken = spoilt(right, dice)
        for answer in taken(framing, asked, number, broken):
            if isinstance(answer, bytes) and answer != whole:
                assert len(answer) == asked.size
                assert broken[13:18] == right[13:18], (asked, broken)
                assert broken[20:24] == right[20:24], (asked, broken)
                assert broken[26:30] == right[26:30], (asked, broken)
