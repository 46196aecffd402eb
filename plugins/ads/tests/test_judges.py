"""What others make of ADS: pyads' test server answers our driver, and pyads' client asks our PLC."""

import struct
from typing import Any

import pytest

from gateway.plugin import Readings, quality
from plugins.ads.tests.simulated import connected, make_device, pyads_server
from tests.peers.ports import free_port

pyads: Any = pytest.importorskip("pyads", reason="pyads is missing: pip install pyads")


def variable(name: str, value: Any, ads_type: int, type_: str) -> Any:
    """One of pyads' test server that sum reads find by its handle."""
    from pyads.testserver.advanced_handler import PLCVariable

    made = PLCVariable(name, value, ads_type, type_)
    made.index_group, made.index_offset = 0xF005, made.handle
    return made


@pytest.mark.parametrize("versions", [True, False])
async def test_sum_reads_by_name_of_the_test_server_of_pyads(versions: bool) -> None:
    from pyads.testserver.advanced_handler import PLCVariable

    port = free_port()
    with pyads_server(port) as served:
        for n in range(100):
            served.add_variable(variable(f"MAIN.n{n}", n, pyads.constants.ADST_INT16, "INT"))
        served.add_variable(variable("MAIN.fSpeed", 1.5, pyads.constants.ADST_REAL64, "LREAL"))
        served.add_variable(variable("MAIN.sLot", b"LOT-7\0\0\0\0\0\0", pyads.constants.ADST_STRING, "STRING(10)"))
        if versions:
            served.add_variable(PLCVariable("version", b"\1", pyads.constants.ADST_UINT8, "USINT", 0xF008, 0))
        names = [*(f"MAIN.n{n}" for n in range(100)), "MAIN.fSpeed", "MAIN.sLot", "MAIN.gone"]
        device = make_device({name: name for name in names}, port)
        async with connected(device) as driver:
            told = {tag.name: found.type for tag, found in (await driver.describe()).items()}
            values = await driver.read(device.tags)
            assert isinstance(values, Readings)
            assert list(values.value[:101]) == [*range(100), 1.5]
            assert values.exact == {101: "LOT-7"}
            assert list(values.quality) == [quality.GOOD] * 102 + [quality.BAD_NODE_ID_UNKNOWN]
            assert (told["MAIN.n7"], told["MAIN.fSpeed"], told["MAIN.sLot"]) == ("int16", "float64", "string")
            await driver.write(device.tags[7], -7)
            assert served.get_variable_by_name("MAIN.n7").value == struct.pack("<h", -7)
