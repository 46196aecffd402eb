"""A bent Modbus TCP device: right, until it is told one of MANNERS to misbehave in.

Register n of the holding registers holds n, as long as nobody bends it. BENT is the register that some manners are about.
"""

import asyncio
import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plugins.modbus.tests.fakes import exception, registers

BENT = 5
"""The register that manners of one register are about."""

Reply = Callable[["Bent", bytes], bytes | list[bytes] | None]
"""From the device and a request to the bytes that are sent back, in so many pieces; None: it hangs up instead."""


@dataclass(frozen=True, slots=True)
class Manner:
    """One way to misbehave."""

    reply: Reply
    costs: str
    """What a driver may lose by it: "nothing", "bent" (the tag of that register), or "all"."""


class Bent:
    """The device; `manner` can be changed at any time."""

    def __init__(self) -> None:
        self.manner: Manner | None = None
        self.dice = random.Random(7)
        self.before = b""
        """The last right answer, to another request mostly."""
        self.asked = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Bent":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()
        await self._server.wait_closed()

    def hang_up(self) -> None:
        """Close all connections."""
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                request = await reader.readexactly(12)
                self.asked += 1
                right = registers(request)
                said = self.manner.reply(self, request) if self.manner is not None else right
                self.before = right
                if said is None:
                    break
                for piece in said if isinstance(said, list) else [said]:
                    writer.write(piece)
                    await asyncio.sleep(0.002 if isinstance(said, list) else 0)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def _asks(request: bytes, register: int = BENT) -> bool:
    start, count = struct.unpack(">HH", request[8:])
    return start <= register < start + count


def _always(reply: Callable[[bytes], bytes]) -> Reply:
    return lambda device, request: reply(request)


def _of_one(reply: Callable[[bytes], bytes | None]) -> Reply:
    """Only requests that touch BENT are answered so."""
    return lambda device, request: reply(request) if _asks(request) else registers(request)


def _sized(request: bytes, count: int) -> bytes:
    """A sound answer of `count` registers, whatever was asked."""
    return registers(request[:10] + struct.pack(">H", count))


def _grown(request: bytes, more: bytes) -> bytes:
    """A right answer with surplus bytes, counted in the header of the frame alone."""
    right = registers(request)
    return right[:4] + struct.pack(">H", len(right) - 6 + len(more)) + right[6:] + more


def _at(frame: bytes, at: int, to: int) -> bytes:
    return frame[:at] + bytes([to]) + frame[at + 1 :]


def _wrong(request: bytes, number: int | None = None, unit: int | None = None) -> bytes:
    """What another master's device says: other values, under another number or unit."""
    frame = registers(request, lambda offset: 60_000)
    head = frame[:2] if number is None else struct.pack(">H", number)
    return head + frame[2:6] + (frame[6:7] if unit is None else bytes([unit])) + frame[7:]


def _count_of(request: bytes) -> int:
    return int(struct.unpack_from(">H", request, 10)[0])


