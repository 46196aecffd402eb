"""Run by the Python of .venv/snap7: the C++ server of snap7 2.x with some data blocks. Its argument is the port; it says
"ready", and then takes lines "AREA NUMBER OFFSET HEX" to hold these bytes, each answered by the bytes that stand there."""

import ctypes
import sys

from snap7.server import Server
from snap7.type import SrvArea

AREAS = {"PE": 0, "PA": 1, "MK": 2, "CT": 3, "TM": 4, "DB": 5}


def main(port: int) -> None:
    server = Server(log=False)
    held = {}
    for name, number, size in [
        ("PE", 0, 256), ("PA", 0, 256), ("MK", 0, 1024), ("CT", 0, 64), ("TM", 0, 64),
        ("DB", 1, 2000), ("DB", 2, 20000), ("DB", 7, 64),
    ]:  # fmt: skip
        buffer = (ctypes.c_uint8 * size)()
        held[name, number] = buffer
        server.register_area(SrvArea(AREAS[name]), number, buffer)
    for at in range(0, 20000, 2):
        held["DB", 2][at : at + 2] = (at // 2).to_bytes(2, "big")
    server.start(port)
    print("ready", flush=True)
    for line in sys.stdin:
        name, number, offset, wire = line.split(" ")
        buffer, data, begin = held[name, int(number)], bytes.fromhex(wire), int(offset)
        if data:
            buffer[begin : begin + len(data)] = data
        print(bytes(buffer[begin : begin + 32]).hex(), flush=True)
    server.stop()


main(int(sys.argv[1]))
