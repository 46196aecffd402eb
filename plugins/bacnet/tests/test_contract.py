"""The suite that every driver passes, against a device by bacpypes3."""

from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract, UdpLink
from gateway.testing.link import Link
from plugins.bacnet.driver import Bacnet
from plugins.bacnet.tests.plant import Served, make_device


class TestBacnet(DriverContract):
    driver = Bacnet
    good = {"room_7": 7.0, "room_8": 8.0, "fan": 1, "batch": "Ansatz 4711 µ", "offset": -300, "mode": "auto"}
    bad = ("missing", "no_command")
    writes = {"damper": 62.5, "enable": 1, "hand": 3}
    refused_writes = {"missing": 1.0}

    @pytest_asyncio.fixture
    async def server(self, plant: Served) -> AsyncIterator[int]:
        yield plant.port

    @pytest_asyncio.fixture
    async def link(self, server: int) -> AsyncIterator[Link]:
        async with UdpLink(server) as link:
            yield link

    def device(self, port: int) -> Device:
        tags = {
            "room_7": "AI:7",
            "missing": "AI:4000",
            "room_8": "analog-input,8",
            "fan": "BI:1",
            "batch": "CSV:1",
            "offset": "integer-value:1",
            "no_command": "AO:1/priority-array[8]",
            "mode": {"address": "MSV:1", "text": True},
            "damper": "AV:1",
            "enable": "BV:1",
            "hand": {"address": "MSV:1", "priority": 8},
        }
        return make_device(tags, port, timeout="5s", request_timeout="1500ms")
