"""What an S7 tells of itself: who it is, how it is protected, and which data blocks it has. From "System Software for
S7-300/400, System and Standard Functions", chapter on partial lists (SZL); S7-1200 and 1500 answer some of it too."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from gateway.kit.line import AskingPace, LineManners, RequestLine, open_line
from gateway.plugin import Discovered, LinkError, Search, cleaned

from .address import parse_address
from .frames import S7Framing, S7Request, Told, connect, read, setup, tell, tell_on, told
from .return_codes import REFUSALS

Ask = Callable[[S7Request], Awaitable[bytes | int]]

_BLOCKS, _STATE = 3, 4
_LIST, _INFO, _SZL = 2, 3, 1
_DATA_BLOCKS = b"0A"
_IDENTITY, _COMPONENTS, _PROTECTION = 0x0011, 0x001C, 0x0232
_MOST_PARTS = 50
_SLOTS = (1, 2, 0, 3)
"""Of an S7-1200 and 1500, of a 300, and where else a CPU may be."""
_COMPONENT_NAMES = {1: "station", 2: "module", 5: "serial number", 7: "module type"}
_WITH_SYMBOLS = ("6ES7 21", "6ES7 5")
"""How order numbers of S7-1200 and 1500 begin."""
_PROTECTED = {
    1: "not protected", 2: "write protected by a password", 3: "read and write protected by a password",
    4: "fully protected by a password",
}  # fmt: skip


async def _all(ask: Ask, group: int, what: int, data: bytes) -> bytes:
    """Of all parts of an answer. Raises ValueError where the CPU does not tell it."""
    request, found = tell(group, what, data), b""
    for _ in range(_MOST_PARTS):
        answer = await ask(request)
        if not isinstance(answer, bytes):
            raise ValueError(REFUSALS.words(answer))
        part: Told = told(answer)
        found += part.data
        if not part.more:
            return found
        request = tell_on(group, what, part.sequence, part.part)
    raise ValueError("the answer does not end")


async def _records(ask: Ask, list_: int, index: int = 0) -> list[bytes]:
    """The records of a partial list; none where the CPU does not have it."""
    try:
        data = await _all(ask, _STATE, _SZL, struct.pack(">HH", list_, index))
        size, count = struct.unpack_from(">HH", data, 4)
    except (ValueError, struct.error):
        return []
    rest = data[8:]
    return [rest[at * size : (at + 1) * size] for at in range(min(count, len(rest) // size if size else 0))]


async def identity(ask: Ask) -> tuple[str, list[str]]:
    """What it is called, and what else it says of itself, a line each."""
    orders = [_text(record[2:22]) for record in await _records(ask, _IDENTITY) if record[:2] == b"\0\1"]
    parts = {int.from_bytes(record[:2], "big"): _text(record[2:34]) for record in await _records(ask, _COMPONENTS)}
    levels = [int.from_bytes(record[6:8], "big") for record in await _records(ask, _PROTECTION, 4)]
    said = [f"order number {order}" for order in orders if order]
    if any(order.startswith(_WITH_SYMBOLS) for order in orders):
        said.append('optimized blocks are read by symbols: transport = "s7commplus"')
    said += [f"{what} {parts[key]}" for key, what in _COMPONENT_NAMES.items() if parts.get(key)]
    said += [_PROTECTED[level] for level in levels if level in _PROTECTED]
    return parts.get(1) or parts.get(2) or "", said


async def data_blocks(ask: Ask) -> AsyncIterator[tuple[int, int]]:
    """Number of each data block, and its bytes; 0 where the CPU does not tell them. Raises ValueError where it tells none."""
    listed = await _all(ask, _BLOCKS, _LIST, _DATA_BLOCKS)
    for at in range(0, len(listed) - 3, 4):
        (number,) = struct.unpack_from(">H", listed, at)
        try:
            info = await _all(ask, _BLOCKS, _INFO, _DATA_BLOCKS + b"%05dA" % number)
            (size,) = struct.unpack_from(">H", info, 40)
        except (ValueError, struct.error):
            size = 0
        yield number, size


async def find(search: Search) -> AsyncIterator[Discovered]:
    """The CPU at an address, by the first slot that takes a connection."""
    for port in search.ports or (102,):
        for slot in _SLOTS:
            await search.turn()
            line = RequestLine(f"{search.host}:{port}", S7Framing(), LineManners(protocol="S7 communication"))
            try:
                async with asyncio.timeout(search.timeout):
                    await open_line(line, search.host, port)
            except (LinkError, OSError):
                break
            try:
                found = await _found(search, line, port, slot)
            except (LinkError, OSError, ValueError):
                continue
            finally:
                await line.close()
            if found is not None:
                yield found
                break


async def _found(search: Search, line: RequestLine[S7Request], port: int, slot: int) -> Discovered | None:
    pace = AskingPace(search.timeout, search.timeout, 0)

    async def ask(request: S7Request) -> bytes | int:
        await search.turn()
        (answer,) = await line.exchange([request], pace)
        return answer

    if not isinstance(await ask(connect(0x0100, 0x0300 | slot)), bytes):
        return None
    if not isinstance(await ask(setup(1, 480)), bytes):
        return None
    name, about = await identity(ask)
    options = {"host": search.host, "slot": slot, **({"port": port} if port != 102 else {})}
    tags = {}
    answer = await ask(read(parse_address("MB0").area, 0, 1))
    if isinstance(answer, bytes):
        tags["marker_byte_0"] = {"address": "MB0"}
    else:
        about.append(f"its values cannot be read by PUT/GET: {REFUSALS.words(answer)}")
    return Discovered(options, tags, name, about)


def _text(raw: bytes) -> str:
    return cleaned(raw.split(b"\0", 1)[0].decode("latin-1"), 80).strip()
