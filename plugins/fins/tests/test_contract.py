"""The suite that every driver passes, by FINS/TCP."""

from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract
from plugins.fins.driver import Fins
from plugins.fins.tests.fakes import FinsPlc, make_device


class TestFins(DriverContract):
    driver = Fins
    good = {"first": 100, "second": 101, "bit": 1}
    bad = ("missing",)
    writes = {"word": 7, "flag": 1, "real": -2.5}
    refused_writes = {"missing": 1, "word": 70000}

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        plc = FinsPlc()
        plc.holes = {("D", 105)}
        async with plc.tcp() as port:
            yield port

    def device(self, port: int) -> Device:
        tags = {
            "first": "D100",
            "second": "D101",
            "missing": "D105",
            "bit": "W1.00",
            "word": "D200",
            "flag": "W2.07",
            "real": {"address": "D300", "type": "float32"},
        }
        return make_device(tags, port, transport="tcp")
