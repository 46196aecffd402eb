"""A Modbus TCP server on libmodbus, which is not our code: the device of tests and benchmarks, in a process of its own.

    python tests/peers/modbus_server.py --ports 3 --units 1,2 --floats 50 --hole hr:20-21

prints `ready PORT PORT …` once it listens, and runs until it is terminated or its parent dies. Every port is one device, or
several behind one gateway, told apart by their unit ids. With `--serial` it is one device, the first of `--units`, on a
pseudo-terminal that speaks RTU, whose path it prints in place of ports. All have the same memory, renewed each `--period`
seconds:

    holding registers  0 …       `--floats` float32, big-endian: counter + n / 64 for the n-th, exact below 2^17
    holding registers  1000 …    1000 registers that keep what a client writes there
    input registers    0-1       the counter as uint32; from 2 on, register n holds (counter + n) modulo 65536
    coils              n         (counter + n) is odd; writable ones from 1000 on
    discrete inputs    n         (counter + n) is even

The counter starts at 1. With `--log FILE` each new counter is written there with the wall time in nanoseconds.
"""

import argparse
import ctypes
import ctypes.util
import os
import selectors
import signal
import socket
import struct
import sys
import time
import tty
from pathlib import Path

import numpy as np

INSTALL = "apt-get install libmodbus5"
HOLDING, INPUTS, BITS, WRITABLE = 2000, 256, 2000, 1000
_READS = {1: "co", 2: "di", 3: "hr", 4: "ir"}
_ILLEGAL_ADDRESS = 2


class _Mapping(ctypes.Structure):
    """modbus_mapping_t of libmodbus 3.1."""

    _fields_ = [
        *((name, ctypes.c_int) for name in (
            "nb_bits", "start_bits", "nb_input_bits", "start_input_bits",
            "nb_input_registers", "start_input_registers", "nb_registers", "start_registers",
        )),
        ("tab_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_registers", ctypes.POINTER(ctypes.c_uint16)),
        ("tab_registers", ctypes.POINTER(ctypes.c_uint16)),
    ]  # fmt: skip


def load_library() -> ctypes.CDLL:
    """libmodbus. Raises OSError with the line that installs it."""
    try:
        lib = ctypes.CDLL(ctypes.util.find_library("modbus") or "libmodbus.so.5")
    except OSError as error:
        raise OSError(f"libmodbus is missing; {INSTALL}") from error
    lib.modbus_new_tcp.restype = lib.modbus_new_rtu.restype = ctypes.c_void_p
    lib.modbus_new_rtu.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char, ctypes.c_int, ctypes.c_int]
    lib.modbus_set_slave.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.modbus_get_header_length.argtypes = [ctypes.c_void_p]
    lib.modbus_mapping_new.restype = ctypes.POINTER(_Mapping)
    for name in ("modbus_set_socket", "modbus_receive", "modbus_reply", "modbus_reply_exception"):
        function = getattr(lib, name)
        function.argtypes = {
            "modbus_set_socket": [ctypes.c_void_p, ctypes.c_int],
            "modbus_receive": [ctypes.c_void_p, ctypes.c_char_p],
            "modbus_reply": [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(_Mapping)],
            "modbus_reply_exception": [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint],
        }[name]
    return lib


class Memory:
    """One device's registers and bits, shared with libmodbus."""

    def __init__(self, lib: ctypes.CDLL, floats: int) -> None:
        self.mapping = lib.modbus_mapping_new(BITS, BITS, HOLDING, INPUTS)
        table = self.mapping.contents
        self._floats = floats
        self._holding = np.ctypeslib.as_array(table.tab_registers, (HOLDING,))
        self._inputs = np.ctypeslib.as_array(table.tab_input_registers, (INPUTS,))
        self._coils = np.ctypeslib.as_array(table.tab_bits, (BITS,))
        self._discrete = np.ctypeslib.as_array(table.tab_input_bits, (BITS,))

    def renew(self, counter: int) -> None:
        values = (counter + np.arange(self._floats) / 64).astype(">f4")
        self._holding[: 2 * self._floats] = values.view(">u2")
        self._inputs[:] = counter + np.arange(INPUTS) & 0xFFFF
        self._inputs[:2] = struct.unpack(">HH", struct.pack(">I", counter))
        self._coils[:WRITABLE] = counter + np.arange(WRITABLE) & 1
        self._discrete[:] = counter + 1 + np.arange(BITS) & 1


