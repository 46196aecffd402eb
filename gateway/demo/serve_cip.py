"""The cleaning skid as a Siemens S7 that allows PUT/GET, in a process of its own: `python -m gateway.demo.serve_cip --port
10102`.

Its data block DB1 holds `cip.TAGS` at the places that PLACES has. It knows just as much of S7 communication as reading takes:
a connection (ISO 8073 in RFC 1006), agreeing upon messages, and reading bytes and bits of data blocks.
"""

import argparse
import asyncio
import struct

from gateway.demo.cip import TAGS, CipSkid
from gateway.demo.pace import Pace, commands

SEED = 11
STEP = 0.25
PLACES = {
    "temperature": "DB1.DBD0", "conductivity": "DB1.DBD4", "flow": "DB1.DBD8", "pressure": "DB1.DBD12",
    "tank_level": "DB1.DBD16", "running": "DB1.DBX20.0", "cycle": "DB1.DBW22", "phase": "DB1.24",
}  # fmt: skip
"""Where each tag stands."""
TYPES = {"running": "", "cycle": "", "phase": "STRING[16]"}
"""Of tags that are no REAL; empty where the place says it."""
_PHASE = 16
"""Characters of `phase`."""

_CONNECT, _DATA = 0xE0, 0xF0
_SETUP, _READ = 0xF0, 0x04
_BIT, _DATA_BLOCK = 0x01, 0x84
_PDU = 480
_NO_SUCH_THING, _BEYOND = b"\x0a\0\0\0", b"\x05\0\0\0"


def block(skid: CipSkid) -> bytes:
    """The bytes of DB1."""
    state = skid.state()
    numbers = [float(state[tag]) for tag in list(TAGS)[:5]]
    phase = str(state["phase"]).encode()
    head = struct.pack(">5fBxH", *numbers, int(state["running"]), int(state["cycle"]))
    return head + bytes([_PHASE, len(phase)]) + phase.ljust(_PHASE, b"\0")


def answer(packet: bytes, data: bytes) -> bytes:
    """The packet that answers this one. Raises ValueError for what is no such request."""
    kind, message = packet[5], packet[7:]
    if kind == _CONNECT:
        unit = bytes([0xD0]) + packet[8:10] + b"\0\1\0\xc0\1\x0a" + packet[14:22]
        return _packed(bytes([len(unit)]) + unit)
    if kind != _DATA or len(message) < 12 or message[:2] != b"\x32\x01":
        raise ValueError("no request of S7 communication")
    number, parameters = message[4:6], message[10:]
    if parameters[0] == _SETUP:
        said, values = struct.pack(">BBHHH", _SETUP, 0, 1, 1, min(_PDU, int.from_bytes(parameters[6:8], "big"))), b""
    elif parameters[0] == _READ:
        values = _values([parameters[2 + 12 * at : 14 + 12 * at] for at in range(parameters[1])], data)
        said = parameters[:2]
    else:
        raise ValueError(f"function {parameters[0]:02X} is not known here")
    head = b"\x32\x03\0\0" + number + struct.pack(">HHH", len(said), len(values), 0)
    return _packed(b"\x02\xf0\x80" + head + said + values)


def _values(places: list[bytes], data: bytes) -> bytes:
    values = b""
    for last, place in enumerate(places, 1 - len(places)):
        transport, count, number, area = struct.unpack_from(">BHHB", place, 3)
        bits = int.from_bytes(place[9:12], "big")
        if area != _DATA_BLOCK or number != 1:
            value = _NO_SUCH_THING
        elif (bits // 8) + count > len(data):
            value = _BEYOND
        elif transport == _BIT:
            value = b"\xff\3\0\1" + bytes([data[bits // 8] >> bits % 8 & 1])
        else:
            value = b"\xff\4" + struct.pack(">H", 8 * count) + data[bits // 8 : bits // 8 + count]
        values += value + (b"\0" if len(value) % 2 and last else b"")
    return values


def _packed(unit: bytes) -> bytes:
    return b"\3\0" + struct.pack(">H", 4 + len(unit)) + unit


async def serve(host: str, port: int) -> None:
    """Serve until standard input ends."""
    skid, pace = CipSkid(SEED), Pace(STEP)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(4)
                packet = head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4)
                pace.catch_up(skid.step)
                writer.write(answer(packet, block(skid)))
                await writer.drain()
        except (EOFError, OSError, ValueError, IndexError, struct.error):
            writer.close()

    async with await asyncio.start_server(talk, host, port):
        async for _ in commands():
            pass


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=10102)
    args = parser.parse_args()
    asyncio.run(serve(args.host, args.port))


if __name__ == "__main__":
    main()
