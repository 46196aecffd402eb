"""Frames beside those of two clients that are not ours, and against what may come. The hexadecimal ones were sent by
omron-fins 0.5.0 (by TCP, nodes 239 and 10) and fins-driver 0.3.1 (by UDP), which also understood the answers of `FinsPlc`."""

import random
import struct

import pytest

from gateway.testing.fuzz import spoilt, taken
from plugins.fins.address import AREAS, parse_address
from plugins.fins.frames import HELLO, FinsRequest, FinsTcpFraming, FinsUdpFraming, read, write_bits, write_words
from plugins.fins.tests.fakes import FinsPlc

PLC = (0, 0, 0)
OMRON_FINS = {
    "800002000a0000ef000101028200c8000003000b00160021": write_words(
        PLC, parse_address("D200"), struct.pack(">3H", 11, 22, 33)
    ),
    "800002000a0000ef000201018200c8000004": read(PLC, AREAS["D"], 200, 4),
    "800002000a0000ef00030101a10014000002": read(PLC, AREAS["E1_"], 20, 2),
    "800002000a0000ef00050101b20007000001": read(PLC, AREAS["H"], 7, 1),
}
FINS_DRIVER = {
    "800007000000000100000101820064000003": read(PLC, AREAS["D"], 100, 3),
    "80000700000000010000010282006400000212345678": write_words(PLC, parse_address("D100"), bytes.fromhex("12345678")),
    "80000700000000010000010231000a05000101": write_bits(PLC, parse_address("W10.05"), [1]),
    "800007000000000100000101b20007000001": read(PLC, AREAS["H"], 7, 1),
}


@pytest.mark.parametrize(("theirs", "ours"), OMRON_FINS.items())
def test_frames_are_those_that_omron_fins_sends(theirs: str, ours: FinsRequest) -> None:
    frame = bytes.fromhex(theirs)
    assert FinsUdpFraming(node=10, source=239).wrap(ours, frame[9]) == frame
    assert (
        FinsTcpFraming(node=10, source=239).wrap(ours, frame[9])
        == b"FINS" + struct.pack(">III", 8 + len(frame), 2, 0) + frame
    )


@pytest.mark.parametrize(("theirs", "ours"), FINS_DRIVER.items())
def test_commands_are_those_that_fins_driver_sends(theirs: str, ours: FinsRequest) -> None:
    assert ours.command + ours.data == bytes.fromhex(theirs)[10:]


def test_both_nodes_are_asked_for_and_learned() -> None:
    framing = FinsTcpFraming(source=33)
    assert framing.wrap(HELLO, 84) == b"FINS" + struct.pack(">IIII", 12, 0, 0, 33)
    opened = framing.opened(b"FINS" + struct.pack(">IIIII", 16, 1, 0, 33, 10))
    assert framing.number(opened) == 84
    assert framing.answer(HELLO, opened) == struct.pack(">II", 33, 10)


@pytest.mark.parametrize("start", [b"HTTP/1.1 400 Bad Request\r\n", b"\0\1", b"FINS" + struct.pack(">II", 7, 2)])
def test_what_is_no_fins_tcp_is_found_out_at_once(start: bytes) -> None:
    with pytest.raises(ValueError, match="no FINS/TCP"):
        FinsTcpFraming().size(start, 0)


def many(framing: FinsUdpFraming, rounds: int, dice: random.Random) -> None:
    """Of spoilt answers none is good whose command, number, end code or length was hit."""
    plc = FinsPlc()
    for _ in range(rounds):
        asked = read(PLC, AREAS["D"], dice.randrange(30000), dice.randrange(1, 40))
        number = dice.randrange(256)
        frame = FinsUdpFraming(10, 33).wrap(asked, number)
        right = plc.answer(frame)
        plc.asked.clear()
        sent = (
            right
            if not isinstance(framing, FinsTcpFraming)
            else b"FINS" + struct.pack(">III", 8 + len(right), 2, 0) + right
        )
        broken = spoilt(sent, dice)
        for answer in taken(framing, asked, number, broken):
            if isinstance(answer, bytes) and answer != right[14:]:
                begin = 16 if isinstance(framing, FinsTcpFraming) else 0
                came = broken[begin:]
                assert came[9:12] == right[9:12], (asked, broken)
                assert (came[12] & 0x7F, came[13] & 0x3F) == (0, 0), (asked, broken)
                assert len(answer) == asked.size


@pytest.mark.fuzz
@pytest.mark.parametrize("framing", [FinsUdpFraming(10, 33), FinsTcpFraming(10, 33)], ids=["udp", "tcp"])
def test_spoilt_frames_do_no_harm(framing: FinsUdpFraming, new_seed: int, rounds: int) -> None:
    many(framing, rounds, random.Random(new_seed))
