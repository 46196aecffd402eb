"""Messages, and what may come in place of right ones."""

import random
import struct
from typing import Any

import pytest

from gateway.plugin import quality
from gateway.testing.fuzz import spoilt, taken
from plugins.ethernetip.address import TagAddress, parse_address
from plugins.ethernetip.frames import CONNECTED, CipRequest, EthernetIpFraming, each, identity, opened_reply, several
from plugins.ethernetip.paths import logical, parse_route, symbol
from plugins.ethernetip.plan import Refusal, Room, ScanPlan
from plugins.ethernetip.questions import Learned
from plugins.ethernetip.templates import parsed, symbols, template_sizes
from plugins.ethernetip.tests.fakes import RECIPE, FakePlc
from plugins.ethernetip.tests.simulated import make_device
from plugins.ethernetip.tests.test_structures import plc


def test_addresses_are_those_of_the_publications() -> None:
    """1756-PM020 has "profile[0,1,257]" with elements of 8 and 16 bits."""
    address = parse_address("profile[0,1,257]")
    assert isinstance(address, TagAddress)
    assert address.path().hex() == "910770726f66696c6500" + "2800" + "2801" + "29000101"
    assert symbol("Start").hex() == "91055374617274" + "00"
    assert logical(0x24, 70000).hex() == "260070110100"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("1,0", "0100"),
        ("1/3", "0103"),
        ("direct", ""),
        ("1,3,2,192.168.1.10,1,0", "0103120c" + b"192.168.1.10".hex() + "0100"),
    ],
)
def test_routes_are_pairs_of_port_and_address(text: str, path: str) -> None:
    assert parse_route(text).hex() == path


@pytest.mark.parametrize("start", [b"HTTP/1.1 400", b"\x03\0\0\x16\x11\xe0", b"\x6f\0\0\0" + bytes(16) + b"\1\0\0\0"])
def test_what_is_no_ethernet_ip_is_found_out_at_once(start: bytes) -> None:
    with pytest.raises(ValueError, match="no EtherNet/IP"):
        EthernetIpFraming().size(start, 0)


TAGS = {"a": "Int", "b": "Real", "c": "Dint.3", "d": "List{3}", "e": "Lot", "f": "Int2"}
KNOWN: dict[TagAddress, Learned | Refusal] = {
    TagAddress(("Int",)): Learned(0xC3, 0, 2),
    TagAddress(("Int2",)): Learned(0xC3, 0, 2),
    TagAddress(("Real",)): Learned(0xCA, 0, 4),
    TagAddress(("Dint",)): Learned(0xC4, 0, 4),
    TagAddress(("List",)): Learned(0xC4, 0, 4),
    TagAddress(("Lot",)): Learned(0x2A0, 0x0FCE, 88),
}


def right_answer(dice: random.Random, number: int) -> tuple[bytes, list[Any], list[slice]]:
    """A frame with the answers to these tags, the values in them, and where those stand."""
    numbers = [dice.randrange(-1000, 1000) for _ in range(7)]
    text = bytes(dice.randrange(32, 127) for _ in range(dice.randrange(20)))
    data = [
        b"\xc3\0" + struct.pack("<h", numbers[0]),
        b"\xca\0" + struct.pack("<f", numbers[1]),
        b"\xc4\0" + struct.pack("<i", numbers[2]),
        b"\xc4\0" + struct.pack("<3i", *numbers[3:6]),
        b"\xa0\x02\xce\x0f" + struct.pack("<I82s2x", len(text), text),
        b"\xc3\0" + struct.pack("<h", numbers[6]),
    ]
    parts = [b"\xcc\0\0\0" + each for each in data]
    at, offsets, places = 2 + 2 * len(parts), [], []
    for part in parts:
        offsets.append(at)
        places.append(slice(24 + 22 + 4 + at + 6, 24 + 22 + 4 + at + len(part)))
        at += len(part)
    message = b"\x8a\0\0\0" + struct.pack(f"<{1 + len(parts)}H", len(parts), *offsets) + b"".join(parts)
    body = bytes(6) + struct.pack("<HHHIHHH", 2, 0xA1, 4, 99, 0xB1, 2 + len(message), number) + message
    frame = struct.pack("<HHII8sI", CONNECTED, len(body), 7, 0, number.to_bytes(8, "little"), 0) + body
    values = [numbers[0], numbers[1], numbers[2] >> 3 & 1, numbers[3:6], text.decode(), numbers[6]]
    return frame, values, places


