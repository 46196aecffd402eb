"""The driver by symbols: what is S7CommPlus' own of it."""

import asyncio
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from gateway.kit import tls_context, truth
from gateway.plugin import (
    DeviceError,
    Exact,
    Found,
    LinkError,
    RefusedError,
    Tag,
    Tags,
    Tls,
    Values,
    cleaned,
    doubting,
    listed,
    resolve,
)

from ..config import S7Tag
from ..driver import S7
from ..symbol import path_of
from ..types import number_form, parse_type, wire
from .answers import NotGivenError, Wire
from .layout import Layout, Place, Symbol

Value = Exact | float | bool | None

LOOK_EVERY = 10.0
"""Seconds after which it is looked whether the program in the CPU was changed. Sooner, but not within SETTLED, when a value
is refused or has another type."""
SETTLED = 2.0

WITHIN = 0.95
"""Of the gateway's time-out: what is known until then is still told."""

EXTRA_REQUESTS = 32
"""Requests that one scan may spend on finding odd values; the next scan goes on from there."""
_MOST_OFFERS = 20_000


@dataclass(slots=True)
class _Group:
    """Values that are asked for together."""

    places: Sequence[Place]
    request: bytes
    after: float = 0.0
    """Of one that stands alone since it is odd: when it is asked for again. Negative: half of an odd one."""
    last: int | None = None
    """What came then."""


@dataclass(slots=True)
class _Plan:
    """How the tags of a scan are read."""

    layout: Layout
    symbols: Sequence[Symbol | None]
    """Of each tag; None where the CPU has none."""

    takes: Sequence[Callable[[Sequence[Wire | int | None]], Value]]
    """Makes each tag's value of its answers."""

    groups: list[_Group]


