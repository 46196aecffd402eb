"""The suite that every driver passes, against libmodbus in another process."""

from collections.abc import Callable

import pytest

from gateway.plugin import Device
from gateway.testing import DriverContract
from plugins.modbus.driver import Modbus
from plugins.modbus.tests.fakes import make_device


class TestModbus(DriverContract):
    driver = Modbus
    good = {"first": 1.0, "second": 1.015625, "register": 3, "coil": 1, "bit": 1}
    bad = ("missing", "beyond")
    writes = {"first": -2.5, "word": 7, "flag": 1, "bits": 5, "text": "BATCH-17"}
    refused_writes = {"register": 1, "beyond": 1, "word": 70000, "text": "longer than that"}

    @pytest.fixture
    def server(self, libmodbus: Callable[..., list[int]]) -> int:
        """A server whose values stay as they are."""
        return libmodbus("--period", "3600", "--hole", "hr:4")[0]

    def device(self, port: int) -> Device:
        tags = {
            "first": {"address": "40001", "type": "float32"},
            "second": {"address": "40003", "type": "float32"},
            "missing": {"address": "40005", "type": "uint16"},
            "register": {"address": "30003", "type": "int16"},
            "coil": "00001",
            "bit": "30003.1",
            "word": {"address": "hr:1500", "type": "uint16"},
            "flag": "hr:1501.4",
            "bits": {"address": "hr:1501.8-10"},
            "beyond": {"address": "hr:2500", "type": "uint16"},
            "text": {"address": "hr:1510", "type": "string", "length": 8},
        }
        return make_device(tags, port=port)
