"""The suites that every driver passes."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.kit import Sized
from gateway.plugin import Device
from gateway.testing import DriverContract, FaultCampaign
from gateway.testing.campaign import BENT, GOOD, Bend
from plugins.xgt.driver import Xgt
from plugins.xgt.frames import XgtFraming
from plugins.xgt.tests.fakes import XgtPlc, make_device

WORDS = (6, 7, 500, 501, 900)


class TestXgt(DriverContract):
    driver = Xgt
    good = {"first": 100, "second": 101, "bit": 1}
    bad = ("missing",)
    writes = {"word": 7, "flag": 1, "real": -2.5}
    refused_writes = {"missing": 1, "word": 70000}

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with XgtPlc().serve() as port:
            yield port

    def device(self, port: int) -> Device:
        tags = {
            "first": "D100",
            "second": "D101",
            "missing": "D9000",
            "bit": "M1.0",
            "word": "D200",
            "flag": "M2.7",
            "real": {"address": "D300", "type": "float32"},
        }
        return make_device(tags, port)


def refusal(code: int) -> Bend:
    """Without a sum over the header, as some modules answer."""
    return lambda _, right: [right[:16] + b"\x0a\0\0\0" + right[20:26] + b"\xff\xff" + bytes([code, 0])]


class TestFaults(FaultCampaign):
    driver = Xgt
    values = {f"d{word}": word for word in WORDS}
    requests = Sized(20, lambda head: 20 + int.from_bytes(head[16:18], "little"))
    answers = XgtFraming()

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with XgtPlc().serve() as port:
            yield port

    def device(self, port: int) -> Device:
        return make_device({f"d{word}": f"D{word}" for word in WORDS}, port, timeout="1s", request_timeout="150ms")

    @pytest.mark.parametrize("code", [0x04, 0xEE])
    async def test_one_word_that_is_refused_costs_its_own_tag(
        self, code: int, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bent = "d500"

        def bend(request: bytes, right: bytes) -> list[bytes]:
            about = b"%DW500" in request or b"%DB1000" in request
            return refusal(code)(request, right) if about else [right]

        await self.endures(bend, BENT, server, monkeypatch)

    async def test_refused_places_are_asked_one_by_one(self, server: int, monkeypatch: pytest.MonkeyPatch) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            return refusal(1)(request, right) if request[26] > 1 else [right]

        await self.endures(bend, GOOD, server, monkeypatch)
