"""Finds units, by Modbus TCP, by RTU frames in a TCP stream, or on a serial port that somebody has named.

A unit is asked for one register (function 3, else 4); a refusal is an answer too. Who answers is asked for its name (function
43/14, Modbus Application Protocol V1.1b3, §6.21). Nothing is written.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.kit.line import AskingPace, RequestLine
from gateway.plugin import Discovered, LinkError, Search, cleaned

from .address import HOLDING_REGISTERS, INPUT_REGISTERS
from .config import ModbusDevice
from .exceptions import REFUSALS
from .line.transports import open_modbus
from .requests import ModbusRequest, identify, read

USUAL_UNITS = (1, 255, *range(2, 11))
ON_SERIAL = tuple(range(1, 11))
ITSELF = 255
"""What a device with a network plug is asked as. No unit on a serial line can have this number (Modbus Messaging on TCP/IP
V1.0b, §4.4.1.2)."""
_ALIKE = 3
"""Numbers, ITSELF among them, under which one device that looks at none gives the same answers."""
_CLOSED = 3
"""Connections lost one after the other that end the search at a place."""
_FAILED = 4
"""The exception by which many gateways say that a unit does not answer them, and nothing is known of the unit."""
_HEAD = 4
"""Bytes before the names: conformity, "more follows", the next object, how many there are."""
_NAMES = {0: "maker", 1: "product code", 2: "revision"}


@dataclass(slots=True)
class _Unit:
    number: int
    first: str = ""
    """Address of a register that can be read."""
    said: bytes | int = b""
    """What it answered first."""
    identity: Sequence[str] = ()


async def find(search: Search) -> AsyncIterator[Discovered]:
    """What answers at one place."""
    if search.serial:
        async for found in _Place(search, {"transport": "rtu", "serial": search.serial}).found():
            yield found
        return
    for port in search.ports or (502,):
        where = {"host": search.host, **({"port": port} if port != 502 else {})}
        for transport in ("tcp", "rtu-over-tcp"):
            place = _Place(search, where if transport == "tcp" else {"transport": transport, **where})
            async for found in place.found():
                yield found
            if place.units or not place.opened:
                break


class _Place:
    """One connection's far end, asked in one kind of frames."""

    def __init__(self, search: Search, options: Mapping[str, Any]) -> None:
        self._search = search
        self._options = options
        self._config = ModbusDevice.model_validate(
            {"name": "search", "driver": "modbus", "timeout": f"{search.timeout:g}s", **options}
        )
        self._line: RequestLine[ModbusRequest] | None = None
        self._lost = 0
        self.opened = False
        """Whether there was a connection."""
        self.units: list[_Unit] = []

    async def found(self) -> AsyncIterator[Discovered]:
        """The units, one device each; one that answers to all numbers alike is told once."""
        numbers = list(self._search.units or (ON_SERIAL if self._search.serial else USUAL_UNITS))
        try:
            first = [unit for number in self._first(numbers) if (unit := await self._unit(number))]
            if len(first) == _ALIKE and len({(unit.said, unit.identity) for unit in first}) == 1:
                self.units = first[:1]
                yield self._described(
                    first[0], "it answers alike whatever unit id it is asked by: one device, it seems"
                )
                return
            for number in numbers:
                known = next((unit for unit in first if unit.number == number), None)
                unit = known or (None if number in self._first(numbers) else await self._unit(number))
                if unit is not None:
                    self.units.append(unit)
                    yield self._described(unit)
        finally:
            if self._line is not None:
                await self._line.close()

    def _first(self, numbers: Sequence[int]) -> Sequence[int]:
        """Which are asked before it is told who answers."""
        if self._search.serial or len(numbers) == 1:
            return numbers[:1]
        return tuple(dict.fromkeys((numbers[0], ITSELF, *numbers)))[:_ALIKE]

    def _described(self, unit: _Unit, *more: str) -> Discovered:
        about = [*unit.identity, *more]
        tags = {"first_register": {"address": unit.first, "type": "uint16"}} if unit.first else {}
        if type(unit.said) is int and not unit.first:
            about.append(f"its first register cannot be read: {REFUSALS.words(unit.said)}; it has no tags yet")
        return Discovered(
            {**self._options, "unit": unit.number}, tags, unit.identity[0] if unit.identity else "", about
        )

    async def _unit(self, number: int) -> _Unit | None:
        """The unit of this number, if it answers."""
        unit = _Unit(number)
        for area in (HOLDING_REGISTERS, INPUT_REGISTERS):
            answer = await self._ask(read(number, area, 0, 1))
            if isinstance(answer, bytes):
                unit.first = f"{area.code}:0"
            if isinstance(answer, bytes) or REFUSALS.heard([answer]):
                unit.said = unit.said or answer
            if isinstance(answer, bytes) or not REFUSALS.heard([answer]):
                break
        if unit.said == b"":
            return None
        identity = await self._ask(identify(number))
        unit.identity = _objects(identity) if isinstance(identity, bytes) else ()
        return None if unit.said == _FAILED and not unit.identity else unit

    async def _ask(self, request: ModbusRequest) -> bytes | int:
        """The answer; a number below 0 where none came."""
        if self._lost >= _CLOSED:
            return -1
        seconds = self._search.timeout
        try:
            if self._line is None:
                await self._search.turn()
                async with asyncio.timeout(seconds):
                    self._line = await open_modbus(self._config)
                self.opened = True
            await self._search.turn()
            (answer,) = await self._line.exchange([request], AskingPace(seconds, seconds, 0))
        except (LinkError, OSError):
            self._lost = self._lost + 1 if self.opened else _CLOSED
            if self._line is not None:
                await self._line.close()
                self._line = None
            return -1
        self._lost = 0
        return answer


def _objects(payload: bytes) -> Sequence[str]:
    """What a unit says of itself: maker, product code, revision. Nothing where that makes no sense."""
    if len(payload) < _HEAD:
        return ()
    told: list[str] = []
    count, at = payload[_HEAD - 1], _HEAD
    for _ in range(count):
        if at + 2 > len(payload):
            break
        kind, size = payload[at], payload[at + 1]
        text = cleaned(payload[at + 2 : at + 2 + size].decode("latin-1"), 80).strip()
        if kind in _NAMES and text:
            told.append(text)
        at += 2 + size
    return (" ".join(told),) if told else ()
