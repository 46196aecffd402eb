"""How requests and answers are framed: Modbus TCP, RTU and ASCII.

Modbus TCP numbers its frames (Modbus Messaging on TCP/IP V1.0b, §3.1.3): transaction id (2 bytes), protocol id (2, always 0),
length of the rest (2), unit, function, data. On serial lines (Modbus over Serial Line V1.02, §2.5) a frame is unit, function,
data and a CRC-16; in ASCII mode ":" and the same in hexadecimal digits with a sum of 8 bits, and CR LF.
"""

from gateway.kit import Ended
from gateway.kit.line import Answer, DamagedError, LineFraming

from ..exceptions import REFUSALS
from ..requests import ModbusRequest, answer_in, echo, foreign


class TcpFraming(LineFraming[ModbusRequest]):
    """Modbus TCP and UDP."""

    ids = 65536
    longest = 260
    refusals = REFUSALS
    _HEADER = 6

    def wrap(self, request: ModbusRequest, number: int) -> bytes:
        return number.to_bytes(2, "big") + request.tail

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if len(data) < self._HEADER:
            return 0
        length = data[4] << 8 | data[5]
        if data[2] or data[3] or not 3 <= length <= 254:
            protocol = data[2] << 8 | data[3]
            raise ValueError(f"the answer is no Modbus TCP (protocol id {protocol}, length {length})")
        return self._HEADER + length

    def answer(self, request: ModbusRequest, frame: bytes) -> Answer | None:
        begin = 2 + len(request.expected)
        if frame.startswith(request.expected, 2) and len(frame) == begin + request.size:
            return frame[begin:]
        return answer_in(request, frame[self._HEADER :])

    def number(self, frame: bytes) -> int:
        return frame[0] << 8 | frame[1]

    def unit(self, frame: bytes) -> int:
        return frame[self._HEADER]

    def foreign(self, request: ModbusRequest, frame: bytes) -> str:
        return foreign(request, frame[self._HEADER :])


class RtuFraming(LineFraming[ModbusRequest]):
    """Modbus RTU, on a serial line or in a TCP stream."""

    longest = 260
    refusals = REFUSALS

    def wrap(self, request: ModbusRequest, number: int) -> bytes:
        body = bytes((request.unit,)) + request.pdu
        return body + crc16(body)

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if len(data) < 3:
            return 0
        function = data[1]
        if function & 0x80:
            return 5
        if 1 <= function <= 4:
            size = 5 + data[2]
            # Another master's request passes by too.
            return 8 if size != len(data) >= 8 and crc16(data[:6]) == data[6:8] else size
        if function == _IDENTIFICATION:
            return _identification_size(data)
        if function not in _ECHOED:
            raise ValueError(f"the answer is no Modbus RTU (function {function})")
        return _ECHOED[function]

    def opened(self, frame: bytes) -> bytes:
        body = frame[:-2]
        if crc16(body) != frame[-2:]:
            raise DamagedError
        return body

    def answer(self, request: ModbusRequest, frame: bytes) -> Answer | None:
        return answer_in(request, frame)

    def unit(self, frame: bytes) -> int:
        return frame[0]

    def foreign(self, request: ModbusRequest, frame: bytes) -> str:
        return foreign(request, frame)

    def mark(self, request: ModbusRequest, number: int) -> ModbusRequest:
        """Units give a number back by function 8, return query data."""
        return echo(request.unit, number)


class AsciiFraming(RtuFraming):
    """Modbus ASCII. What comes before a colon is noise."""

    longest = 515
    _LINES = Ended(b"\r\n", longest=longest)

    def size(self, data: bytes | bytearray, searched: int) -> int:
        return self._LINES.size(data, searched)

    def wrap(self, request: ModbusRequest, number: int) -> bytes:
        body = bytes((request.unit,)) + request.pdu
        return b":%b\r\n" % (body + lrc(body)).hex().upper().encode()

    def opened(self, frame: bytes) -> bytes:
        try:
            whole = bytes.fromhex(frame[frame.rfind(b":") + 1 : -2].decode("ascii"))
        except ValueError:
            raise DamagedError from None
        if len(whole) < 4 or lrc(whole[:-1]) != whole[-1:]:
            raise DamagedError
        return whole[:-1]


def crc16(data: bytes | bytearray) -> bytes:
    """CRC-16 of Modbus RTU, low byte first (§6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def lrc(data: bytes) -> bytes:
    """The check byte of Modbus ASCII: the sum of all bytes and it is 0 (§6.2.1)."""
    return bytes((-sum(data) & 0xFF,))


def _identification_size(data: bytes | bytearray) -> int:
    """Whole size of a unit's names, whose objects each tell their own; 0 while that is not there yet."""
    at = 8
    if len(data) < at:
        return 0
    for _ in range(data[at - 1]):
        if len(data) < at + 2:
            return 0
        at += 2 + data[at + 1]
    if at + 2 > RtuFraming.longest:
        raise ValueError("the answer is no Modbus RTU (names that are longer than a frame)")
    return at + 2


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


_CRC = tuple(_crc_entry(value) for value in range(256))

_IDENTIFICATION = 43
_ECHOED = {5: 8, 6: 8, 8: 8, 15: 8, 16: 8, 22: 10}
"""Whole size of the answer to functions that do not read."""
