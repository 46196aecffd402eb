"""Drivers keep their contract in a process of their own, unchanged: the suite that they pass in the gateway's."""

import pytest

from gateway.isolation import isolated
from plugins.modbus.driver import Modbus
from plugins.modbus.tests import test_contract as of_modbus
from plugins.modbus.tests.conftest import libmodbus  # noqa: F401 - a fixture
from plugins.simulated.tests import test_simulated as of_simulated


class TestSimulatedInAProcess(of_simulated.TestSimulated):
    driver = isolated(of_simulated.Simulated)


@pytest.mark.slow
class TestModbusInAProcess(of_modbus.TestModbus):
    driver = isolated(Modbus)
    attacked_at_once = 2