MANNERS: Mapping[str, Manner] = {
    # Manners are not faults: nothing may be lost.
    "answers twice": Manner(_always(lambda r: registers(r) * 2), "nothing"),
    "answers three times": Manner(_always(lambda r: registers(r) * 3), "nothing"),
    "says the last answer again before the right one": Manner(lambda d, r: d.before + registers(r), "nothing"),
    "says the last answer again behind the right one": Manner(lambda d, r: registers(r) + d.before, "nothing"),
    "forwards answers by foreign numbers": Manner(_always(lambda r: _wrong(r, 0x1234) + registers(r)), "nothing"),
    "forwards answers by number 0": Manner(_always(lambda r: _wrong(r, 0) + registers(r)), "nothing"),
    "forwards answers of another unit": Manner(_always(lambda r: _wrong(r, None, 9) + registers(r)), "nothing"),
    "forwards answers of another function": Manner(_always(lambda r: _at(_wrong(r), 7, 4) + registers(r)), "nothing"),
    "forwards refusals of another unit": Manner(
        _always(lambda r: _at(exception(r, 2), 6, 9) + registers(r)), "nothing"
    ),
    "forwards refusals by foreign numbers": Manner(
        _always(lambda r: b"\x12\x34" + exception(r, 2)[2:] + registers(r)), "nothing"
    ),
    "forwards requests of another master": Manner(_always(lambda r: b"\x12\x34" + r[2:] + registers(r)), "nothing"),
    "forwards many answers": Manner(_always(lambda r: _wrong(r, 0x1234) * 50 + registers(r)), "nothing"),
    "is right in pieces": Manner(lambda d, r: [bytes([byte]) for byte in registers(r)], "nothing"),
    # One register's trouble costs its own tag.
    **{
        f"refuses one register with exception {code}": Manner(_of_one(lambda r, code=code: exception(r, code)), "bent")
        for code in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x7F, 0xFF)
    },
    "answers one register too short": Manner(_of_one(lambda r: _sized(r, _count_of(r) - 1)), "bent"),
    "answers one register too long": Manner(_of_one(lambda r: _sized(r, _count_of(r) + 1)), "bent"),
    "answers one register in twice its length": Manner(_of_one(lambda r: _sized(r, 2 * _count_of(r))), "bent"),
    "answers one register with nothing": Manner(_of_one(lambda r: _sized(r, 0)), "bent"),
    "one surplus byte behind one register": Manner(_of_one(lambda r: _grown(r, b"\0")), "bent"),
    "surplus bytes behind one register": Manner(_of_one(lambda r: _grown(r, b"\xff" * 7)), "bent"),
    "a wrong byte count for one register": Manner(_of_one(lambda r: _at(registers(r), 8, 1)), "bent"),
    "byte count 0 for one register": Manner(_of_one(lambda r: _at(registers(r), 8, 0)), "bent"),
    "byte count 255 for one register": Manner(_of_one(lambda r: _at(registers(r), 8, 255)), "bent"),
    "a long refusal of one register": Manner(_of_one(lambda r: r[:4] + bytes([0, 4, r[6], r[7] | 0x80, 2, 0])), "bent"),
    "silence about one register": Manner(_of_one(lambda r: b""), "bent"),
    # The whole device.
    "refuses all with exception 4": Manner(_always(lambda r: exception(r, 4)), "all"),
    "refuses all with exception 2": Manner(_always(lambda r: exception(r, 2)), "all"),
    "is busy": Manner(_always(lambda r: exception(r, 6)), "all"),
    "is not reached by its gateway": Manner(_always(lambda r: exception(r, 11)), "all"),
    "has no path": Manner(_always(lambda r: exception(r, 10)), "all"),
    "is silent": Manner(_always(lambda r: b""), "all"),
    "answers of another unit only": Manner(_always(lambda r: _wrong(r, None, 9)), "all"),
    "answers of another function only": Manner(_always(lambda r: _at(_wrong(r), 7, 4)), "all"),
    "foreign numbers only": Manner(_always(lambda r: _wrong(r, 0x1234)), "all"),
    "answers one request late": Manner(lambda d, r: d.before, "all"),
    "all too short": Manner(_always(lambda r: _sized(r, _count_of(r) - 1)), "all"),
    "all with surplus bytes": Manner(_always(lambda r: _grown(r, b"\0")), "all"),
    "half an answer": Manner(_always(lambda r: registers(r)[: len(registers(r)) // 2]), "all"),
    "headers alone": Manner(_always(lambda r: registers(r)[:6]), "all"),
    "noise": Manner(lambda d, r: d.dice.randbytes(40), "all"),
    "noise behind right answers": Manner(lambda d, r: registers(r) + d.dice.randbytes(9), "all"),
    "another protocol id": Manner(_always(lambda r: _at(registers(r), 3, 1)), "all"),
    "a length of 0": Manner(_always(lambda r: registers(r)[:4] + bytes(2)), "all"),
    "a length of 65535": Manner(_always(lambda r: registers(r)[:4] + b"\xff\xff" + registers(r)[6:]), "all"),
    "speaks HTTP": Manner(_always(lambda r: b"HTTP/1.1 400 Bad Request\r\n\r\n"), "all"),
    "zeros": Manner(_always(lambda r: bytes(300)), "all"),
    "ones": Manner(_always(lambda r: b"\xff" * 300), "all"),
}
"""By name; more than forty."""

HANGS_UP: Mapping[str, Manner] = {
    "hangs up over one register": Manner(_of_one(lambda r: None), "bent"),
    "hangs up over more than four registers": Manner(
        lambda d, r: None if _count_of(r) > 4 else registers(r), "nothing"
    ),
    "hangs up over more than one register": Manner(lambda d, r: None if _count_of(r) > 1 else registers(r), "nothing"),
    "is silent about more than four registers": Manner(
        lambda d, r: b"" if _count_of(r) > 4 else registers(r), "nothing"
    ),
}
"""What a driver cannot bear by itself, since it ends the connection: the line does."""
