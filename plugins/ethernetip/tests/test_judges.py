"""Whether the controller of the other tests is one: pylogix and pycomm3, which are not ours, find in it what we find."""

import asyncio
import json
import struct
from pathlib import Path

from plugins.ethernetip.tests.simulated import PYTHON, connected, make_device, need_judges, read_all
from plugins.ethernetip.tests.test_structures import plc


async def test_others_find_in_our_controller_what_we_find() -> None:
    need_judges()
    controller = plc(route=None)
    controller.files = {
        (0x89, 7): bytearray(struct.pack("<3h", 1, -2, 3)),
        (0x8A, 8): bytearray(struct.pack("<2f", 1.5, -2.5)),
        (0x85, 3): bytearray(b"\x10\0"),
        (0x86, 4): bytearray(struct.pack("<3H", 0x2000, 100, 42)),
        (0x8D, 9): bytearray(bytes(84) + struct.pack("<H", 5) + b"OL-T\x007" + bytes(76)),
    }
    ours = ["Recipe.Speed", "Recipe.Steps[1].Temp", "Lot", "Recipe.Flags[37]", "Program:Main.Speed"]
    others = ["Recipe", "Program:Main.Recipes[1].Steps[0].Name", "Short"]
    files = ["N7:1", "F8:1", "T4:0.ACC", "B3:0/4", "ST9:1", "N7:0{3}"]
    async with controller.serve() as port:
        device = make_device({f"t{n}": address for n, address in enumerate([*ours, *others, *files])}, port)
        async with connected(device) as driver:
            values = list((await read_all(driver, device)).values())
        process = await asyncio.create_subprocess_exec(
            str(PYTHON), str(Path(__file__).with_name("ask.py")), str(port), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
    found = json.loads(said)
    assert list(found["pylogix"].values()) == values[:5]
    assert list(found["pycomm3"].values()) == values[5:8]
    assert found["files"] == values[8:]
    assert found["list"]["Recipe"] == "Recipe"
    assert found["device"] == "1756-L85E/B"
    assert found["written"] == "Success"
    assert controller.tags["Program:Main.Speed"].data == struct.pack("<f", 9.5)
    assert controller.files[0x89, 7][2:4] == b"\x2a\0"