class S7Symbolic(S7):
    """One device, whose values are asked for by the names that they have in the program."""

    async def connect(self) -> None:
        self._plans: WeakKeyDictionary[Tags, _Plan] = WeakKeyDictionary()
        self._changing = asyncio.Lock()
        self._told: dict[str, str] = {}
        """What is wrong with which tag, as far as it was said."""
        await self._open()

    async def _open(self) -> None:
        config = self.config
        try:
            from .session import Session
        except ImportError as error:
            raise RefusedError(
                f"S7CommPlus needs a library that is not installed ({error.name}): "
                f'{sys.executable} -m pip install "s7commplus~=0.3.0"'
            ) from error
        context: ssl.SSLContext | None = None
        if config.tls:
            context = await asyncio.to_thread(tls_context, config.tls)
        patience = min(config.request_timeout or config.timeout, WITHIN * config.timeout)
        self._session = Session(config.host, config.port, config.tls, context, patience)
        self._plans.clear()
        try:
            async with asyncio.timeout(WITHIN * config.timeout):
                await self._session.open(None if config.password is None else resolve(config.password))
                await self._learn_symbols()
        except TimeoutError:
            self._session.abort()
            raise LinkError(
                f"{config.host}: to connect, and to learn its symbols, takes the CPU more than {config.timeout:g} s; is it"
                " busy, or its program large? Then raise timeout"
            ) from None
        except BaseException:
            self._session.abort()
            raise

    async def _learn_symbols(self) -> None:
        """Ask the CPU what it has, and remember by what it is known again."""
        blocks = await self._session.blocks()
        self._layout = await self._session.layout(blocks)
        wanted = {tag.config.steps()[0].name for device in self.devices for tag in device.tags}
        self._used = {name: block for name, block in self._layout.blocks.items() if name in wanted}
        self._mark = await self._marks(blocks)
        self._looked = time.monotonic()

    async def _marks(self, blocks: Mapping[str, int]) -> Hashable:
        """What is another one after a download that changes a data block that is read."""
        areas = [blocks.get(name, 0) for name in self._used]
        described = await self._session.described_by([area for area in areas if area])
        types = [block.type for block in self._used.values()]
        return tuple(areas), tuple(described), tuple(await self._session.changed_at(types)), tuple(sorted(blocks))

    async def _look(self, within: float) -> bool:
        """Whether the program was changed, if that was not looked at within so many seconds; then all is learned anew."""
        async with self._changing:
            if time.monotonic() - self._looked < within:
                return False
            if await self._marks(await self._session.blocks()) == self._mark:
                self._looked = time.monotonic()
                return False
            self.log.warning("the program in the CPU was changed; its symbols are looked up anew")
            await self._learn_symbols()
            return True

    async def describe(self) -> Mapping[Tag, Found]:
        found = {}
        for device in self.devices:
            plan = self._plan(device.tags)
            for tag, symbol in zip(device.tags, plan.symbols, strict=True):
                if symbol is not None and symbol.type.published:
                    found[tag] = Found(symbol.type.published)
        return found

    async def read(self, tags: Tags) -> Values:
        if self._session.ended:  # while nothing was asked: its manner, and no loss
            async with self._changing:
                if self._session.ended:
                    await self._open()
        await self._look(LOOK_EVERY)
        values, odd = await self._scan(tags)
        if odd and await self._look(SETTLED):
            values, odd = await self._scan(tags)
        self._tell(tags, odd)
        if odd and len(odd) == len(tags):
            raise DeviceError(f"{tags.device}: no value can be had: {next(iter(odd.values()))}")
        return values

    async def _scan(self, tags: Tags) -> tuple[list[Value], dict[str, str]]:
        """The values of tags, and what is wrong with which."""
        plan = self._plan(tags)
        answers = iter(await self._answers(plan))
        values: list[Value] = []
        odd: dict[str, str] = {}
        for tag, symbol, take in zip(tags, plan.symbols, plan.takes, strict=True):
            given = [] if symbol is None else [next(answers) for _ in symbol.places]
            try:
                values.append(take(given))
            except ValueError as error:
                values.append(None)
                odd[tag.name] = cleaned(error)
        return values, odd

    async def _answers(self, plan: _Plan) -> list[Wire | int | None]:
        """The answer of each place; None where it was not asked for, or is none. Groups in which one is odd are halved."""
        answers: list[Wire | int | None] = []
        spend, at = EXTRA_REQUESTS, 0
        while at < len(plan.groups):
            group = plan.groups[at]
            count = len(group.places)
            if group.after > time.monotonic() or (spend <= 0 and group.after < 0):
                answers += [group.last] * count
                at += 1
                continue
            heard = await self._heard(group)
            if not isinstance(heard, Exception):
                answers += heard
                group.after = 0.0
            elif count > 1:
                spend -= 1
                plan.groups[at : at + 1] = [self._group(half, -1.0) for half in _halves(group.places)]
                continue
            else:
                spend -= 1
                group.last = heard.args[0] if isinstance(heard, NotGivenError) else None
                group.after = time.monotonic() + LOOK_EVERY
                answers.append(group.last)
            at += 1
        return answers

    async def _heard(self, group: _Group) -> list[Wire | int] | Exception:
        """What the CPU answers, or why it cannot be read."""
        try:
            return await self._session.values(group.request, len(group.places))
        except LinkError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the library raises at an answer that it cannot read
            return error

    def _group(self, places: Sequence[Place], after: float = 0.0) -> _Group:
        return _Group(places, self._session.request(places), after)

    def _plan(self, tags: Tags) -> _Plan:
        plan = self._plans.get(tags)
        if plan is None or plan.layout is not self._layout:
            plan = self._plans[tags] = self._new_plan(tags)
        return plan

    def _new_plan(self, tags: Tags) -> _Plan:
        symbols: list[Symbol | None] = []
        takes: list[Callable[[Sequence[Wire | int | None]], Value]] = []
        for tag in tags:
            try:
                symbol = _fitting(self._layout, tag.config)
            except ValueError as error:
                symbols.append(None)
                takes.append(_lacking(str(error)))
            else:
                symbols.append(symbol)
                takes.append(_taker(symbol))
        places = [place for symbol in symbols if symbol is not None for place in symbol.places]
        groups = []
        for count in self._session.groups(places):
            groups.append(self._group(places[:count]))
            places = places[count:]
        return _Plan(self._layout, symbols, takes, groups)

    def _tell(self, tags: Tags, odd: Mapping[str, str]) -> None:
        """Say once what begins to be wrong, and what is right again."""
        for tag in tags:
            now, before = odd.get(tag.name), self._told.get(tag.name)
            if now == before:
                continue
            if now is None:
                del self._told[tag.name]
                self.log.info("a symbol is read again", device=tags.device, tag=tag.name)
            else:
                self._told[tag.name] = now
                said = f"{tag.config.symbol}: {now}"
                self.log.warning("a symbol cannot be read", device=tags.device, tag=tag.name, reason=said)

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        await self._look(SETTLED)
        try:
            symbol = _fitting(self._layout, tag.config)
            data = _wire(symbol, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        try:
            await self._session.put(symbol.places[0], symbol.kind.sent, data)
        except NotGivenError as error:
            raise DeviceError(f"{tag}: {_refused(error.args[0])}") from error
        except LinkError:
            raise
        except Exception as error:
            raise LinkError(f"{tag}: the answer cannot be read; it may have been written") from error

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        for count, (name, kind) in enumerate(self._layout.every(_MOST_OFFERS)):
            if name:
                type_ = parse_type(kind).published
                yield name, Found(type_, description=kind, path=_path(name), option="symbol")
            else:
                yield "", Found("", description=f"what is beyond {_MOST_OFFERS} symbols")
            if count % 200 == 0:
                await asyncio.sleep(0)

    @property
    def counts(self) -> Mapping[str, int]:
        return {}

    @property
    def facts(self) -> Mapping[str, str | float]:
        tls = self.config.tls
        pinned = isinstance(tls, Tls) and tls.pin
        verified = "pin" if pinned else "authority and name"
        if pinned and isinstance(tls, Tls) and tls.ca is not None:
            verified = "authority, name and pin"
        security = f"TLS, its certificate verified by {verified}" if tls else "none"
        return {"security": security, "access": self._session.level}

    @property
    def remarks(self) -> Sequence[str]:
        said = []
        if not self.config.tls:
            said.append("not encrypted, and nobody knows whether it is this CPU: tls = false")
        if self._told:
            said.append(f"cannot be read: {listed([f'{name} ({why})' for name, why in self._told.items()])}")
        return said

    async def close(self) -> None:
        await self._session.shut()


def _path(name: str) -> str:
    """Of a symbol; empty for a name that no configuration can hold, such as one with a quote."""
    with suppress(ValueError):
        return path_of(name)
    return ""


def _halves(places: Sequence[Place]) -> tuple[Sequence[Place], Sequence[Place]]:
    middle = len(places) // 2
    return places[:middle], places[middle:]


def _fitting(layout: Layout, tag: S7Tag) -> Symbol:
    """What a tag's symbol is. Raises ValueError where the CPU has none, or one of another type than the file says."""
    symbol = layout.find(tag.steps())
    if tag.type is None:
        return symbol
    wanted, has = parse_type(tag.type).name, symbol.type.name
    if wanted != has and not (wanted == symbol.kind.name and symbol.length):
        has += f"[{symbol.length}]" if symbol.length else ""
        raise ValueError(f"the file says {tag.type}, and the CPU has {has}: correct type, or leave it out")
    return symbol


def _lacking(reason: str) -> Callable[[Sequence[Wire | int | None]], Value]:
    def take(_: Sequence[Wire | int | None]) -> Value:
        raise ValueError(reason)

    return take


def _refused(code: int) -> str:
    """What an error of the CPU means. Of its 64 bits the lowest 16 are a signed number."""
    number = (code & 0xFFFF) - (0x10000 if code & 0x8000 else 0)
    return f"the CPU refuses it ({number}): was it deleted, or does the access level not let it be reached?"


def _taker(symbol: Symbol) -> Callable[[Sequence[Wire | int | None]], Value]:
    """What makes a value of the answers for its places. It raises ValueError, with the reason, where they make none."""
    single, kinds = symbol.single, symbol.kind.wire
    unpack = struct.Struct(f">{number_form(single)}").unpack if single.number and single.name != "BOOL" else None
    size = 1 if single.name == "BOOL" else single.size

    def one(answer: Wire | int | None) -> Value:
        if answer is None:
            raise ValueError("the CPU's answer cannot be read")
        if isinstance(answer, int):
            raise ValueError(_refused(answer))
        type_, data = answer
        if type_ not in kinds:
            raise ValueError(f"the CPU answers with another type than {symbol.kind.name}; was the program changed?")
        if not symbol.length and len(data) != size and single.name not in ("STRING", "WSTRING"):
            raise ValueError(f"the CPU answers with {len(data)} bytes, and {symbol.kind.name} has {size}")
        if unpack is not None:
            number: Value = unpack(data)[0]
            return number
        if single.decode is None:
            return bool(data[0])
        with doubting(ValueError):
            return single.decode(data)

    if len(symbol.places) == 1 and symbol.type is symbol.single:
        return lambda answers: one(answers[0])
    return lambda answers: [one(answer) for answer in answers]


def _wire(symbol: Symbol, value: float | bool | int | str) -> bytes:
    """The bytes that hold a value. Raises ValueError, with the reason, where it has none."""
    kind, type_ = symbol.kind, symbol.type
    if not kind.sent or len(symbol.places) != 1 or type_ is not symbol.single:
        raise ValueError(f"a {type_.name} is not written")
    if kind.name == "BOOL":
        if isinstance(value, str):
            raise ValueError(f"{value!r} is neither true nor false")
        return bytes([truth(value)])
    behind, data = wire(type_, value)
    if kind.name == "STRING":
        data = bytes([type_.length]) + data + bytes(type_.size - behind - len(data))
    return data
