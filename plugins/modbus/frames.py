"""Modbus TCP frames: requests out, answers checked in full (Modbus Messaging on TCP/IP V1.0b, §3.1.3).

A frame is transaction id (2 bytes), protocol id (2, always 0), length of the rest (2), unit (1), function (1), data.
"""

import struct
from dataclasses import dataclass, field

from gateway.plugin import LinkError

from .address import Area

Answer = bytes | int
"""What a device answers: the payload behind the byte count, or the code of a Modbus exception."""

_HEADER = 6


@dataclass(frozen=True, slots=True)
class Request:
    """One read. The transaction id, which is the connection's, comes before `tail`."""

    unit: int
    area: Area
    start: int
    count: int
    tail: bytes = field(init=False)
    expected: bytes = field(init=False)
    """What a good answer has between its transaction id and its payload."""

    size: int = field(init=False)
    """Bytes of a good answer's payload."""

    def __post_init__(self) -> None:
        size = (self.count + 7) // 8 if self.area.single_bits else 2 * self.count
        function = self.area.function
        tail = struct.pack(">HHBBHH", 0, 6, self.unit, function, self.start, self.count)
        object.__setattr__(self, "tail", tail)
        object.__setattr__(self, "expected", struct.pack(">HHBBB", 0, 3 + size, self.unit, function, size))
        object.__setattr__(self, "size", size)


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole frames in `data`, and what is left. Raises LinkError for what cannot be Modbus."""
    frames = []
    start = 0
    while len(data) - start >= _HEADER:
        protocol, length = struct.unpack_from(">HH", data, start + 2)
        if protocol != 0 or not 3 <= length <= 254:
            raise LinkError(f"the answer is no Modbus TCP (protocol id {protocol}, length {length})")
        end = start + _HEADER + length
        if end > len(data):
            break
        frames.append(data[start:end])
        start = end
    return frames, data[start:]


def answer_to(request: Request, frame: bytes) -> Answer:
    """The answer in a frame that carries the request's transaction id. Raises LinkError when it does not fit."""
    if frame[2:9] == request.expected and len(frame) == 9 + request.size:
        return frame[9:]
    unit, function = frame[6], frame[7]
    if unit != request.unit:
        raise LinkError(f"asked unit {request.unit}, but unit {unit} answered")
    if function == request.area.function | 0x80 and len(frame) == 9:
        return frame[8]
    if function != request.area.function:
        raise LinkError(f"asked by function {request.area.function}, but the answer is for function {function}")
    raise LinkError(f"asked for {request.size} bytes of data, got {len(frame) - 9} and the byte count {frame[8]}")
