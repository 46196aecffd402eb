"""What others make of ADS: pyads' test server answers our driver, and pyads' client asks our PLC."""

import asyncio
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.plugin import Readings, quality
from plugins.ads.tests.fakes import furnished
from plugins.ads.tests.simulated import connected, make_device, pyads_server
from tests.peers.ads_client import asking
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


async def told_by(*command: str) -> Any:
    """What a judge prints."""
    judge = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, said = await judge.communicate()
    finally:
        if judge.returncode is None:
            judge.kill()
            await judge.wait()
    assert judge.returncode == 0, said.decode()[-2000:]
    return json.loads(out)


VALUES = {
    "MAIN.nCount": -7,
    "MAIN.bRun": True,
    "MAIN.fExact": -2.25,
    "MAIN.nLong": -(1 << 60) - 1,
    "MAIN.sLot": "LOT-7",
    "MAIN.wsName": "µ°C",
    "GVL.Temps": [1.0, 2.0, 3.0, 4.0],
}


async def test_the_client_of_pyads_takes_our_plc_for_one() -> None:
    """It dials one port only, so that the PLC has an address of its own."""
    plc = furnished()
    host = f"127.{1 + (os.getpid() >> 8 & 0x7F)}.{os.getpid() & 255}.7"
    try:
        async with plc.serve(host, 48898):
            told = await told_by(sys.executable, str(Path(__file__).with_name("ask_by_pyads.py")), host)
    except OSError as error:
        pytest.skip(f"ADS is not judged by pyads' client: no PLC at {host}: {error}")
    assert (told["state"], told["device"]) == ([5, 0], "Plc30 App")
    assert told["list"] == VALUES
    assert told["reported"] == [-7, 1234]
    assert told["gone"] == 0x710
    assert [name for name, _, _ in told["symbols"]] == [symbol.name for symbol in plc.symbols.values() if symbol.listed]
    assert plc.value("MAIN.nCount") == struct.pack("<h", 1234)


async def test_ads_client_reads_structures_of_our_plc_as_our_driver_does() -> None:
    plc = furnished()
    plc.ports = (851, 10000)
    names = [
        *VALUES,
        "MAIN.eState",
        "MAIN.sAlias",
        "GVL.Grid",
        "GVL.Motor",
        "GVL.Motors",
        "GVL.Motor.fSpeed",
        "MAIN.tCycle",
    ]
    async with plc.serve() as port:
        device = make_device({name: name for name in names}, port)
        async with connected(device) as driver:
            values = await driver.read(device.tags)
        told = await told_by(*asking(port, names))
    assert isinstance(values, Readings)
    ours = {
        name: values.exact.get(row, value) for row, (name, value) in enumerate(zip(names, values.value, strict=True))
    }
    theirs = told["values"]
    for motor in (theirs["GVL.Motor"], *theirs["GVL.Motors"]):
        assert motor.pop("pNext") == 0  # a pointer, which we leave out
    assert ours | {"MAIN.nLong": str(ours["MAIN.nLong"])} == theirs
    assert told["reported"] == [-7, "2027-01-15T08:00:00.000Z"]
    assert told["types"] == [["E_State", 2, 0], ["T_Short", 11, 0], *told["types"][2:]]
    assert plc.value("MAIN.nCount") == struct.pack("<h", 1234)
