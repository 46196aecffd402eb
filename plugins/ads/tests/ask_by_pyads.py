"""What pyads' client makes of the PLC at an address, as JSON: for test_judges.py, in a process of its own, for its library
has one router for all of it."""

import json
import queue
import sys
from typing import Any

import pyads

NAMES = ["MAIN.nCount", "MAIN.bRun", "MAIN.fExact", "MAIN.nLong", "MAIN.sLot", "MAIN.wsName", "GVL.Temps"]


def main() -> None:
    pyads.open_port()
    pyads.set_local_address("127.0.0.1.1.1")
    plc = pyads.Connection("5.80.201.232.1.1", 851, sys.argv[1])
    plc.open()
    told: dict[str, Any] = {"state": plc.read_state(), "device": plc.read_device_info()[0]}
    told["list"] = plc.read_list_by_name(NAMES)
    told["symbols"] = [[each.name, each.symbol_type, each.index_offset] for each in plc.get_all_symbols()]
    reports: queue.Queue[Any] = queue.Queue()

    @plc.notification(pyads.PLCTYPE_INT)
    def reported(_handle: int, _name: str, _time: Any, value: int) -> None:
        reports.put(value)

    handles = plc.add_device_notification("MAIN.nCount", pyads.NotificationAttrib(2), reported)
    told["reported"] = [reports.get(timeout=20)]
    plc.write_by_name("MAIN.nCount", 1234, pyads.PLCTYPE_INT)
    told["reported"].append(reports.get(timeout=20))
    plc.del_device_notification(*handles)
    try:
        plc.read_by_name("MAIN.gone", pyads.PLCTYPE_INT)
    except pyads.ADSError as error:
        told["gone"] = error.err_code
    print(json.dumps(told))
    plc.close()


if __name__ == "__main__":
    main()
