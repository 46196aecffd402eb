"""What goes over the wire, and what spoilt datagrams do."""

import contextlib
import random
import struct
from typing import Any

import pytest

from gateway.testing.fuzz import spoilt
from plugins.bacnet import frames, services
from plugins.bacnet.address import parse_address, shown
from plugins.bacnet.encoding import DEPTH, Kind, MalformedError, application, closing, context, opening, tag, values
from plugins.bacnet.frames import Received, Station
from plugins.bacnet.services import Place, Refusal

HERE = "127.0.0.1", 47808


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [  # of ANSI/ASHRAE 135, clause 20.2 and annex F
        (Kind.NULL, None, "00"),
        (Kind.BOOLEAN, False, "10"),
        (Kind.BOOLEAN, True, "11"),
        (Kind.UNSIGNED, 72, "2148"),
        (Kind.INTEGER, 72, "3148"),
        (Kind.INTEGER, -129, "32ff7f"),
        (Kind.REAL, 72.0, "4442900000"),
        (Kind.DOUBLE, 72.0, "55084052000000000000"),
        (Kind.OCTETS, b"\x12\x34\xff", "631234ff"),
        (Kind.TEXT, "This is a BACnet string!", "751900546869732069732061204241436e657420737472696e6721"),
        (Kind.TEXT, "Français", "750a004672616ec3a7616973"),
        (Kind.BITS, "10101", "8203a8"),
        (Kind.ENUMERATED, 0, "9100"),
        (Kind.DATE, "1991-01-24", "a45b011805"),
        (Kind.TIME, "17:35:45.17", "b411232d11"),
        (Kind.OBJECT, 3 << 22 | 15, "c400c0000f"),
    ],
)  # fmt: skip
def test_values_stand_as_the_standard_shows_them(kind: Kind, value: Any, wire: str) -> None:
    data = bytes.fromhex(wire)
    assert values(data, 0, None) == ([(kind, value)], len(data))
    if kind not in (Kind.OCTETS, Kind.BITS, Kind.DATE, Kind.TIME, Kind.OBJECT):
        assert application(kind, value) == data


@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, -1, -128, -129, 32767, -32768, (1 << 31) - 1, -(1 << 31)])
def test_signed_numbers_come_back(number: int) -> None:
    assert values(application(Kind.INTEGER, number), 0, None)[0] == [(Kind.INTEGER, number)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Kind.UNSIGNED, -1), (Kind.UNSIGNED, 1 << 32), (Kind.UNSIGNED, 1.5), (Kind.REAL, 1e39), (Kind.DATE, "1991-01-24")],
)
def test_what_a_type_cannot_hold_is_not_written(kind: Kind, value: Any) -> None:
    with pytest.raises(ValueError):
        application(kind, value)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\0abc", "abc"),
        (b"\4\0a\0b", "ab"),
        (b"\5\xb5", "µ"),
        (b"\0\xff", "\ufffd"),
        (b"\1\3\x52a", "a"),
        (b"\x63a", "a"),
    ],
)
def test_texts_of_all_character_sets(raw: bytes, text: str) -> None:
    assert values(tag(7, False, raw), 0, None)[0] == [(Kind.TEXT, text)]


@pytest.mark.parametrize(
    "wire",
    [
        "21",
        "25",
        "2500",
        "1f",
        "0e",
        "0f",
        "0e1f",
        "44429000",
        "a35b0118",
        "83",
        "8103",
        "81",
        "12",
        "31",
        "3509" + "00" * 9,
    ],
)
def test_what_ends_too_early_or_is_none_is_malformed(wire: str) -> None:
    with pytest.raises((MalformedError, IndexError, struct.error)):
        values(bytes.fromhex(wire), 0, None)


def test_brackets_within_brackets_have_an_end() -> None:
    deep = opening(0) * (DEPTH + 5) + closing(0) * (DEPTH + 5)
    with pytest.raises(MalformedError, match="too many brackets"):
        values(deep, 0, None)


def test_a_device_behind_a_router_is_asked_and_answers() -> None:
    station = Station("10.0.0.1", 47808, 2001, b"\x0c")
    datagram = frames.unicast(station, frames.confirmed(7, 14, b"body"), reply=True)
    assert datagram.hex() == "810a0013" + "0124" + "07d1010cff" + "0275070e" + b"body".hex()
    answer = frames.bvlc(10, bytes.fromhex("0108" + "07d1010c" + "30070e") + b"data")
    got = frames.opened(answer, "10.0.0.1", 47808)
    assert isinstance(got, Received) and got.source == station and got.apdu and got.apdu.body == b"data"


