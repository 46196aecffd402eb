"""The symbols of one PLC: asked for by name, and asked for anew when the program was changed.

A value is read by a handle, and the program's version is read with it: what another version has is not decoded by what is
known of this one.
"""

import asyncio
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.kit.line import NO_ANSWER, UNSENT, Answer, AskingPace, RequestLine
from gateway.plugin import DeviceError

from .config import AdsTag
from .frames import (
    HANDLE_BY_NAME,
    RELEASE_HANDLE,
    SYMBOL_BY_NAME,
    TYPE_BY_NAME,
    VALUE_BY_HANDLE,
    VERSION,
    AdsRequest,
    Unit,
    parted_by_length,
    read,
    read_write,
    sum_read_write,
    sum_write,
    write,
)
from .return_codes import NO_GROUP, NOT_SUPPORTED, REFUSALS
from .symbols import AdsSymbol, parse_declaration, parse_symbol
from .types import AdsType, Declaration, Types, UnknownTypeError, bit_of, parse_type

NO_SUMS = (NOT_SUPPORTED, NO_GROUP, 0x703)
"""What a device answers to a sum command that it does not know."""
AGAIN = 10.0
"""Seconds after which what was refused is asked for again."""
RENEWED = 5.0
"""Seconds between two times that all handles are asked for anew because one is not valid."""
_AT_ONCE, _ENTRY, _DECLARATION = 100, 4096, 1 << 19
"""Names in a request; bytes of a symbol's entry, and of a type's, at most."""
_ROUNDS = 40

RUN = 5
STATES = {
    0: "invalid", 1: "idle", 2: "reset", 3: "init", 4: "start", RUN: "run", 6: "stop", 7: "saving its configuration",
    8: "loading its configuration", 9: "power failure", 10: "power good", 11: "error", 12: "shutdown", 13: "suspended",
    14: "resume", 15: "config", 16: "reconfig", 17: "stopping", 18: "incompatible", 19: "exception",
}  # fmt: skip
"""ADSSTATE_…"""
_HALTED = STATES.keys() - {0, 1, 4, RUN, 14}
"""Those in which no program runs. Devices without one say something else, or nothing."""


Key = tuple[str, str]


class ChangedError(Exception):
    """The program is another one than the symbols were asked of."""


@dataclass(frozen=True, slots=True)
class Item:
    """A value that can be read."""

    place: tuple[int, int, int]
    """Index group, offset and bytes."""

    type: AdsType
    comment: str = ""
    handle: int | None = None


