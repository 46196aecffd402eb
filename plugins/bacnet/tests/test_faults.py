"""A network and a device that misbehave in one way at a time: datagrams lost, repeated, late, in another order, halved and
foreign. Nothing that is wrong is ever good, neighbours stay, and what was repaired is read again."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DatagramCampaign
from gateway.testing.campaign import BENT, DOWN, GOOD, MOSTLY, Bend, now_and_then
from plugins.bacnet.driver import Bacnet
from plugins.bacnet.tests.plant import Served, make_device

RPM = 0x0E
ROOMS = (6, 7, 50, 51, 90)


def is_read(request: bytes) -> bool:
    return request[6] >> 4 == 0 and request[9] == RPM


def about(room: int, request: bytes) -> bool:
    """Whether a request is about this analog input."""
    return b"\x0c" + room.to_bytes(4, "big") + b"\x1e" in request


def pdu(request: bytes, *body: int) -> bytes:
    """An answer to a request in the place of the right one: the APDU's octets, with the invoke id after the first."""
    apdu = bytes((body[0], request[8], *body[1:]))
    return b"\x81\x0a" + (6 + len(apdu)).to_bytes(2, "big") + b"\1\0" + apdu


def of_one(bend: Bend, room: int = 50) -> Bend:
    return lambda request, right: bend(request, right) if is_read(request) and about(room, request) else [right]


def alone(bend: Bend, room: int = 50) -> Bend:
    """Only where it is asked for with nothing else."""
    return of_one(lambda request, right: bend(request, right) if request.count(b"\x1e\x09") == 1 else [right], room)


def always(*body: int) -> Bend:
    return lambda request, right: [pdu(request, *body)] if is_read(request) else [right]


def reordered() -> Bend:
    """Each answer waits for the next one, which goes first."""
    held: list[bytes] = []

    def bend(_: bytes, right: bytes) -> list[bytes]:
        held.append(right)
        return [held.pop(), held.pop(0)] if len(held) == 2 else []

    return bend


def another_invoke(_: bytes, right: bytes) -> list[bytes]:
    return [right[:7] + bytes((right[7] ^ 0x40,)) + right[8:]]


def of_another_object(request: bytes, right: bytes) -> list[bytes]:
    """The values are right, and of objects that nobody has asked for."""
    return [right.replace(b"\x0c\0\0\0\x32", b"\x0c\0\0\0\x33")] if is_read(request) else [right]


MANNERS: dict[str, tuple[Callable[[], Bend], str]] = {
    "answers in another order": (reordered, MOSTLY),
    "answers by another number": (lambda: another_invoke, DOWN),
    "answers by another number now and then": (lambda: now_and_then(another_invoke), MOSTLY),
    "answers about another object": (lambda: of_another_object, BENT),
    "no segments": (lambda: of_one(lambda request, _: [pdu(request, 0x71, 4)]), BENT),
    "no buffer": (lambda: of_one(lambda request, _: [pdu(request, 0x60, 1)]), BENT),
    "an error for the whole": (lambda: of_one(lambda request, _: [pdu(request, 0x50, RPM, 0x91, 1, 0x91, 31)]), BENT),
    "an error that is none": (lambda: of_one(lambda request, _: [pdu(request, 0x50, RPM)]), BENT),
    "a mere acknowledgement": (lambda: of_one(lambda request, _: [pdu(request, 0x20, RPM)]), BENT),
    "an empty answer": (lambda: of_one(lambda request, _: [pdu(request, 0x30, RPM)]), BENT),
    "one that takes few": (
        lambda: lambda request, right: [pdu(request, 0x71, 4)] if is_read(request) and len(request) > 40 else [right],
        GOOD,
    ),
    "no ReadPropertyMultiple": (lambda: always(0x60, 9), GOOD),
    "busy": (lambda: lambda request, right: [pdu(request, 0x71, 3)] if is_read(request) else [right], DOWN),
    "another device": (
        lambda: lambda request, right: [right.replace(b"\x0c\x02\0\x04\xd2", b"\x0c\x02\0\x04\xd3")],
        DOWN,
    ),
}


class TestFaults(DatagramCampaign):
    driver = Bacnet
    values = {f"r{room}": float(room) for room in ROOMS}
    bent = "r50"

    @pytest_asyncio.fixture
    async def server(self, plant: Served) -> AsyncIterator[int]:
        yield plant.port

    def device(self, port: int) -> Device:
        return make_device({f"r{room}": f"AI:{room}" for room in ROOMS}, port, timeout="1s", request_timeout="150ms")

    @pytest.mark.parametrize("manner", MANNERS)
    async def test_a_manner_of_bacnet(self, manner: str, server: int, monkeypatch: pytest.MonkeyPatch) -> None:
        make_bend, kind = MANNERS[manner]
        await self.endures(make_bend(), kind, server, monkeypatch)
