"""The suites that every driver passes."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract, FaultCampaign
from gateway.testing.campaign import BENT, DOWN, GOOD, Bend
from plugins.s7.driver import S7
from plugins.s7.frames import S7Framing
from plugins.s7.tests.simulated import cpu, make_device

WORDS = (6, 7, 500, 501, 900)
READ = 0x04


class TestS7(DriverContract):
    driver = S7
    good = {"first": 100, "second": 101, "bit": 1}
    bad = ("missing",)
    writes = {"word": 7, "flag": 1, "real": -2.5}
    refused_writes = {"missing": 1, "word": 70000}

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with cpu() as plc:
            await plc.put("MK", 1, b"\1")
            yield plc.port

    def device(self, port: int) -> Device:
        tags = {
            "first": "DB2.DBW200",
            "second": "DB2.DBW202",
            "missing": "DB9.DBW0",
            "bit": "M1.0",
            "word": "DB1.DBW400",
            "flag": "M2.7",
            "real": {"address": "DB1.DBD600", "type": "REAL"},
        }
        return make_device(tags, port)


def function(request: bytes) -> int:
    """Of an S7 message; -1 for what comes before."""
    return request[17] if request[5] == 0xF0 else -1


def about(word: int, request: bytes) -> bool:
    """Whether it asks for this word of DB2, which begins a place there."""
    return b"\x00\x02\x84" + (16 * word).to_bytes(3, "big") in request


def refusal(code: int) -> Bend:
    """The first place of a request is refused, or the request for a single one."""

    def bend(request: bytes, right: bytes) -> list[bytes]:
        body = right[7:19] + right[19:21] + bytes([code, 0, 0, 0])
        message = body[:6] + (2).to_bytes(2, "big") + (4).to_bytes(2, "big") + body[10:]
        return [b"\3\0" + (7 + len(message)).to_bytes(2, "big") + right[4:7] + message]

    return bend


class TestFaults(FaultCampaign):
    driver = S7
    values = {f"d{word}": word for word in WORDS}
    requests = S7Framing()
    answers = S7Framing()

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with cpu() as plc:
            yield plc.port

    def device(self, port: int) -> Device:
        tags = {f"d{word}": f"DB2.DBW{2 * word}" for word in WORDS}
        return make_device(tags, port, timeout="1s", request_timeout="300ms")

    @pytest.mark.parametrize("code", [0x05, 0x0A, 0x77])
    async def test_a_place_that_is_refused_costs_its_own_tags(
        self, code: int, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bent = "d900"

        def bend(request: bytes, right: bytes) -> list[bytes]:
            if function(request) != READ or not about(900, request):
                return [right]
            if request[18] == 1:
                return refusal(code)(request, right)
            # the last place of several: code, and nothing behind it
            message = right[7:-6] + bytes([code, 0, 0, 0])
            message = message[:8] + (len(message) - 14).to_bytes(2, "big") + message[10:]
            return [b"\3\0" + (7 + len(message)).to_bytes(2, "big") + right[4:7] + message]

        await self.endures(bend, BENT, server, monkeypatch)

    async def test_requests_for_several_places_that_are_refused_are_asked_place_by_place(
        self, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            several = function(request) == READ and request[18] > 1
            return [right[:17] + b"\x85\x00" + right[19:]] if several else [right]

        await self.endures(bend, GOOD, server, monkeypatch)

    async def test_a_cpu_that_does_not_allow_put_and_get_is_down(
        self, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            return [right[:17] + b"\x81\x04" + right[19:]] if function(request) == READ else [right]

        await self.endures(bend, DOWN, server, monkeypatch)
