"""Messages beside those of a client that is not ours, and against what may come. The hexadecimal ones were sent by the C++
client of snap7 1.4.2."""

import random
import struct

import pytest

from gateway.kit.line import MISFIT
from gateway.testing.fuzz import spoilt, taken
from plugins.s7.address import data_block, parse_address
from plugins.s7.frames import MOST_PLACES, S7Framing, S7Request, connect, joined, read, setup

SNAP7 = {
    "0300001611e00000000100c0010ac1020100c2020101": connect(0x0100, 0x0101),
    "0300001902f08032010000000000080000f0000001000101e0": setup(1, 480),
    "0300001f02f080320100000300000e00000401120a101d000100001d000005": read(parse_address("T5").area, 5, 1),
}


@pytest.mark.parametrize(("theirs", "ours"), SNAP7.items())
def test_messages_are_those_that_snap7_sends(theirs: str, ours: S7Request) -> None:
    frame = bytes.fromhex(theirs)
    number = int.from_bytes(frame[11:13], "big") if frame[5] == 0xF0 else 0
    assert S7Framing().wrap(ours, number) == frame


@pytest.mark.parametrize("start", [b"HTTP/1.1 400", b"\x03\x01\x00\x10", b"\x03\x00\x00\x02", b"\0"])
def test_what_is_no_s7_is_found_out_at_once(start: bytes) -> None:
    with pytest.raises(ValueError, match=r"no S7 communication|claims to have"):
        S7Framing().size(start, 0)


@pytest.mark.parametrize(
    ("said", "plain"), [("DB1.4", "DB1.DBD4"), ("%M0.1", "m0.1"), ("EW4", "IW4"), ("A0.1", "Q0.1"), ("Z3", "C3")]
)
def test_addresses_may_be_written_otherwise(said: str, plain: str) -> None:
    one, other = parse_address(said), parse_address(plain)
    assert (one.area, one.offset, one.bit) == (other.area, other.offset, other.bit)


def right_answer(asked: S7Request, data: list[bytes], number: int) -> bytes:
    body = b""
    for n, value in enumerate(data, 1):
        body += struct.pack(">BBH", 0xFF, 4, 8 * len(value)) + value
        body += b"\0" * (len(value) % 2 if n < len(data) else 0)
    message = struct.pack(">BBHHHHBB", 0x32, 3, 0, number, 2, len(body), 0, 0) + bytes([4, len(data)]) + body
    return struct.pack(">BBHBBB", 3, 0, 7 + len(message), 2, 0xF0, 0x80) + message


@pytest.mark.fuzz
def test_spoilt_messages_do_no_harm(new_seed: int, rounds: int) -> None:
    """Of spoilt answers none is good of which more than the values was hit; of several places each is by itself."""
    dice, framing = random.Random(new_seed), S7Framing()
    for _ in range(rounds):
        sizes = [dice.randrange(1, 30) for _ in range(dice.randrange(1, MOST_PLACES))]
        single = [read(data_block(dice.randrange(1, 100)), dice.randrange(3000), size) for size in sizes]
        asked = joined(single, 960) if len(sizes) > 1 else single[0]
        assert asked is not None
        values = [dice.randbytes(size) for size in sizes]
        number = dice.randrange(1 << 16)
        right = right_answer(asked, values, number)
        assert taken(framing, asked, number, right) == [b"".join(values)]
        broken = spoilt(right, dice)
        for answer in taken(framing, asked, number, broken):
            if answer in (MISFIT, b"".join(values)) or isinstance(answer, int):
                continue
            assert broken[:12] == right[:12] or broken[:2] == right[:2], (asked, broken)
            assert broken[11:13] == right[11:13]
            parts = answer if isinstance(answer, tuple) else (answer,)
            assert all(isinstance(part, int) for part in parts if not isinstance(part, bytes))
            assert len(parts) in (1, len(sizes))
            if isinstance(answer, tuple):
                assert [len(part) for part in parts if isinstance(part, bytes)] == [
                    size for size, part in zip(sizes, parts, strict=True) if isinstance(part, bytes)
                ]
            else:
                assert len(answer) == asked.size