def test_what_a_distributor_forwards_comes_from_its_origin() -> None:
    forwarded = frames.bvlc(
        4, bytes((10, 0, 0, 9, 0xBA, 0xC1)) + b"\1\0\x10\0" + bytes.fromhex("c4020004d22205c49100210f")
    )
    got = frames.opened(forwarded, *HERE)
    assert isinstance(got, Received) and got.source == Station("10.0.0.9", 0xBAC1) and got.apdu
    assert services.i_am(got.apdu.body) == (1234, 1476, 0, 15)


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("AI:3", "AI:3"),
        ("ai 3", "AI:3"),
        ("AI3", "AI:3"),
        ("analog-input,3", "AI:3"),
        ("analogInput:3", "AI:3"),
        ("0:3", "AI:3"),
        ("AI:3/present-value", "AI:3"),
        ("AI:3/presentValue", "AI:3"),
        ("AV:7/87[8]", "AV:7/priority-array[8]"),
        ("device:1234/object-list[0]", "device:1234/object-list[0]"),
        ("128:5/512", "128:5/512"),
    ],
)
def test_addresses_may_be_written_otherwise(said: str, plain: str) -> None:
    assert shown(parse_address(said)) == plain
    assert parse_address(plain) == parse_address(said)


def right_answer(places: list[tuple[Place, bytes | Refusal]]) -> bytes:
    """Of ReadPropertyMultiple, each object by itself."""
    parts = []
    for place, found in places:
        parts.append(tag(0, True, place.object.to_bytes(4, "big")) + opening(1) + context(2, place.property))
        if place.item >= 0:
            parts.append(context(3, place.item))
        if isinstance(found, Refusal):
            parts.append(opening(5) + bytes((0x91, found.class_, 0x91, found.code)) + closing(5))
        else:
            parts.append(opening(4) + found + closing(4))
        parts.append(closing(1))
    return b"".join(parts)


def some_value(dice: random.Random) -> bytes:
    match dice.randrange(6):
        case 0:
            return application(Kind.REAL, dice.uniform(-1e6, 1e6))
        case 1:
            return application(Kind.UNSIGNED, dice.randrange(1 << 32))
        case 2:
            return tag(8, False, bytes((4, dice.randrange(256))))
        case 3:
            return tag(7, False, b"\0" + dice.randbytes(dice.randrange(300)))
        case 4:
            return opening(0) + application(Kind.INTEGER, dice.randrange(1000)) + closing(0)
        case _:
            return b"".join(application(Kind.BOOLEAN, dice.random() < 0.5) for _ in range(dice.randrange(4)))


@pytest.mark.fuzz
def test_spoilt_answers_do_no_harm(new_seed: int, rounds: int) -> None:
    """What is spoilt is malformed, or answers in the very form of a right one: as many properties of known places, each
    with values of a known kind or a refusal. What it claims to be longer than it is, costs no memory."""
    dice = random.Random(new_seed)
    for _ in range(rounds):
        places: list[tuple[Place, bytes | Refusal]] = [
            (
                Place(dice.randrange(1 << 32), dice.randrange(600), dice.choice((-1, dice.randrange(300)))),
                some_value(dice) if dice.random() < 0.9 else Refusal(dice.randrange(8), dice.randrange(150)),
            )
            for _ in range(dice.randrange(1, 6))
        ]
        body = right_answer(places)
        assert [place for place, _ in services.read_multiple_answer(body)] == [place for place, _ in places]
        whole = frames.bvlc(10, b"\1\0\x30\x07\x0e" + body)
        broken = spoilt(whole, dice)
        try:
            got = frames.opened(broken, *HERE)
            if not isinstance(got, Received) or got.apdu is None:
                continue
            found = services.read_multiple_answer(got.apdu.body)
        except MalformedError:
            continue
        for _, answer in found:
            assert isinstance(answer, Refusal) or all(kind in list(Kind) for kind, _ in answer)
        assert len(found) <= len(broken) // 4


@pytest.mark.fuzz
def test_anything_at_all_is_understood_or_malformed(new_seed: int, rounds: int) -> None:
    dice = random.Random(new_seed)
    parsers = (
        services.read_property_answer, services.read_multiple_answer, services.notification, services.i_am,
        services.error_of,
    )  # fmt: skip
    for _ in range(rounds):
        data = dice.randbytes(dice.randrange(60))
        head = struct.pack(">BBH", 0x81, dice.choice((0, 4, 10, 11)), 4 + len(data))
        for parse, said in ((lambda data: frames.opened(data, *HERE), head + data), (dice.choice(parsers), data)):
            with contextlib.suppress(MalformedError):
                parse(said)  # type: ignore[operator]
