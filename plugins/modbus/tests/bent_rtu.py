"""The bent device of `bent.py` behind a device server: RTU frames in a TCP stream, which carry no numbers."""

import asyncio
import struct
from collections.abc import Callable, Mapping

from plugins.modbus.line.framing import crc16
from plugins.modbus.tests.bent import BENT, Bent, Manner, Reply

ECHO = 8
"""Function 8 gives back what it was given: so the driver learns that nothing older is on its way."""


class BentRtu(Bent):
    """The device; its manners bend what is asked by function 3, and never the echo, unless they bend all."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                request = await reader.readexactly(8)
                self.asked += 1
                writer.write(self.manner.reply(self, request) if self.manner is not None else right(request))
                self.before = right(request)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def _framed(body: bytes) -> bytes:
    return body + crc16(body)


def right(request: bytes, word: Callable[[int], int] = lambda offset: offset, *, more: int = 0) -> bytes:
    """A right answer, or one of `more` registers than were asked for."""
    unit, function, start, count = struct.unpack(">BBHH", request[:6])
    if function == ECHO:
        return request
    words = [word(start + n) for n in range(count + more)]
    return _framed(struct.pack(f">BBB{len(words)}H", unit, function, 2 * len(words), *words))


def _refused(request: bytes, code: int, unit: int | None = None) -> bytes:
    return _framed(bytes((request[0] if unit is None else unit, request[1] | 0x80, code)))


def _wrong(request: bytes, unit: int | None = None, function: int | None = None) -> bytes:
    """What another master's device says: other values, of another unit or function."""
    if request[1] == ECHO:
        return b""
    body = right(request, lambda _: 60_000)[:-2]
    body = (
        (body[:1] if unit is None else bytes([unit]))
        + (body[1:2] if function is None else bytes([function]))
        + body[2:]
    )
    return _framed(body)


def _other_master(request: bytes) -> bytes:
    """A request to unit 9 that is overheard, and its answer."""
    return _framed(bytes([9]) + request[1:6]) + _wrong(request, 9)


def _always(reply: Callable[[bytes], bytes]) -> Reply:
    return lambda device, request: reply(request)


def _of_one(reply: Callable[[bytes], bytes]) -> Reply:
    """Only reads that touch BENT are answered so."""

    def bent(device: Bent, request: bytes) -> bytes:
        start, count = struct.unpack(">HH", request[2:6])
        touched = request[1] != ECHO and start <= BENT < start + count
        return reply(request) if touched else right(request)

    return bent


def _spoilt(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 0x55])


RTU_MANNERS: Mapping[str, Manner] = {
    "answers twice": Manner(_always(lambda r: right(r) * 2), "nothing"),
    "answers three times": Manner(_always(lambda r: right(r) * 3), "nothing"),
    "forwards answers of another unit": Manner(_always(lambda r: _wrong(r, 9) + right(r)), "nothing"),
    "forwards answers of another unit behind": Manner(_always(lambda r: right(r) + _wrong(r, 9)), "nothing"),
    "forwards answers of another function": Manner(_always(lambda r: _wrong(r, None, 4) + right(r)), "nothing"),
    "forwards refusals of another unit": Manner(_always(lambda r: _refused(r, 2, 9) + right(r)), "nothing"),
    "forwards another master's requests and answers": Manner(_always(lambda r: _other_master(r) + right(r)), "nothing"),
    **{
        f"refuses one register with exception {code}": Manner(_of_one(lambda r, code=code: _refused(r, code)), "bent")
        for code in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 0x7F)
    },
    "a register too few for one": Manner(_of_one(lambda r: right(r, more=-1)), "bent"),
    "a register too many for one": Manner(_of_one(lambda r: right(r, more=1)), "bent"),
    "silence about one register": Manner(_of_one(lambda r: b""), "bent"),
    "refuses all with exception 2": Manner(_always(lambda r: _refused(r, 2)), "all"),
    "refuses all with exception 4": Manner(_always(lambda r: _refused(r, 4)), "all"),
    "is busy": Manner(_always(lambda r: _refused(r, 6)), "all"),
    "is not reached by its gateway": Manner(_always(lambda r: _refused(r, 11)), "all"),
    "is silent": Manner(_always(lambda r: b""), "all"),
    "answers the one before": Manner(lambda d, r: d.before, "all"),
    "answers of another unit only": Manner(_always(lambda r: _wrong(r, 9)), "all"),
    "answers of another function only": Manner(_always(lambda r: _wrong(r, None, 4)), "all"),
    "another master's requests and answers only": Manner(_always(_other_master), "all"),
    "a wrong checksum": Manner(_always(lambda r: _spoilt(right(r))), "all"),
    "half an answer": Manner(_always(lambda r: right(r)[: len(right(r)) // 2]), "all"),
    "the second half of an answer": Manner(_always(lambda r: right(r)[len(right(r)) // 2 :]), "all"),
    "noise": Manner(lambda d, r: d.dice.randbytes(40), "all"),
    "noise before right answers": Manner(lambda d, r: d.dice.randbytes(5) + right(r), "all"),
    "noise behind right answers": Manner(lambda d, r: right(r) + d.dice.randbytes(9), "all"),
    "its own requests come back": Manner(_always(lambda r: r + right(r)), "all"),
    "its own requests alone come back": Manner(_always(lambda r: r), "all"),
    "Modbus TCP": Manner(_always(lambda r: bytes(5) + bytes([len(right(r)) - 2]) + right(r)[:-2]), "all"),
    "speaks HTTP": Manner(_always(lambda r: b"HTTP/1.1 400 Bad Request\r\n\r\n"), "all"),
    "zeros": Manner(_always(lambda r: bytes(300)), "all"),
    "ones": Manner(_always(lambda r: b"\xff" * 300), "all"),
}
"""By name."""
