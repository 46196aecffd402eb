"""The suites that every driver passes."""

import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract, FaultCampaign
from gateway.testing.campaign import BENT, DOWN, GOOD
from plugins.ads.driver import Ads
from plugins.ads.frames import READ_WRITE, SUM_READ, SUM_READ_WRITE, AdsFraming
from plugins.ads.tests.fakes import INT, furnished
from plugins.ads.tests.simulated import make_device


class TestAds(DriverContract):
    driver = Ads
    good = {"count": -7, "speed": 1.5, "lot": "LOT-7", "bit": 1}
    bad = ("missing", "long")
    writes = {"exact": 7.5, "run": 0, "state": 1}
    refused_writes = {"missing": 1, "count": 70000, "motor": 1, "bit": 1, "state": 5}

    options: Mapping[str, Any] = {}

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        plc = furnished()
        plc.add("MAIN.sLong", "STRING(3)", 30, b"abcd")
        async with plc.serve() as port:
            yield port

    def device(self, port: int) -> Device:
        tags = {
            "count": "MAIN.nCount",
            "missing": "MAIN.nGone",
            "speed": "MAIN.fSpeed",
            "lot": "MAIN.sLot",
            "bit": "MAIN.wStatus.15",
            "long": "MAIN.sLong",
            "exact": "MAIN.fExact",
            "run": "MAIN.bRun",
            "state": "MAIN.eState",
            "motor": "GVL.Motor",
        }
        return make_device(tags, port, **self.options)


class TestSubscribing(TestAds):
    """The same, reported by the PLC."""

    options: Mapping[str, Any] = {"acquisition": "subscribe", "scan": "100ms"}


def asks(request: bytes, group: int) -> bool:
    """Whether it is a sum command of this index group."""
    return request[22:24] == bytes([READ_WRITE, 0]) and request[38:42] == struct.pack("<I", group)


def about(request: bytes, right: bytes, which: int, code: int) -> list[bytes]:
    """The answer to a sum read, with a code in place of one of its places."""
    at = 46 + 4 * which
    return [right[:at] + struct.pack("<I", code) + right[at + 4 :]] if asks(request, SUM_READ) else [right]


class TestFaults(FaultCampaign):
    driver = Ads
    values = {f"d{n}": n for n in range(5)}
    bent = "d4"
    requests = AdsFraming()
    answers = AdsFraming()

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        plc = furnished()
        for n in range(5):
            plc.add(f"GVL.d{n}", "INT", INT, struct.pack("<h", n))
        async with plc.serve() as port:
            yield port

    def device(self, port: int) -> Device:
        return make_device({f"d{n}": f"GVL.d{n}" for n in range(5)}, port, timeout="1s", request_timeout="300ms")

    @pytest.mark.parametrize("code", [0x705, 0x723, 0x98110710])
    async def test_a_value_that_is_refused_costs_its_own_tag(
        self, code: int, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.endures(lambda request, right: about(request, right, 5, code), BENT, server, monkeypatch)

    async def test_a_device_without_sum_commands_is_asked_one_by_one(
        self, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            if not asks(request, SUM_READ) and not asks(request, SUM_READ_WRITE):
                return [right]
            body = struct.pack("<II", 0x701, 0)
            head = right[6:26] + struct.pack("<I", len(body)) + right[30:38]
            return [struct.pack("<HI", 0, 40) + head + body]

        await self.endures(bend, GOOD, server, monkeypatch)

    @pytest.mark.parametrize("error", [6, 7, 0x12])
    async def test_a_port_that_is_not_there_is_down(
        self, error: int, server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bend(_: bytes, right: bytes) -> list[bytes]:
            head = right[6:26] + struct.pack("<II", 0, error) + right[34:38]
            return [struct.pack("<HI", 0, 32) + head]

        await self.endures(bend, DOWN, server, monkeypatch)

    async def test_answers_of_another_size_cost_their_tags(self, server: int, monkeypatch: pytest.MonkeyPatch) -> None:
        def bend(request: bytes, right: bytes) -> list[bytes]:
            if not asks(request, SUM_READ):
                return [right]
            length, data = (int.from_bytes(right[at : at + 4], "little") - 1 for at in (26, 42))
            head = right[6:26] + struct.pack("<I", length) + right[30:42] + struct.pack("<I", data)
            return [struct.pack("<HI", 0, len(right) - 7) + head + right[46:-1]]

        await self.endures(bend, DOWN, server, monkeypatch)
