"""What a PLC offers, by the tables of symbols and data types that it uploads: structures down to their members."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Iterator
from itertools import islice, product
from math import prod

from gateway.kit.line import AskingPace
from gateway.plugin import DeviceError, Found, cleaned

from .frames import MOST, SYMBOLS, TYPES, UPLOAD_INFO, read_some
from .line import AdsLine
from .program import Program
from .return_codes import REFUSALS
from .symbols import entries, parse_declaration, parse_symbol
from .types import MEMBER_NO_DATA, MEMBER_POINTER, Declaration, Types, UnknownTypeError

LARGEST = 48 << 20
"""Bytes of an uploaded table, at most."""
OFFERED = 100_000
"""Places that are told, at most."""
ELEMENTS = 100
"""Elements of an array of structures that are told, at most."""
_PATIENCE = 60.0
_A_TURN = 500
"""Entries taken before others have their turn."""
_DEEPEST = 16
_ARRAY = re.compile(r"ARRAY\s*\[([^\]]*)\]\s*OF\s+(.+)", re.IGNORECASE | re.DOTALL)


class _Uploaded(dict[str, Declaration | None]):
    """All types that there are; what is not among them is declared nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.types = Types(self)

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> None:
        return None


async def browse(program: Program, line: AdsLine) -> AsyncIterator[tuple[str, Found]]:
    """Address and description of all values, whole arrays of numbers among them; at the end what is missing, if there is any.
    Raises DeviceError where the PLC tells nothing."""
    (info,) = await program.ask([read_some(program.unit, UPLOAD_INFO, 0, 24)])
    if isinstance(info, int) or len(info) < 16:
        why = REFUSALS.words(info) if isinstance(info, int) else "its answer is too short"
        raise DeviceError(f"the PLC does not tell its symbols: {why}")
    _, symbols_size, _, types_size = struct.unpack_from("<4I", info)
    missing: dict[str, None] = {}
    known = await _declared(program, line, types_size, missing)
    offered = looked = 0
    async for entry in _table(program, line, SYMBOLS, symbols_size, "symbols", missing):
        try:
            symbol = parse_symbol(entry)
        except (ValueError, struct.error):
            missing["a symbol that cannot be read"] = None
            continue
        it = Declaration(symbol.name, symbol.type, symbol.size, symbol.ads_id, comment=symbol.comment)
        for place, found in _offers(symbol.name, it, known, missing, ()):
            looked += 1
            if not looked % _A_TURN:
                await asyncio.sleep(0)
            if found is not None and offered < OFFERED:
                offered += 1
                yield place, found
            if offered >= OFFERED or looked >= 4 * OFFERED:
                missing[f"what comes after the first {offered} places"] = None
                break
        if offered >= OFFERED or looked >= 4 * OFFERED:
            break
    if missing:
        yield "", Found("", description=cleaned("; ".join(list(missing)[:20]), 1000))


async def _declared(program: Program, line: AdsLine, size: int, missing: dict[str, None]) -> _Uploaded:
    known = _Uploaded()
    async for entry in _table(program, line, TYPES, size, "types", missing):
        try:
            declaration = parse_declaration(entry)
            known[declaration.name.upper()] = declaration
        except (ValueError, struct.error):
            missing["a type that cannot be read"] = None
    return known


async def _table(
    program: Program, line: AdsLine, group: int, size: int, what: str, missing: dict[str, None]
) -> AsyncIterator[bytes]:
    """The entries of a table, which is asked for as a whole."""
    if size > LARGEST:
        missing[f"the table of {what} has {size} bytes, more than {LARGEST}"] = None
        return
    if not size:
        return
    line.framing.most = max(MOST, size + 1024)
    try:
        (answer,) = await line.exchange([read_some(program.unit, group, 0, size)], AskingPace(_PATIENCE, _PATIENCE))
    finally:
        line.framing.most = MOST
    if isinstance(answer, int):
        missing[f"the table of {what}: {REFUSALS.words(answer)}"] = None
        return
    try:
        for number, entry in enumerate(entries(answer)):
            if not number % _A_TURN:
                await asyncio.sleep(0)
            yield entry
    except ValueError as error:
        missing[f"the table of {what} is damaged: {error}"] = None


def _offers(
    name: str, it: Declaration, known: _Uploaded, missing: dict[str, None], within: tuple[str, ...]
) -> Iterator[tuple[str, Found | None]]:
    """What a variable of this type, or a member, offers under its name; None where that is nothing."""
    declared = known[it.type.upper()]
    ranges, of = _elements(it.type, declared)
    inner = known[of.upper()]
    if it.type.upper() in within or len(within) > _DEEPEST:
        missing[f"what stands within {name}"] = None
        yield name, None
    elif declared is not None and declared.members:
        for member in declared.members:
            if not member.flags & (MEMBER_POINTER | MEMBER_NO_DATA):
                place = f"{name}.{member.name}"
                yield from _offers(place, member, known, missing, (*within, it.type.upper()))
    elif ranges and inner is not None and inner.members:
        element = Declaration(of, of, inner.size, inner.ads_id)
        for indexes in islice(product(*(range(low, low + count) for low, count in ranges)), ELEMENTS):
            place = f"{name}[{','.join(map(str, indexes))}]"
            yield from _offers(place, element, known, missing, (*within, it.type.upper()))
        if prod(count for _, count in ranges) > ELEMENTS:
            missing[f"of {name} more than {ELEMENTS} elements"] = None
    else:
        yield name, _found(name, it, known.types)


def _found(name: str, it: Declaration, types: Types) -> Found | None:
    try:
        published = types.of(it.type, it.ads_id, it.size).published
    except (UnknownTypeError, ValueError):
        return None
    return Found(
        published, description=cleaned(it.comment or ("" if published else it.type), 200), path=name.replace(".", "/")
    )


def _elements(type_: str, declared: Declaration | None) -> tuple[list[tuple[int, int]], str]:
    """Lower bounds and counts of an array, and what it is of; no bounds for what is none."""
    if declared is not None and declared.ranges:
        return list(declared.ranges), declared.type
    if not (match := _ARRAY.fullmatch(type_)):
        return [], type_
    try:
        bounds = [tuple(map(int, part.split(".."))) for part in match[1].split(",")]
        return [(low, high - low + 1) for low, high in bounds], match[2]
    except ValueError:
        return [], type_
