"""The suites that every driver passes, for the transport by symbols."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract, FaultCampaign
from gateway.testing.campaign import MOSTLY, Bend
from gateway.testing.link import Link
from plugins.s7.driver import S7
from plugins.s7.frames import S7Framing
from plugins.s7.tests.symbols import cpu, make_device

GET_MULTI_VARIABLES = b"\x05\x4c"
MIXER = '"Mixer 1".'


class TestS7Symbols(DriverContract):
    driver = S7
    good = {"temperature": 21.5, "count": -70000, "lot": "LOT-7"}
    bad = ("missing",)
    writes = {"X": 7, "limit": -2.5}
    refused_writes = {"missing": 1, "X": 70000}

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with cpu() as plc:
            yield plc.port

    def device(self, port: int) -> Device:
        tags = {name: MIXER + name for name in (*self.good, "missing")}
        return make_device(tags | {"X": MIXER + "inner.X", "limit": MIXER + "limits[1]"}, port)

    @pytest.mark.skip(
        reason="a CPU is found by what it tells by the other protocol of that port, which this server lacks"
    )
    async def test_what_it_discovers_is_a_device_of_the_configuration(self, link: Link) -> None: ...


class Packets(S7Framing):
    """Packets of RFC 1006, in one of which this server tells all its types."""

    longest = 1 << 16


class TestFaults(FaultCampaign):
    driver = S7
    values = {f"w{n}": n for n in (1, 50, 299)}
    requests = Packets()
    answers = Packets()

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with cpu(encrypted=False) as plc:
            yield plc.port

    def device(self, port: int) -> Device:
        tags = {name: f"Many.{name}" for name in self.values}
        return make_device(tags, port, tls=False, timeout="1s", request_timeout="300ms")

    async def endures(self, bend: Bend, kind: str, server: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """What happens now and then happens to reads: to connect takes a dozen requests, none of which can be repeated."""

        def reads(request: bytes, right: bytes) -> list[bytes]:
            return bend(request, right) if request[14:16] == GET_MULTI_VARIABLES else [right]

        await super().endures(reads if kind == MOSTLY else bend, kind, server, monkeypatch)
