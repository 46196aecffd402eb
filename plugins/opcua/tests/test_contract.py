"""The suite that every driver passes, against both servers."""

import pytest

from gateway.plugin import Device
from gateway.testing import DriverContract
from plugins.opcua import OpcUa

from .conftest import make_device

pytestmark = pytest.mark.timeout(120)  # the first run installs node-opcua


class TestOpcUa(DriverContract):
    driver = OpcUa
    good = {"Double": 2.25, "String": "grün", "UInt64": 9223372036854775807, "Boolean": 1.0, "Array": [1.0, 2.0, 3.0]}
    bad = ("Nothing",)
    writes = {"Setpoint": 12.5, "Switch": True}
    refused_writes = {"ReadOnly": 1.0, "Switch": "maybe"}

    @pytest.fixture
    async def server(self, serve) -> int:
        """A server whose values stay as they are."""
        return (await serve()).port

    def device(self, port: int) -> Device:
        return make_device(f"opc.tcp://127.0.0.1:{port}", [*self.good, *self.bad, *self.writes, *self.refused_writes])
