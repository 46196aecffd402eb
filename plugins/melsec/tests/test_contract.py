"""The suite that every driver passes."""

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract
from plugins.melsec.driver import Melsec
from plugins.melsec.tests.simulated import make_device, plc


class TestMelsec(DriverContract):
    driver = Melsec
    good = {"first": 100, "second": 101, "bit": 1}
    bad = ("missing",)
    writes = {"word": 7, "flag": 1, "real": -2.5}
    refused_writes = {"missing": 1, "word": 70000}

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        async with plc() as simulator:
            simulator.memory.write_bits("M", 17, [True])
            yield simulator.address("tcp-binary-3E")[1]

    def device(self, port: int) -> Device:
        tags = {
            "first": "D100",
            "second": "D101",
            "missing": "D9000000",
            "bit": "M17",
            "word": "D200",
            "flag": "M33",
            "real": {"address": "D300", "type": "float32"},
        }
        return make_device(tags, SimpleNamespace(address=lambda _: ("127.0.0.1", port)))
