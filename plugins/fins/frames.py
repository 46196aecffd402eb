"""FINS commands and their frames (W342, §5-1; FINS/TCP: W421, §7-4).

A frame is ICF, RSV, GCT, three bytes of destination (network, node, unit), three of source, SID, two of command, and data; in
an answer two of end code come before the data. FINS/TCP puts "FINS", the length of the rest, a command and an error
before it, four bytes each, and begins by telling both sides their nodes.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kit.line import Answer, DamagedError, LineFraming
from gateway.plugin import LinkError

from .address import FinsAddress, FinsArea
from .end_codes import REFUSALS, TCP_ERRORS

_READ, _WRITE, _HELLO = b"\1\1", b"\1\2", b"\0\0"
_HEADER = 14
"""Bytes of an answer before its data."""

_TCP_HEADER = 16
_ANSWER = 0x40
"""Bit of ICF."""


@dataclass(frozen=True, slots=True)
class FinsRequest:
    """A command to a unit of a node."""

    unit: tuple[int, int, int]
    """Network, node, unit; node 0 stands for the node at the other end of the line."""

    command: bytes
    data: bytes
    size: int = 0
    """Bytes of data in a right answer."""


HELLO = FinsRequest((0, 0, 0), _HELLO, b"", 8)
"""Ask for both nodes, with which FINS/TCP begins. The answer's data is ours and theirs, four bytes each."""


def read(unit: tuple[int, int, int], area: FinsArea, start: int, count: int) -> FinsRequest:
    """Read so many words."""
    return FinsRequest(unit, _READ, struct.pack(">BHBH", area.code, area.first + start, 0, count), 2 * count)


def identify(unit: tuple[int, int, int]) -> FinsRequest:
    """Ask for the CPU's model and version: 20 characters each, and more behind them."""
    return FinsRequest(unit, b"\5\1", b"\0", -1)


def write_words(unit: tuple[int, int, int], at: FinsAddress, wire: bytes) -> FinsRequest:
    """Write the words from an address on, two bytes each."""
    head = struct.pack(">BHBH", at.area.code, at.area.first + at.offset, 0, len(wire) // 2)
    return FinsRequest(unit, _WRITE, head + wire)


def write_bits(unit: tuple[int, int, int], at: FinsAddress, bits: Sequence[int]) -> FinsRequest:
    """Write the bits of an address, the lowest first, and no others."""
    assert at.bit is not None
    assert at.area.bit_code is not None
    head = struct.pack(">BHBH", at.area.bit_code, at.offset, at.bit, at.width)
    return FinsRequest(unit, _WRITE, head + bytes(bits))


class FinsUdpFraming(LineFraming[FinsRequest]):
    """A datagram is a frame. `node` and `source` are the nodes at the two ends of the line."""

    ids = 256
    longest = 2048
    refusals = REFUSALS

    def __init__(self, node: int = 0, source: int = 0) -> None:
        self.node = node
        self.source = source

    def size(self, data: bytes | bytearray, searched: int) -> int:
        return len(data)

    def wrap(self, request: FinsRequest, number: int) -> bytes:
        network, node, unit = request.unit
        head = bytes((0x80, 0, 2, network, node or self.node, unit, 0, self.source, 0, number))
        return head + request.command + request.data

    def opened(self, frame: bytes) -> bytes:
        if len(frame) < _HEADER:
            raise DamagedError
        return frame

    def number(self, frame: bytes) -> int:
        return frame[9]

    def unit(self, frame: bytes) -> tuple[int, int, int]:
        network, node, unit = frame[6:9]
        return network, 0 if node == self.node else node, unit

    def answer(self, request: FinsRequest, frame: bytes) -> Answer | None:
        if not frame[0] & _ANSWER or frame[10:12] != request.command:
            return None
        # The highest bits tell that a relay, or the CPU, has an error, also in answers that are right.
        return (frame[12] & 0x7F) << 8 | (frame[13] & 0x3F) or frame[_HEADER:]

    def foreign(self, request: FinsRequest, frame: bytes) -> str:
        return f"asked by command {request.command.hex()}, but command {frame[10:12].hex()} came"


class FinsTcpFraming(FinsUdpFraming):
    """Frames of FINS/TCP (W421, §7-4)."""

    def __init__(self, node: int = 0, source: int = 0) -> None:
        super().__init__(node, source)
        self._hello = 0
        """The id of the request for nodes, whose frames carry none."""

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if data[:4] != b"FINS"[: len(data)]:
            raise ValueError("the answer is no FINS/TCP")
        if len(data) < 8:
            return 0
        length = int.from_bytes(data[4:8], "big")
        if length < 8:
            raise ValueError(f"the answer is no FINS/TCP (length {length})")
        return 8 + length

    def wrap(self, request: FinsRequest, number: int) -> bytes:
        if request.command == _HELLO:
            self._hello = number
            return _tcp(0, self.source.to_bytes(4, "big"))
        return _tcp(2, super().wrap(request, number))

    def opened(self, frame: bytes) -> bytes:
        command, error = struct.unpack(">II", frame[8:_TCP_HEADER])
        if error:
            raise LinkError(
                f"the PLC ends the FINS connection: {TCP_ERRORS.get(error, 'an error of its own')} ({error:X})"
            )
        if command == 1:  # both nodes, made into a frame like all others
            return bytes((0x80 | _ANSWER, 0, 0, 0, 0, 0, 0, 0, 0, self._hello)) + _HELLO + b"\0\0" + frame[_TCP_HEADER:]
        return super().opened(frame[_TCP_HEADER:])


def _tcp(command: int, frame: bytes) -> bytes:
    return b"FINS" + struct.pack(">III", 8 + len(frame), command, 0) + frame
