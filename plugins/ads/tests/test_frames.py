"""Packets beside those of a client that is not ours, and every decoder against what may come."""

import random
import struct
from contextlib import suppress

import pytest

from gateway.kit.line import MISFIT
from gateway.testing.fuzz import spoilt, taken
from plugins.ads.frames import (
    HANDLE_BY_NAME,
    ON_CHANGE,
    RELEASE_HANDLE,
    VALUE_BY_HANDLE,
    AdsFraming,
    AdsRequest,
    add_note,
    delete_note,
    parted,
    parted_by_length,
    read,
    read_write,
    samples,
    sum_read,
    write,
)
from plugins.ads.routes import Identity, parse_packet
from plugins.ads.symbols import AdsSymbol, entries, parse_declaration, parse_symbol
from plugins.ads.tests.fakes import EPOCH, NET_ID, AdsPlc, furnished
from plugins.ads.types import AdsType, Declaration, Types, UnknownTypeError

UNIT = (NET_ID, 851)
SOURCE = (bytes((127, 0, 0, 1, 1, 1)), 0x8001)


def framing() -> AdsFraming:
    made = AdsFraming()
    made.source = SOURCE
    return made


def answered(frame: bytes, body: bytes) -> bytes:
    """The right answer to a request."""
    head = frame[14:22] + frame[6:14] + frame[22:24] + b"\5\0" + struct.pack("<II", len(body), 0) + frame[34:38]
    return struct.pack("<HI", 0, 32 + len(body)) + head + body


PYADS = {
    "03f0000000000000040000000c0000004d41494e2e6e436f756e7400": read_write(
        UNIT, HANDLE_BY_NAME, 0, 4, b"MAIN.nCount\0"
    ),
    "05f000000110000002000000": read(UNIT, VALUE_BY_HANDLE, 0x1001, 2),
    "06f00000000000000400000001100000": write(UNIT, RELEASE_HANDLE, 0, b"\x01\x10\0\0"),
    "80f00000020000001200000018000000404000004000000002000000404000005800000008000000": sum_read(
        UNIT, [(0x4040, 64, 2), (0x4040, 88, 8)]
    ),
    "05f0000002100000020000000300": write(UNIT, VALUE_BY_HANDLE, 0x1002, b"\3\0"),
    "05f00000031000000200000004000000f40100001027000000000000000000000000000000000000": add_note(
        UNIT, (VALUE_BY_HANDLE, 0x1003, 2), ON_CHANGE, 50e-6, 1e-3
    ),
    "04100000": delete_note(UNIT, 0x1004),
}
"""What pyads 3.6.0 (Beckhoff's own library) sent for the same, recorded."""


@pytest.mark.parametrize(("theirs", "ours"), PYADS.items())
def test_requests_are_those_that_pyads_sends(theirs: str, ours: AdsRequest) -> None:
    assert ours.data.hex() == theirs
    packet = framing().wrap(ours, 7)
    assert framing().size(packet, 0) == len(packet)
    assert packet[6:22] == bytes.fromhex("0550c9e8010153037f00000101010180")


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 400", b"\x01\0\x20\0\0\0", b"\0\0\x10\0\0\0", b"\0\0\xff\xff\xff\x7f", b"\x03\0\0\x16"]
)
def test_what_is_no_ads_is_found_out_at_once(start: bytes) -> None:
    with pytest.raises(ValueError, match="48898"):
        framing().size(start, 0)


def test_times_of_notifications_are_in_units_of_100_ns() -> None:
    assert add_note(UNIT, (0xF005, 1, 2), 4, 0.05, 1.0).data == struct.pack(
        "<6I16x", 0xF005, 1, 2, 4, 500_000, 10_000_000
    )


def test_of_a_sum_read_places_without_data_may_be_left_out_or_be_zeros() -> None:
    codes = struct.pack("<3I", 0, 0x710, 0)
    assert parted(codes + b"ab" + b"c", [2, 4, 1]) == [b"ab", 0x710, b"c"]
    assert parted(codes + b"ab" + bytes(4) + b"c", [2, 4, 1]) == [b"ab", 0x710, b"c"]
    assert parted(codes + b"ab", [2, 4, 1]) is None
    assert parted(codes[:5], [2, 4, 1]) is None