class Server:
    """Serves all ports from one loop."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._lib = load_library()
        self._context = self._new_context()
        self._header = self._lib.modbus_get_header_length(self._context)
        self._memories = {unit: Memory(self._lib, options.floats) for unit in options.units}
        self._selector = selectors.DefaultSelector()
        if options.serial:
            self.ports = [self._open_terminal()]
        else:
            self.ports = [self._listen(options.port + n if options.port else 0) for n in range(options.ports)]
        self._counter = 0
        self._query = ctypes.create_string_buffer(260)

    def _new_context(self) -> int:
        if not self._options.serial:
            return int(self._lib.modbus_new_tcp(b"127.0.0.1", 0))
        context = int(self._lib.modbus_new_rtu(b"pseudo-terminal", 19200, b"E", 8, 1))
        self._lib.modbus_set_slave(context, self._options.units[0])
        return context

    def _open_terminal(self) -> str:
        ours, self._theirs = os.openpty()  # theirs stays open, so that a client that goes hangs up on nobody
        tty.setraw(self._theirs)
        self._selector.register(ours, selectors.EVENT_READ)
        return os.ttyname(self._theirs)

    def _listen(self, port: int) -> int:
        listener = socket.create_server((self._options.bind, port), backlog=1024)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, listener.accept)
        return int(listener.getsockname()[1])

    def serve(self) -> None:
        next_tick = time.monotonic()
        while True:
            if time.monotonic() >= next_tick:
                self._tick()
                next_tick += self._options.period
            for key, _ in self._selector.select(max(0.0, next_tick - time.monotonic())):
                if key.data:
                    client, _ = key.data()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._selector.register(client, selectors.EVENT_READ)
                else:
                    self._answer(key.fileobj)

    def _tick(self) -> None:
        self._counter += 1
        if self._options.log:  # first, so that nobody reads a counter before the time that the log gives it
            with self._options.log.open("a") as log:
                log.write(f"{self._counter} {time.time_ns()}\n")
        for memory in self._memories.values():
            memory.renew(self._counter)

    def _answer(self, client: socket.socket | int) -> None:
        lib, context, query = self._lib, self._context, self._query
        lib.modbus_set_socket(context, client if isinstance(client, int) else client.fileno())
        size = lib.modbus_receive(context, query)
        if size < 0 and not isinstance(client, int):
            self._selector.unregister(client)
            client.close()
        if size < 0:
            return
        unit, function, start, count = struct.unpack_from(">BBHH", query.raw, self._header - 1)
        memory = self._memories.get(unit)
        if size == 0 or memory is None or unit in self._options.silent:
            return
        if self._in_hole(function, start, count):
            lib.modbus_reply_exception(context, query, _ILLEGAL_ADDRESS)
        else:
            lib.modbus_reply(context, query, size, memory.mapping)

    def _in_hole(self, function: int, start: int, count: int) -> bool:
        area = _READS.get(function)
        return any(area == hole and start <= last and first < start + count for hole, first, last in self._options.hole)


def _units(text: str) -> list[int]:
    """ "1,7" or "1-100"."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if last else [int(part) for part in text.split(",")]


def _hole(text: str) -> tuple[str, int, int]:
    """ "hr:20-21" or "co:7"."""
    area, _, numbers = text.partition(":")
    first, _, last = numbers.partition("-")
    return area, int(first), int(last or first)


def _options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="first port; 0 takes free ones")
    parser.add_argument("--ports", type=int, default=1, help="number of ports")
    parser.add_argument("--units", type=_units, default=[1], help='unit ids that answer, "1,7" or "1-100"')
    parser.add_argument("--silent", type=_units, default=[], help="unit ids that take requests and never answer")
    parser.add_argument("--floats", type=int, default=50, help="how many float32 change (at most 500)")
    parser.add_argument("--period", type=float, default=1.0, help="seconds between changes")
    parser.add_argument("--hole", type=_hole, action="append", default=[], help='missing addresses, such as "hr:20-21"')
    parser.add_argument("--serial", action="store_true", help="one device on a pseudo-terminal instead of ports")
    parser.add_argument("--log", type=Path, help="file that gets a line per change: counter, wall time in ns")
    return parser.parse_args(arguments)


def main() -> None:
    options = _options()
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    server = Server(options)
    print("ready", *server.ports, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
