"""Run by the Python of .venv/cip: what pylogix and pycomm3 find at a controller on this machine, as JSON. Its argument is the
port."""

import json
import sys

from pycomm3 import LogixDriver, SLCDriver
from pylogix import PLC

port = int(sys.argv[1])
found = {}
with PLC("127.0.0.1", port=port) as plc:
    names = ["Recipe.Speed", "Recipe.Steps[1].Temp", "Lot", "Recipe.Flags[37]", "Program:Main.Speed"]
    found["pylogix"] = {each.TagName: each.Value for each in plc.Read(names)}
    found["written"] = plc.Write("Program:Main.Speed", 9.5).Status
    found["list"] = {tag.TagName: tag.DataType for tag in plc.GetTagList().Value}
    found["device"] = plc.GetDeviceProperties().Value.ProductName
with LogixDriver(f"127.0.0.1:{port}") as plc:
    found["pycomm3"] = {
        each.tag: each.value for each in plc.read("Recipe", "Program:Main.Recipes[1].Steps[0].Name", "Short")
    }
with SLCDriver(f"127.0.0.1:{port}") as plc:
    names = ("N7:1", "F8:1", "T4:0.ACC", "B3:0/4", "ST9:1", "N7:0{3}")
    found["files"] = [each.value for each in plc.read(*names)]
    plc.write(("N7:1", 42))
json.dump(found, sys.stdout)
