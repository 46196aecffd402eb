"""How requests and answers are framed: Modbus TCP, RTU and ASCII.

Modbus TCP numbers its frames (Modbus Messaging on TCP/IP V1.0b, §3.1.3): transaction id (2 bytes), protocol id (2, always 0),
length of the rest (2), unit, function, data. On serial lines (Modbus over Serial Line V1.02, §2.5) a frame is unit, function,
data and a CRC-16; in ASCII mode ":" and the same in hexadecimal digits with a sum of 8 bits, and CR LF.
"""

import struct
from collections.abc import Sequence
from typing import Protocol

from gateway.plugin import LinkError

from .requests import Answer, Request, answer_in

_ZERO = b"\0\0"


class DamagedError(Exception):
    """What was received has a wrong checksum, or cannot be a frame."""


class Framing(Protocol):
    """Knows frames of one kind. A frame as `split` gives it is whole, and its checksum is right."""

    numbered: bool
    """Whether frames carry the transaction id of their request."""

    def wrap(self, request: Request, number: int) -> bytes:
        """The request as it goes out."""
        ...

    def split(self, data: bytes) -> tuple[Sequence[bytes], bytes]:
        """The whole frames in `data`, and what is left. Raises LinkError for what can be no Modbus, DamagedError for what
        a disturbed line may bring."""
        ...

    def answer(self, request: Request, frame: bytes) -> Answer:
        """The answer in the frame. Raises LinkError when it does not fit the request."""
        ...

    def body(self, frame: bytes) -> bytes:
        """Unit, function and data."""
        ...


class TcpFraming:
    """Modbus TCP and UDP."""

    numbered = True
    _HEADER = 6

    def wrap(self, request: Request, number: int) -> bytes:
        return number.to_bytes(2, "big") + request.tail

    def split(self, data: bytes) -> tuple[Sequence[bytes], bytes]:
        if data.startswith(_ZERO, 2) and 9 <= len(data) <= 260 and len(data) == self._HEADER + (data[4] << 8 | data[5]):
            return (data,), b""  # one whole frame, as nearly always
        frames = []
        start = 0
        while len(data) - start >= self._HEADER:
            protocol, length = struct.unpack_from(">HH", data, start + 2)
            if protocol != 0 or not 3 <= length <= 254:
                raise LinkError(f"the answer is no Modbus TCP (protocol id {protocol}, length {length})")
            end = start + self._HEADER + length
            if end > len(data):
                break
            frames.append(data[start:end])
            start = end
        return frames, data[start:]

    def answer(self, request: Request, frame: bytes) -> Answer:
        begin = 2 + len(request.expected)
        if frame.startswith(request.expected, 2) and len(frame) == begin + request.size:
            return frame[begin:]
        return answer_in(request, frame[self._HEADER :])

    def body(self, frame: bytes) -> bytes:
        return frame[self._HEADER :]


class RtuFraming:
    """Modbus RTU, on a serial line or in a TCP stream."""

    numbered = False

    def wrap(self, request: Request, number: int) -> bytes:
        body = bytes((request.unit,)) + request.pdu
        return body + crc16(body)

    def split(self, data: bytes) -> tuple[Sequence[bytes], bytes]:
        frames: list[bytes] = []
        while (size := _rtu_size(data, bool(frames))) and len(data) >= size:
            body = data[: size - 2]
            if crc16(body) != data[size - 2 : size]:
                if not frames:
                    raise DamagedError
                break
            frames.append(body)
            data = data[size:]
        return frames, data

    def answer(self, request: Request, frame: bytes) -> Answer:
        return answer_in(request, frame)

    def body(self, frame: bytes) -> bytes:
        return frame


class AsciiFraming(RtuFraming):
    """Modbus ASCII. What comes before a colon is noise."""

    _LONGEST = 513

    def wrap(self, request: Request, number: int) -> bytes:
        body = bytes((request.unit,)) + request.pdu
        return b":%b\r\n" % (body + lrc(body)).hex().upper().encode()

    def split(self, data: bytes) -> tuple[Sequence[bytes], bytes]:
        frames = []
        while (end := data.find(b"\r\n")) >= 0:
            line, data = data[:end], data[end + 2 :]
            frames.append(_ascii_body(line[line.rfind(b":") + 1 :]))
        if len(data) > self._LONGEST:
            raise DamagedError
        return frames, data


def crc16(data: bytes) -> bytes:
    """CRC-16 of Modbus RTU, low byte first (§6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def lrc(data: bytes) -> bytes:
    """The check byte of Modbus ASCII: the sum of all bytes and it is 0 (§6.2.1)."""
    return bytes((-sum(data) & 0xFF,))


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


_CRC = tuple(_crc_entry(value) for value in range(256))

_ECHOED = {5: 8, 6: 8, 8: 8, 15: 8, 16: 8, 22: 10}
"""Whole size of the answer to functions that do not read."""


def _rtu_size(data: bytes, later: bool) -> int:
    """Size of the frame that `data` begins with; 0 while it cannot be told. Raises DamagedError if it can be none, unless
    good frames came before it, which must not be lost; it is found to be damaged with the next bytes."""
    if len(data) < 3:
        return 0
    function = data[1]
    if function & 0x80:
        return 5
    if 1 <= function <= 4:
        return 5 + data[2]
    if function not in _ECHOED and not later:
        raise DamagedError
    return _ECHOED.get(function, 0)


def _ascii_body(digits: bytes) -> bytes:
    try:
        whole = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        raise DamagedError from None
    if len(whole) < 4 or lrc(whole[:-1]) != whole[-1:]:
        raise DamagedError
    return whole[:-1]