@dataclass(slots=True)
class Program:
    """What is known of it on one connection. `items` and `refused` by `AdsTag.key`."""

    unit: Unit
    encoding: str
    line: RequestLine[AdsRequest]
    pace: AskingPace
    items: dict[Key, Item] = field(default_factory=dict)
    refused: dict[Key, int | str] = field(default_factory=dict)
    """Why there is no item: a code, or in words."""

    version: int | None = None
    state: int = RUN
    state_due: float = 0.0
    sums: bool = True
    """Whether the device knows sum commands."""

    generation: int = 0
    """How often `items` and `refused` have become others."""

    again_at: float = 0.0
    renewed_at: float = -RENEWED
    _known: dict[str, Declaration | None] = field(default_factory=dict)
    _handles: list[int] = field(default_factory=list)
    """All that were given, until they are released."""
    _made: Types = field(init=False)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._made = Types(self._known, self.encoding)

    @property
    def halted(self) -> bool:
        """Whether nothing computes its variables."""
        return self.state in _HALTED

    def lacks(self, tags: Iterable[AdsTag], now: float) -> bool:
        """Whether something must be asked for before these can be read."""
        if self.refused and now >= self.again_at:
            return True
        return any(tag.key not in self.items and tag.key not in self.refused for tag in tags)

    def forget(self) -> None:
        """All symbols are asked for anew."""
        self.items.clear()
        self.refused.clear()
        self._known = {}
        self._made = Types(self._known, self.encoding)
        self.version = None
        self.generation += 1

    def renew(self, now: float) -> None:
        """A handle is not valid, though the version is the same. Raises ChangedError, unless that was tried just now."""
        if now >= self.renewed_at + RENEWED:
            self.renewed_at = now
            raise ChangedError

    async def prepare(self, tags: Iterable[AdsTag]) -> None:
        """Ask for what `lacks`. What was found stays when it is cancelled. Raises TimeoutError and LinkError."""
        async with self._asking:
            if self.refused and time.monotonic() >= self.again_at:
                self.refused.clear()
                self.generation += 1
            wanted = {tag.key: tag for tag in tags if tag.key not in self.items and tag.key not in self.refused}
            symbols = []
            for key, tag in wanted.items():
                if tag.at.group is None:
                    symbols.append(tag)
                else:
                    type_ = parse_type(tag.type or "", self.encoding)
                    self.items[key] = Item((tag.at.group, tag.at.offset, type_.size), type_)
            if symbols and self.version is None:
                (answer,) = await self.ask([read(self.unit, VERSION, 0, 1)])
                self.version = answer[0] if isinstance(answer, bytes) else None
            for at in range(0, len(symbols), _AT_ONCE):
                await self._find(symbols[at : at + _AT_ONCE])
            self.again_at = time.monotonic() + AGAIN
            self.generation += 1

    async def renewed(self, tags: Sequence[AdsTag]) -> None:
        """`prepare`, and anew where the program is another one now: for who is about to write."""
        if self.version is not None:
            (answer,) = await self.ask([read(self.unit, VERSION, 0, 1)])
            if answer != bytes([self.version]):
                self.forget()
        await self.prepare(tags)

    async def _find(self, wanted: Sequence[AdsTag]) -> None:
        entries: list[tuple[AdsTag, AdsSymbol]] = []
        answers = await self._questions(SYMBOL_BY_NAME, [tag.at.base for tag in wanted], _ENTRY)
        for tag, answer in zip(wanted, answers, strict=True):
            try:
                if isinstance(answer, int):
                    self.refused[tag.key] = answer
                else:
                    entries.append((tag, parse_symbol(answer)))
            except (ValueError, struct.error) as error:
                self.refused[tag.key] = f"what the controller tells of it cannot be read: {error}"
        types = await self._types(entries)
        found = [(tag, entry, types[tag.key]) for tag, entry in entries if tag.key in types]
        handles = await self._questions(HANDLE_BY_NAME, [tag.at.base for tag, _, _ in found], 4)
        for (tag, entry, type_), answer in zip(found, handles, strict=True):
            if isinstance(answer, int) or len(answer) != 4:
                self.refused[tag.key] = answer if isinstance(answer, int) else "the controller gives no handle"
                continue
            handle = int.from_bytes(answer, "little")
            self._handles.append(handle)
            self.items[tag.key] = Item((VALUE_BY_HANDLE, handle, type_.size), type_, entry.comment, handle)

    async def _types(self, entries: Sequence[tuple[AdsTag, AdsSymbol]]) -> dict[Key, AdsType]:
        """The type of each that has one."""
        found: dict[Key, AdsType] = {}
        for _ in range(_ROUNDS):
            needed: dict[str, None] = {}
            for tag, entry in entries:
                if tag.key in found or tag.key in self.refused:
                    continue
                try:
                    found[tag.key] = self._type(tag, entry)
                except UnknownTypeError as error:
                    needed[str(error.args[0])] = None
                except ValueError as error:
                    self.refused[tag.key] = str(error)
            if not needed:
                return found
            await self._declare(list(needed))
        for tag, _ in entries:
            if tag.key not in found:
                self.refused.setdefault(tag.key, "its type is declared too deep")
        return found

    def _type(self, tag: AdsTag, entry: AdsSymbol) -> AdsType:
        if tag.type is None:
            return self._made.of(entry.type, entry.ads_id, entry.size)
        found = parse_type(tag.type, self.encoding)
        if found.size != entry.size:
            raise ValueError(f"the controller has {entry.type} with {entry.size} bytes; type says {tag.type}")
        return found

    async def _declare(self, names: Sequence[str]) -> None:
        """Ask for the declarations of types."""
        requests = [read_write(self.unit, TYPE_BY_NAME, 0, _DECLARATION, _spelled(name)) for name in names]
        for name, answer in zip(names, await self.ask(requests), strict=True):
            try:
                self._known[name.upper()] = parse_declaration(answer) if isinstance(answer, bytes) else None
            except (ValueError, struct.error):
                self._known[name.upper()] = None

    async def _questions(self, group: int, names: Sequence[str], most: int) -> Sequence[Answer]:
        """The answers to a question about each name."""
        if self.sums and len(names) > 1:
            (answer,) = await self.ask([sum_read_write(self.unit, group, list(map(_spelled, names)), most)])
            if isinstance(answer, bytes):
                try:
                    return parted_by_length(answer, len(names))
                except (ValueError, struct.error):
                    self.sums = False
            elif answer in NO_SUMS:
                self.sums = False
        return await self.ask([read_write(self.unit, group, 0, most, _spelled(name)) for name in names])

    async def ask(self, requests: Sequence[AdsRequest]) -> list[Answer]:
        """The answers, none of them missing. Raises TimeoutError, LinkError, and DeviceError where the PLC is not there."""
        answers = await self.line.exchange(requests, self.pace) if requests else []
        if NO_ANSWER in answers or UNSENT in answers:
            raise TimeoutError(f"no answer within {self.pace.patience:g} s")
        for answer in answers:
            if isinstance(answer, int) and answer > 0 and not REFUSALS.divisible(answer):
                raise DeviceError(f"AMS port {self.unit[1]}: {REFUSALS.words(answer)}")
        return answers

    def releases(self) -> list[AdsRequest]:
        """The requests that give all handles back."""
        given = [struct.pack("<I", handle) for handle in self._handles]
        self._handles.clear()
        if not self.sums:
            return [write(self.unit, RELEASE_HANDLE, 0, handle) for handle in given]
        parts = [given[at : at + 500] for at in range(0, len(given), 500)]
        return [sum_write(self.unit, [(RELEASE_HANDLE, 0, handle) for handle in part]) for part in parts]

    def why(self, tag: AdsTag) -> str:
        """Why there is no value, in words; empty where there is one, or where it was not asked for yet."""
        reason = self.refused.get(tag.key, "")
        if isinstance(reason, int):
            return REFUSALS.words(reason)
        if (item := self.items.get(tag.key)) is not None and tag.at.bit is not None:
            try:
                bit_of(item.type, tag.at.bit)
            except ValueError as error:
                return str(error)
        return reason


def _spelled(name: str) -> bytes:
    return name.encode() + b"\0"
