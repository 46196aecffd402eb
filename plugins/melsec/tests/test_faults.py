"""A PLC that misbehaves in one way at a time, by both kinds of frames, with and without numbers."""

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
import pytest_asyncio

from gateway.kit import Sized
from gateway.plugin import Device
from gateway.testing import FaultCampaign
from gateway.testing.campaign import BENT, DOWN, GOOD, Bend
from plugins.melsec.driver import Melsec
from plugins.melsec.frames import MelsecFraming
from plugins.melsec.tests.simulated import make_device, plc

WORDS = (6, 7, 500, 501, 900)


def refused(code: int) -> Bend:
    """Every request is refused."""
    return lambda request, right: [_refusal(right, code)]


def _refusal(right: bytes, code: int) -> bytes:
    header = right[:-2] if len(right) < 11 else right[: 13 if right[0] == 0xD4 else 9]
    return header[:-2] + (2).to_bytes(2, "little") + code.to_bytes(2, "little")


class _Faults(FaultCampaign):
    driver = Melsec
    values = {f"d{word}": word for word in WORDS}
    way = ""

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with plc() as simulator:
            yield simulator.address(self.way)[1]

    def device(self, port: int) -> Device:
        tags = {f"d{word}": f"D{word}" for word in WORDS}
        simulator = SimpleNamespace(address=lambda _: ("127.0.0.1", port))
        return make_device(tags, simulator, self.way, timeout="1s", request_timeout="150ms")

    @pytest.mark.parametrize("code", [0xC056, 0xC059, 0x7A11], ids=lambda code: f"{code:04X}")
    async def test_a_request_for_several_places_that_is_refused_is_asked_place_by_place(
        self, code: int, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            return [_refusal(right, code)] if b"\x06\x04" in request else [right]

        await self.endures(bend, GOOD, server, monkeypatch)

    async def test_silence_about_several_places_is_asked_place_by_place(
        self, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.endures(
            lambda request, right: [] if b"\x06\x04" in request else [right], "mostly good", server, monkeypatch
        )

    @pytest.mark.parametrize("code", [0xC056, 0x7A11], ids=lambda code: f"{code:04X}")
    async def test_a_word_that_is_refused_costs_its_own_tag(
        self, code: int, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bent = "d500"
        there = (500).to_bytes(3, "little") + b"\xa8"
        over = (500).to_bytes(3, "little") + b"\xa8\x02\x00"

        def bend(request: bytes, right: bytes) -> list[bytes]:
            return [_refusal(right, code)] if there in request or over in request else [right]

        await self.endures(bend, BENT, server, monkeypatch)

    @pytest.mark.parametrize("code", [0xC201, 0xC05F, 0xC06F], ids=lambda code: f"{code:04X}")
    async def test_a_plc_that_refuses_everything_is_down(
        self, code: int, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.endures(refused(code), DOWN, server, monkeypatch)


class TestNumbered(_Faults):
    way = "tcp-binary-4E"
    requests = Sized(13, lambda head: 13 + int.from_bytes(head[-2:], "little"))
    answers = MelsecFraming(numbered=True, timer=1)


class TestUnnumbered(_Faults):
    way = "tcp-binary-3E"
    requests = Sized(9, lambda head: 9 + int.from_bytes(head[-2:], "little"))
    answers = MelsecFraming(numbered=False, timer=1)


del _Faults
