"""What can be asked of a unit, without the frame around it, and the check of answers (Modbus Application Protocol V1.1b3,
§6)."""

import struct
from dataclasses import dataclass, field

from gateway.kit.line import MISFIT, Answer

from .address import ModbusArea

_REFUSED = 0x80


@dataclass(frozen=True, slots=True)
class ModbusRequest:
    """A question to a unit, and what the right answer looks like."""

    unit: int
    pdu: bytes
    """Function code and its data."""

    head: bytes
    """What a right answer has behind its unit, before the payload."""

    size: int = 0
    """Bytes of a right answer's payload; -1 where it may have any number."""

    any_unit: bool = False
    """Take the answer also under another unit id."""

    padded: bool = False
    """Take an answer with surplus bytes behind what was asked for."""

    tail: bytes = field(init=False)
    """The Modbus TCP frame without its transaction id."""

    expected: bytes = field(init=False)
    """What a right answer in a Modbus TCP frame has between transaction id and payload."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tail", struct.pack(">HHB", 0, 1 + len(self.pdu), self.unit) + self.pdu)
        expected = struct.pack(">HHB", 0, 1 + len(self.head) + self.size, self.unit) + self.head
        object.__setattr__(self, "expected", expected)

    @property
    def function(self) -> int:
        """The function code of the request."""
        return self.pdu[0]


def read(
    unit: int, area: ModbusArea, start: int, count: int, *, any_unit: bool = False, padded: bool = False
) -> ModbusRequest:
    """Read `count` registers or bits of an area."""
    size = area.size(count)
    pdu = struct.pack(">BHH", area.function, start, count)
    return ModbusRequest(unit, pdu, bytes((area.function, size)), size, any_unit, padded)


def identify(unit: int) -> ModbusRequest:
    """Ask for the unit's basic names (function 43/14, read device identification). The payload is conformity, "more follows",
    the next object, how many there are, and of each its id, its length and its text."""
    return ModbusRequest(unit, bytes((43, 14, 1, 0)), bytes((43, 14, 1)), -1)


def write_coil(unit: int, at: int, on: bool) -> ModbusRequest:
    """Set one coil."""
    return _echoed(unit, struct.pack(">BHH", 5, at, 0xFF00 if on else 0))


def write_coils(unit: int, at: int, on: bool) -> ModbusRequest:
    """Set one coil by the function for several."""
    return ModbusRequest(unit, struct.pack(">BHHBB", 15, at, 1, 1, on), struct.pack(">BHH", 15, at, 1))


def write_register(unit: int, at: int, wire: bytes) -> ModbusRequest:
    """Set one register to these two bytes."""
    return _echoed(unit, struct.pack(">BH", 6, at) + wire)


def write_registers(unit: int, at: int, wire: bytes) -> ModbusRequest:
    """Set the registers from `at` on to these bytes, two each, 246 at most."""
    count = len(wire) // 2
    return ModbusRequest(
        unit, struct.pack(">BHHB", 16, at, count, len(wire)) + wire, struct.pack(">BHH", 16, at, count)
    )


def write_mask(unit: int, at: int, mask: int, bits: int) -> ModbusRequest:
    """Set those bits of a register that are set in `mask` as they are in `bits`, and leave the others."""
    return _echoed(unit, struct.pack(">BHHH", 22, at, ~mask & 0xFFFF, bits & mask))


def echo(unit: int, number: int) -> ModbusRequest:
    """Ask for this 16-bit number back (function 8, return query data)."""
    return _echoed(unit, struct.pack(">BHH", 8, 0, number))


def answer_in(request: ModbusRequest, body: bytes) -> Answer | None:
    """The answer in a frame's body, which is unit, function and data. None when it answers something else: another unit or
    function was asked."""
    unit, function, begin = body[0], body[1], 1 + len(request.head)
    if unit != request.unit and not request.any_unit:
        return None
    end = begin + request.size
    if body[1:begin] == request.head and (len(body) == end or (request.padded and len(body) > end)):
        return body[begin:end]
    if request.size < 0 and body[1:begin] == request.head:
        return body[begin:]
    if function == request.function | _REFUSED:
        return body[2] if len(body) == 3 or (request.padded and len(body) > 3) else MISFIT
    return MISFIT if function == request.function else None


def foreign(request: ModbusRequest, body: bytes) -> str:
    """What is odd about a body that answers something else."""
    if body[0] != request.unit:
        return f"unit {body[0]} answers in place of unit {request.unit}; any_unit = true takes that"
    return f"asked by function {request.function}, but the answer is for function {body[1]}"


def _echoed(unit: int, pdu: bytes) -> ModbusRequest:
    return ModbusRequest(unit, pdu, pdu)
