"""The suites that every driver passes."""

import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract, FaultCampaign
from gateway.testing.campaign import BENT, DOWN, GOOD
from plugins.ethernetip.driver import EthernetIp
from plugins.ethernetip.frames import EthernetIpFraming
from plugins.ethernetip.tests.fakes import ASKED, STRING, FakePlc, tag
from plugins.ethernetip.tests.simulated import make_device


def plc() -> FakePlc:
    """A controller with some tags."""
    tags = {
        "Speed": tag(0xCA, struct.pack("<f", 1.5)),
        "Counts": tag(0xC4, struct.pack("<5i", 10, 11, 12, 13, 14), 5),
        "Word": tag(0xC3, b"\x08\0"),
        "Flags": tag(0xD3, (1 << 37).to_bytes(8, "little"), 2),
        "Program:Main.Lot": tag(STRING, b"\5\0\0\0LOT-7"),
    }
    return FakePlc(tags, {(0x89, 7): bytearray(struct.pack("<4h", 5, 6, 7, -8))}, {(0x93, 1, 9): bytearray(b"\7\0")})


class TestEthernetIp(DriverContract):
    driver = EthernetIp
    good = {"speed": 1.5, "third": 13, "bit": 1, "flag": 1, "lot": "LOT-7", "file": -8, "attribute": 7}
    bad = ("missing", "behind", "no_file")
    writes = {"speed": -2.5, "third": 77, "bit": 0, "flag": 0, "lot": "B", "file": 9, "attribute": 8}
    refused_writes = {"missing": 1, "third": 1 << 40, "lot": "x" * 83, "no_file": 1}

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with plc().serve() as port:
            yield port

    def device(self, port: int) -> Device:
        tags = {
            "speed": "Speed",
            "third": "Counts[3]",
            "missing": "Nothing",
            "bit": "Word.3",
            "behind": "Counts[5]",
            "flag": "Flags[37]",
            "lot": {"address": "Program:Main.Lot", "type": "STRING"},
            "file": "N7:3",
            "no_file": "N9:0",
            "attribute": {"address": "@0x93/1/9", "type": "UINT"},
        }
        return make_device(tags, port, timeout="3s")


def service_of(request: bytes) -> int:
    """Of a message on a connection; -1 for what comes before."""
    return request[46] if request[:2] == b"\x70\0" else -1


def replaced(right: bytes, message: bytes) -> bytes:
    """The answer with another message of CIP in it."""
    body = right[24:42] + (2 + len(message)).to_bytes(2, "little") + right[44:46] + message
    return right[:2] + len(body).to_bytes(2, "little") + right[4:24] + body


class TestFaults(FaultCampaign):
    driver = EthernetIp
    values = {"speed": 1.5, "third": 13, "flag": 1, "file": -8, "attribute": 7}
    requests = ASKED
    answers = EthernetIpFraming()

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with plc().serve() as port:
            yield port

    def device(self, port: int) -> Device:
        tags = {
            "speed": "Speed",
            "third": "Counts[3]",
            "flag": "Flags[37]",
            "file": "N7:3",
            "attribute": {"address": "@0x93/1/9", "type": "UINT"},
        }
        return make_device(tags, port, timeout="600ms")

    @pytest.mark.parametrize("status", [0x02, 0x10])
    async def test_a_controller_that_has_no_time_is_down(
        self, status: int, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            asked = service_of(request)
            return [replaced(right, bytes([asked | 0x80, 0, status, 0]))] if asked >= 0 else [right]

        await self.endures(bend, DOWN, server, monkeypatch)

    async def test_several_services_in_a_message_that_are_refused_are_asked_one_by_one(
        self, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            return [replaced(right, b"\x8a\0\x08\0")] if service_of(request) == 0x0A else [right]

        await self.endures(bend, GOOD, server, monkeypatch)

    async def test_an_answer_of_another_service_is_no_answer(
        self, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            return [replaced(right, b"\xcd\0\0\0")] if service_of(request) >= 0 else [right]

        await self.endures(bend, DOWN, server, monkeypatch)

    async def test_a_service_that_fails_among_several_costs_its_own_tag(
        self, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bent = "attribute"

        def bend(request: bytes, right: bytes) -> list[bytes]:
            return [right.replace(b"\x8e\0\0\0\7\0", b"\x8e\0\x14\0\7\0")] if service_of(request) == 0x0A else [right]

        await self.endures(bend, BENT, server, monkeypatch)
