"""The coater as a Modbus TCP device, in a process of its own: `python -m gateway.demo.serve_coater --port 5020`.

Holding registers from 40001 on: each tag of `coater.TAGS` as a float32, high word first. A line "clog" or "clean" on
standard input starts or ends the fault.
"""

import argparse
import asyncio
import struct

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.demo.coater import Coater
from gateway.demo.pace import Pace, commands

SEED = 7
STEP = 0.25


async def serve(host: str, port: int) -> None:
    """Serve until standard input ends."""
    coater = Coater(SEED)
    pace = Pace(STEP)

    async def on_access(_: int, start: int, __: int, ___: int, registers: list[int], ____: object) -> None:
        pace.catch_up(coater.step)
        for place, word in enumerate(_words(coater), start=-start):
            if 0 <= place < len(registers):
                registers[place] = word

    count = len(_words(coater))
    device = SimDevice(id=0, simdata=[SimData(0, count=count, datatype=DataType.REGISTERS)], action=on_access)
    server = ModbusTcpServer(device, address=(host, port))
    serving = asyncio.create_task(server.serve_forever())
    async for word in commands():
        if word == "clog":
            coater.clog()
        elif word == "clean":
            coater.clean()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def _words(coater: Coater) -> list[int]:
    values = list(coater.state().values())
    return list(struct.unpack(f">{2 * len(values)}H", struct.pack(f">{len(values)}f", *values)))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5020)
    args = parser.parse_args()
    asyncio.run(serve(args.host, args.port))


if __name__ == "__main__":
    main()
