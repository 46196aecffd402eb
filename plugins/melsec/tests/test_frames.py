"""Codes and addresses beside those of a client that is not ours, and frames against what may come."""

import random
import struct

import pytest

from gateway.testing.fuzz import spoilt, taken
from plugins.melsec.address import AREAS, parse_address
from plugins.melsec.frames import MelsecAsciiFraming, MelsecFraming, joined, read

CPU = bytes.fromhex("00ffff0300")
KINDS = [
    pytest.param(kind, numbered, id=f"{name}-{'4E' if numbered else '3E'}")
    for name, kind in (("binary", MelsecFraming), ("ascii", MelsecAsciiFraming))
    for numbered in (False, True)
]


def test_device_codes_are_those_of_pymcprotocol() -> None:
    constants = pytest.importorskip("pymcprotocol.mcprotocolconst", reason="pip install pymcprotocol").DeviceConstants
    known = [
        name for name in AREAS if hasattr(constants, f"{name.replace('ST', 'S') if name[:2] == 'ST' else name}_DEVICE")
    ]
    assert len(known) > 20
    for name in known:
        code, base = constants.get_binary_devicecode("Q", name)
        assert (AREAS[name].code, AREAS[name].ascii_base) == (code, base), name
        letters, _ = constants.get_ascii_devicecode("Q", name)
        assert AREAS[name].letters == letters, name


@pytest.mark.parametrize(
    ("text", "area", "number"),
    [
        ("D100", "D", 100), ("w1a", "W", 0x1A), ("ZR1000", "ZR", 1000), ("SB10", "SB", 0x10), ("B10", "B", 0x10),
        ("X0A0", "X", 0xA0), ("SD5", "SD", 5), ("S5", "S", 5), ("ST3", "STN", 3), ("STS3", "STS", 3), ("T3", "TN", 3),
        ("C3", "CN", 3), ("CC3", "CC", 3), ("DX1F", "DX", 0x1F), ("BFF", "B", 0xFF), ("M16", "M", 16),
    ],
)  # fmt: skip
def test_the_longest_name_that_leaves_a_number_is_meant(text: str, area: str, number: int) -> None:
    at = parse_address(text)
    assert (at.area.name, at.area.first(at.offset) + (at.bit or 0)) == (area, number)


def test_frames_are_those_of_the_manual() -> None:
    """Reading M100 on by words, and D100 in ASCII (SH(NA)-080956ENG, command 0401)."""
    asked = read(CPU, AREAS["D"], 100, 3)
    assert MelsecFraming(numbered=False, timer=16).wrap(asked, 0).hex() == (
        "500000ffff03000c00100001040000640000a80300"
    )
    assert MelsecFraming(numbered=True, timer=16).wrap(asked, 0x1234).hex() == (
        "54003412000000ffff03000c00100001040000640000a80300"
    )
    assert MelsecAsciiFraming(numbered=False, timer=16).wrap(asked, 0) == b"500000FF03FF000018001004010000D*0001000003"
    assert (
        MelsecAsciiFraming(numbered=False, timer=16).wrap(read(CPU, AREAS["ZR"], 1000, 1), 0).endswith(b"ZR0003E80001")
    )


@pytest.mark.parametrize(("kind", "numbered"), KINDS)
@pytest.mark.parametrize("start", [b"HTTP/1.1 400", b"\0\1\2\3\4\5\6\7", b"\x50\x00\x00\xff"])
def test_what_is_no_answer_is_found_out_at_once(kind: type[MelsecFraming], numbered: bool, start: bytes) -> None:
    with pytest.raises(ValueError, match="no MC protocol"):
        kind(numbered=numbered, timer=1).size(start, 0)


@pytest.mark.parametrize(("kind", "numbered"), KINDS)
def test_another_frame_or_code_is_named(kind: type[MelsecFraming], numbered: bool) -> None:
    answers = {
        (MelsecFraming, False): b"\xd0\x00\x00\xff", (MelsecFraming, True): b"\xd4\x00\x00\x00",
        (MelsecAsciiFraming, False): b"D00000FF", (MelsecAsciiFraming, True): b"D4000000",
    }  # fmt: skip
    for (other, of_other), start in answers.items():
        if (other, of_other) != (kind, numbered):
            with pytest.raises(ValueError, match="write " if other is not kind else "write frame = "):
                kind(numbered=numbered, timer=1).size(start, 0)


def right_answer(kind: type[MelsecFraming], numbered: bool, words: list[int], number: int) -> bytes:
    if kind is MelsecFraming:
        body = b"\0\0" + struct.pack(f"<{len(words)}H", *words)
        start = struct.pack("<HHH", 0xD4, number, 0) if numbered else b"\xd0\0"
        return start + CPU + struct.pack("<H", len(body)) + body
    text = "0000" + "".join(f"{word:04X}" for word in words)
    start = f"D400{number:04X}0000" if numbered else "D000"
    return f"{start}00FF03FF00{len(text):04X}{text}".encode()


def many(kind: type[MelsecFraming], numbered: bool, rounds: int, dice: random.Random) -> None:
    """Of spoilt answers none is good whose header, end code or length was hit."""
    framing = kind(numbered=numbered, timer=1)
    for _ in range(rounds):
        words = [dice.randrange(1 << 16) for _ in range(dice.randrange(1, 40))]
        requests = [read(CPU, AREAS["D"], dice.randrange(30000), len(words))]
        asked = joined(requests, 960) if dice.random() < 0.5 else requests[0]
        assert asked is not None
        number = dice.randrange(1 << 16) if numbered else 0
        right = right_answer(kind, numbered, words, number)
        (whole,) = taken(framing, asked, number, right)
        assert whole == struct.pack(f">{len(words)}H", *words)
        broken = spoilt(right, dice)
        begin = (13 if numbered else 9) if kind is MelsecFraming else (26 if numbered else 18)
        for answer in taken(framing, asked, number, broken):
            if isinstance(answer, bytes) and answer != whole:
                came = broken[:begin].upper() if kind is MelsecAsciiFraming else broken[:begin]
                assert came == right[:begin], (asked, broken)
                assert len(answer) == asked.size


@pytest.mark.fuzz
@pytest.mark.parametrize(("kind", "numbered"), KINDS)
def test_spoilt_frames_do_no_harm(kind: type[MelsecFraming], numbered: bool, new_seed: int, rounds: int) -> None:
    many(kind, numbered, rounds, random.Random(new_seed))