@pytest.mark.fuzz
def test_spoilt_answers_do_no_harm(new_seed: int, rounds: int) -> None:
    """Of spoilt answers none is good of which the header was hit, or whose lengths do not fit."""
    dice, own = random.Random(new_seed), framing()
    for _ in range(rounds):
        sizes = [dice.randrange(1, 30) for _ in range(dice.randrange(1, 20))]
        values = [dice.randbytes(size) for size in sizes]
        asked = sum_read(UNIT, [(0xF005, dice.randrange(1 << 32), size) for size in sizes])
        number = dice.randrange(1 << 32)
        sent = bytes(4 * len(sizes)) + b"".join(values)
        right = answered(own.wrap(asked, number), struct.pack("<II", 0, len(sent)) + sent)
        assert taken(own, asked, number, right) == [sent]
        broken = spoilt(right, dice)
        for answer in taken(own, asked, number, broken):
            if answer in (MISFIT, sent) or isinstance(answer, int):
                continue
            assert broken[6:14] == right[6:14], "it is to us"
            assert broken[34:38] == right[34:38]
            parts = parted(answer, sizes)
            assert parts is None or [len(part) for part in parts if isinstance(part, bytes)] == [
                size for size, part in zip(sizes, parts, strict=True) if isinstance(part, bytes)
            ]


@pytest.mark.fuzz
def test_spoilt_notifications_and_names_do_no_harm(new_seed: int, rounds: int) -> None:
    dice = random.Random(new_seed)
    for _ in range(rounds):
        stamps = dice.randrange(4)
        body = struct.pack("<II", 0, stamps)
        for _ in range(stamps):
            data = dice.randbytes(dice.randrange(9))
            body += struct.pack("<QIII", EPOCH + dice.randrange(1 << 40), 1, dice.randrange(99), len(data)) + data
        packet = spoilt(bytes(38) + body, dice)
        try:
            for _, t_ns, data in samples(packet):
                assert 0 <= t_ns < 1 << 63
                assert len(data) <= len(packet)
        except (ValueError, struct.error):
            pass
        answers = struct.pack("<IIII", 0, 3, 0x710, 0) + b"abc"
        with suppress(ValueError, struct.error):
            assert len(parted_by_length(spoilt(answers, dice), 2)) == 2


@pytest.mark.fuzz
def test_spoilt_tables_do_no_harm(new_seed: int, rounds: int) -> None:
    """Whatever a type is said to be: it is refused, or makes values of its size, and never without end."""
    dice, plc = random.Random(new_seed), furnished()
    table = list(plc.types.values())
    known: dict[str, Declaration | None] = {name: parse_declaration(entry) for name, entry in plc.types.items()}
    for _ in range(max(1, rounds // 10)):
        spoilt_symbol(plc, dice)
        try:
            declaration = parse_declaration(spoilt(dice.choice(table), dice))
            for entry in entries(spoilt(b"".join(dice.sample(table, 3)), dice)):
                parse_declaration(entry)
        except (ValueError, struct.error):
            continue
        try:
            made: AdsType = Types(known | {declaration.name.upper(): declaration}).of(declaration.name)
        except (ValueError, UnknownTypeError):
            continue
        if made.size < 1 << 16:
            with suppress(ValueError):
                made.decode(dice.randbytes(made.size))


def spoilt_symbol(plc: AdsPlc, dice: random.Random) -> None:
    entry = dice.choice(list(plc.symbols.values())).entry()
    try:
        found = parse_symbol(spoilt(entry, dice))
        assert isinstance(found, AdsSymbol)
    except (ValueError, struct.error):
        pass


@pytest.mark.fuzz
def test_spoilt_datagrams_do_no_harm(new_seed: int, rounds: int) -> None:
    dice = random.Random(new_seed)
    fields = struct.pack("<HH", 5, 6) + b"CX-01\0" + struct.pack("<HHBBH", 3, 4, 3, 1, 4024)
    right = struct.pack("<III6sHI", 0x71146603, 0, 0x80000001, NET_ID, 10000, 2) + fields
    found = parse_packet(right, 1)
    assert found is not None
    assert (found.name, found.version, found.net_id) == ("CX-01", "3.1.4024", NET_ID)
    for _ in range(rounds):
        broken = parse_packet(spoilt(right, dice), 1)
        if broken is not None:
            assert isinstance(broken, Identity)
            assert len(broken.name) <= 80
            assert not set(broken.name) & set("\0\n\r\x1b")
            assert isinstance(broken.version, str)