@pytest.mark.fuzz
def test_spoilt_answers_do_no_harm(new_seed: int, rounds: int) -> None:
    """Nothing is good and wrong but where the value's own bytes were hit."""
    dice, framing = random.Random(new_seed), EthernetIpFraming()
    framing.own_id = 99
    device = make_device(TAGS, 1)
    plan = ScanPlan(device, device.tags, KNOWN, Room(4000, 4000))
    (message,) = plan.messages
    asked = CipRequest(message, CONNECTED)
    for count in range(rounds):
        number = dice.randrange(1 << 16)
        right, values, places = right_answer(dice, number)
        broken = right if count == 0 else spoilt(right, dice)
        for answer in taken(framing, asked, number, broken):
            readings = plan.read([answer], [], 1)
            for row, value in enumerate(values):
                found = readings.exact.get(row, readings.value[row])
                if readings.quality[row] == quality.GOOD and found != value:
                    assert broken[places[row]] != right[places[row]], (row, found, value, broken.hex())
            assert count or set(readings.quality) == {quality.GOOD}
            if list(plan.messages) != [message]:
                plan = ScanPlan(device, device.tags, KNOWN, Room(4000, 4000))


def lists() -> list[bytes]:
    """What a controller tells of its tags and structures."""
    controller = plc()
    ask = [
        b"\x55\x02\x20\x6b\x24\0" + struct.pack("<HHHH", 3, 1, 2, 8),
        b"\x03\x03\x20\x6c\x25\0\x24\1" + struct.pack("<5H", 4, 4, 5, 2, 1),
    ]
    return [opened_reply(controller.answer(message, 4000)).data for message in ask]


@pytest.mark.fuzz
def test_spoilt_lists_of_tags_and_structures_do_no_harm(new_seed: int, rounds: int) -> None:
    dice = random.Random(new_seed)
    listed, attributes = lists()
    definition, sizes = FakePlc.definition(RECIPE), template_sizes(attributes)
    who = struct.pack("<HHH16sH", 1, 0x0C, 33 + 12, b"", 0)[:6] + bytes(18) + FakePlc().identity() + b"\3"
    many = several([b"\x4c\0\1\0"] * 5)[6:]
    for _ in range(rounds):
        for decode, data in (
            (symbols, listed),
            (template_sizes, attributes),
            (lambda data: parsed(data, sizes), definition),
            (identity, who),
            (lambda data: each(data, 5), many),
            (opened_reply, b"\xcc\0\1\1\4\2" + many),
        ):
            try:
                decode(spoilt(data, dice))
            except (ValueError, LookupError, struct.error):
                continue


@pytest.mark.fuzz
def test_spoilt_answers_of_data_files_do_no_harm(new_seed: int, rounds: int) -> None:
    """Nothing is good and wrong but where the value's own bytes were hit."""
    dice, framing = random.Random(new_seed), EthernetIpFraming()
    device = make_device(
        {"n": "N7:0", "bit": "N7:1/3", "many": "N7:0{3}", "x": {"address": "@1/1/6", "type": "UDINT"}}, 1
    )
    file = bytearray(struct.pack("<3h", -7, 8, 9))
    controller = FakePlc(files={(0x89, 7): file}, attributes={(1, 1, 6): bytearray(b"\4\3\2\1")})
    wanted = [-7, 1, [-7, 8, 9], 0x01020304]
    plan = ScanPlan(device, device.tags, {}, Room(480, 480))
    for _ in range(rounds):
        right, broken, answers = [], [], []
        for number, message in enumerate(plan.messages):
            body = (
                bytes(6) + struct.pack("<HHHHH", 2, 0, 0, 0xB2, len(reply := controller.answer(message, 480))) + reply
            )
            frame = struct.pack("<HHII8sI", 0x6F, len(body), 7, 0, number.to_bytes(8, "little"), 0) + body
            right.append(frame)
            broken.append(spoilt(frame, dice))
            found = taken(framing, CipRequest(message), number, broken[-1])
            answers.append(found[0] if found else -1)
        readings = plan.read(answers, [], 1)
        for row, value in enumerate(wanted):
            found_value = readings.exact.get(row, readings.value[row])
            if readings.quality[row] == quality.GOOD and found_value != value:
                places = [(ours, theirs) for ours, theirs in zip(right, broken, strict=True) if ours != theirs]
                assert any(ours[-6:] != theirs[len(ours) - 6 : len(ours)] for ours, theirs in places)
        if plan.told:
            plan = ScanPlan(device, device.tags, {}, Room(480, 480))
