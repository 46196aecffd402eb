"""AMS/TCP packets with ADS requests, answers and notifications: "Beckhoff Information System, AMS/ADS Specification"."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.kit.line import Answer, LineFraming

from .return_codes import REFUSALS

READ, WRITE, READ_STATE, ADD_NOTE, DELETE_NOTE, NOTE, READ_WRITE = 2, 3, 4, 6, 7, 8, 9
INFO = 1
HANDLE_BY_NAME, VALUE_BY_HANDLE, RELEASE_HANDLE, VERSION, SYMBOL_BY_NAME = 0xF003, 0xF005, 0xF006, 0xF008, 0xF009
SYMBOLS, TYPES, UPLOAD_INFO, TYPE_BY_NAME = 0xF00B, 0xF00E, 0xF00F, 0xF011
SUM_READ, SUM_WRITE, SUM_READ_WRITE = 0xF080, 0xF081, 0xF082
CYCLIC, ON_CHANGE = 3, 4
"""How a notification is sent (ADSTRANS_SERVERCYCLE, ADSTRANS_SERVERONCHA)."""

MOST = 1 << 20
"""Bytes of a packet, unless more was asked for."""

_HEAD = struct.Struct("<HI6sH6sHHHIII")
"""Reserved, length | target, its port, source, its port, command, flags, length, error, invoke id."""

_FILETIME_1970 = 116_444_736_000_000_000
"""1970 in units of 100 ns since 1601."""

_LAST = (1 << 63) - 1

Unit = tuple[bytes, int]
"""AMS net id and port of who is asked."""


@dataclass(frozen=True, slots=True)
class AdsRequest:
    """What somebody is asked for."""

    unit: Unit
    command: int
    data: bytes = b""
    size: int = -1
    """Bytes of data in a right answer; -1 where it may have any number."""


def read(unit: Unit, group: int, offset: int, size: int) -> AdsRequest:
    """Read so many bytes; no fewer are an answer."""
    return AdsRequest(unit, READ, struct.pack("<III", group, offset, size), size)


def read_some(unit: Unit, group: int, offset: int, most: int) -> AdsRequest:
    """Read what there is, up to so many bytes."""
    return AdsRequest(unit, READ, struct.pack("<III", group, offset, most))


def write(unit: Unit, group: int, offset: int, data: bytes) -> AdsRequest:
    """Write these bytes there."""
    return AdsRequest(unit, WRITE, struct.pack("<III", group, offset, len(data)) + data, 0)


def read_write(unit: Unit, group: int, offset: int, most: int, data: bytes) -> AdsRequest:
    """Write bytes, and read what comes of it."""
    return AdsRequest(unit, READ_WRITE, struct.pack("<IIII", group, offset, most, len(data)) + data)


def sum_read(unit: Unit, places: Sequence[tuple[int, int, int]]) -> AdsRequest:
    """Read several places (group, offset, size). The answer: a result for each, and then their data."""
    most = sum(4 + size for _, _, size in places)
    return read_write(unit, SUM_READ, len(places), most, b"".join(struct.pack("<III", *place) for place in places))


def sum_write(unit: Unit, places: Sequence[tuple[int, int, bytes]]) -> AdsRequest:
    """Write to several places. The answer: a result for each."""
    heads = b"".join(struct.pack("<III", group, offset, len(data)) for group, offset, data in places)
    data = heads + b"".join(data for _, _, data in places)
    return read_write(unit, SUM_WRITE, len(places), 4 * len(places), data)


def sum_read_write(unit: Unit, group: int, questions: Sequence[bytes], most: int) -> AdsRequest:
    """Ask for several names. The answer: a result and a size for each, and then their data."""
    heads = b"".join(struct.pack("<IIII", group, 0, most, len(question)) for question in questions)
    return read_write(unit, SUM_READ_WRITE, len(questions), (8 + most) * len(questions), heads + b"".join(questions))


def add_note(unit: Unit, place: tuple[int, int, int], how: int, delay: float, cycle: float) -> AdsRequest:
    """Have a place reported. Times in seconds."""
    data = struct.pack("<IIIIII16x", *place, how, round(delay * 1e7), round(cycle * 1e7))
    return AdsRequest(unit, ADD_NOTE, data, 4)


def delete_note(unit: Unit, note: int) -> AdsRequest:
    """Have it reported no more."""
    return AdsRequest(unit, DELETE_NOTE, struct.pack("<I", note), 0)


class AdsFraming(LineFraming[AdsRequest]):
    ids = 1 << 32
    longest = 1 << 26
    refusals = REFUSALS

    def __init__(self) -> None:
        self.source: Unit = (bytes(6), 0)
        """Who asks."""
        self.most = MOST
        """Bytes of a packet that are believed now."""

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if len(data) >= 2 and data[0] | data[1] & 0xEF:
            raise ValueError("what came is no AMS/TCP; is this port 48898 of the controller?")
        if len(data) < 6:
            return 0
        size = 6 + int.from_bytes(data[2:6], "little")
        if not (38 if data[1] == 0 else 6) <= size <= self.most:
            raise ValueError(f"a packet claims to have {size} bytes; is this port 48898 of the controller?")
        return size

    def wrap(self, request: AdsRequest, number: int) -> bytes:
        length = len(request.data)
        head = _HEAD.pack(0, 32 + length, *request.unit, *self.source, request.command, 4, length, 0, number)
        return head + request.data

    def number(self, frame: bytes) -> int:
        return int.from_bytes(frame[34:38], "little") if len(frame) >= 38 else 0

    def unit(self, frame: bytes) -> Unit:
        return frame[14:20], int.from_bytes(frame[20:22], "little")

    def answer(self, request: AdsRequest, frame: bytes) -> Answer | None:
        _, _, target, port, _, _, command, flags, length, error, _ = _HEAD.unpack_from(frame)
        if command != request.command or not flags & 1 or port != self.source[1] or target != self.source[0]:
            return None
        if error:
            return int(error)
        body = frame[38:]
        if len(body) != length:
            raise ValueError("another length than the header says")
        (result,) = struct.unpack_from("<I", body)
        if result:
            return int(result)
        if command in (READ, READ_WRITE):
            (length,) = struct.unpack_from("<I", body, 4)
            if len(body) != 8 + length:
                raise ValueError("another length than it says")
            return body[8:]
        return body[4:]

    def foreign(self, request: AdsRequest, frame: bytes) -> str:
        return f"asked by command {request.command}, but command {int.from_bytes(frame[22:24], 'little')} came"


def is_note(frame: bytes) -> bool:
    """Whether it is a notification."""
    return len(frame) >= 38 and frame[22:24] == b"\x08\0"


def samples(frame: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Of a notification: its handle, when it was (nanoseconds since 1970), and the data, of each value. Raises ValueError or
    struct.error where it ends too early."""
    end = len(frame)
    stamps, at = struct.unpack_from("<I", frame, 42)[0], 46
    for _ in range(stamps):
        filetime, count = struct.unpack_from("<QI", frame, at)
        at += 12
        for _ in range(count):
            note, size = struct.unpack_from("<II", frame, at)
            at += 8
            if at + size > end:
                raise ValueError("a value ends beyond the packet")
            yield note, min(max(0, (filetime - _FILETIME_1970) * 100), _LAST), frame[at : at + size]
            at += size


def parted(answer: bytes, sizes: Sequence[int]) -> list[Answer] | None:
    """What a sum read brought: data or code of each place. None where it has another length than its places tell."""
    head = 4 * len(sizes)
    if len(answer) < head:
        return None
    codes = struct.unpack_from(f"<{len(sizes)}I", answer)
    whole = len(answer) == head + sum(sizes)
    if not whole and len(answer) != head + sum(size for code, size in zip(codes, sizes, strict=True) if not code):
        return None
    found: list[Answer] = []
    at = head
    for code, size in zip(codes, sizes, strict=True):
        found.append(int(code) if code else answer[at : at + size])
        if whole or not code:
            at += size
    return found


def parted_by_length(answer: bytes, count: int) -> list[Answer]:
    """What a sum of questions brought. Raises ValueError or struct.error where it ends too early."""
    found: list[Answer] = []
    at = 8 * count
    for each in range(count):
        code, size = struct.unpack_from("<II", answer, 8 * each)
        if at + size > len(answer):
            raise ValueError("an answer ends beyond the packet")
        found.append(int(code) if code else answer[at : at + size])
        at += size
    return found
