"""The driver: what is S7 communication's own of it. Reading in blocks is `gateway.kit.BlockDriver`."""

import struct
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import Any, cast

from gateway.kit import BlockDriver, truth
from gateway.kit.blocks import Area, BlockReading, ValuePlace
from gateway.kit.line import AskingPace, LineManners, LineRequest, RequestLine, open_line
from gateway.plugin import Device, DeviceError, Discovered, Found, LinkError, Search, Tag, cleaned

from .address import S7Area
from .config import S7Device, S7Tag
from .frames import S7Framing, S7Request, connect, joined, most_bytes, read, setup, write, write_bit
from .itself import data_blocks, find
from .return_codes import REFUSALS
from .types import wire

NAMELESS = (
    "names and types, which PUT/GET does not tell: edge-gateway import tia takes them from an export of the TIA Portal, and"
    ' transport = "s7commplus" asks the CPU for them'
)
AT_ONCE = 50
"""Values by symbol that a request may ask for."""


class S7Reading(BlockReading[S7Device, S7Tag]):
    """One CPU, by messages of `pdu` bytes."""

    refusals = REFUSALS

    def __init__(self, options: S7Device, pdu: int) -> None:
        super().__init__(options)
        self.max_gap = options.max_gap
        self.limit = pdu

    @staticmethod
    def span(tag: S7Tag) -> tuple[Area, int, int]:
        at, size = tag.at(), max(1, tag.kind.size)
        return at.area, at.offset, at.offset + size // at.area.width

    def place(self, row: int, tag: S7Tag, byte: int, offset: int) -> ValuePlace:
        at, kind = tag.at(), tag.kind
        byte += offset * at.area.width
        if at.bit is not None:
            return ValuePlace(row, byte, "bool", bit=at.bit)
        if kind.decode is not None:
            return ValuePlace(row, byte, kind.name, length=kind.size, decode=kind.decode)
        return ValuePlace(row, byte, kind.number, kind.order)

    def most(self, area: Area) -> int:
        return most_bytes(self.limit) // area.size(1)

    def request(self, area: Area, start: int, count: int) -> S7Request:
        assert isinstance(area, S7Area)
        return read(area, start, count)

    def joined(self, requests: Sequence[LineRequest]) -> S7Request | None:
        return joined(cast(Sequence[S7Request], requests), self.limit)


class S7(BlockDriver[S7Device, S7Tag]):
    """One line, shared by all devices with the same host, port, rack, slot and connection. A device that is read by symbols
    gets an S7Symbolic."""

    line_options = ("pdu", "timeout", "max_in_flight")

    def __new__(cls, devices: Sequence[Device], *_: Any) -> "S7":
        if cls is S7 and devices[0].config.by_symbols:
            from .symbolic import S7Symbolic

            return super().__new__(S7Symbolic)
        return super().__new__(cls)

    @classmethod
    def reading(cls, config: S7Device) -> S7Reading:
        return S7Reading(config, config.pdu)

    def reading_here(self, config: S7Device) -> S7Reading:
        return S7Reading(config, self._pdu)

    @classmethod
    def line_key(cls, config: S7Device) -> Hashable:
        return None if config.by_symbols else (config.host, config.port, config.tsaps())

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        pdu = devices[0].config.pdu
        if devices[0].config.by_symbols:
            return []
        return super().doubts(devices) + [
            f"{tag}: its {tag.config.kind.size} bytes are more than a message of pdu = {pdu} holds"
            for device in devices
            for tag in device.tags
            if tag.config.kind.size > most_bytes(pdu)
        ]

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        if device.config.by_symbols:
            asked = -(-len(device.tags) // AT_ONCE)
            return [f"{len(device.tags)} tags by symbol, in {asked} request{'s' if asked > 1 else ''} or more"]
        return super().plan(device)

    async def open(self) -> RequestLine[S7Request]:
        config = self.config
        manners = LineManners(
            max_in_flight=config.max_in_flight,
            protocol="S7 communication",
            if_silent="are rack and slot right?",
        )
        line = RequestLine(f"{config.host}:{config.port}", S7Framing(), manners)
        look_at = "is this the CPU's address, and is port 102 open on the way?"
        await open_line(line, config.host, config.port, look_at=look_at)
        try:
            await self._agree(line, connect(*config.tsaps()), "take a connection; are rack and slot right?")
            granted = await self._agree(line, setup(config.max_in_flight, config.pdu), "agree upon messages")
            at_once, _, self._pdu = struct.unpack(">HHH", granted)
            if self._pdu < 32:
                raise LinkError(f"{config.host}: the CPU grants messages of {self._pdu} bytes")
            line.lower_in_flight(at_once)
        except BaseException:
            await line.close()
            raise
        return line

    async def _agree(self, line: RequestLine[S7Request], request: S7Request, what: str) -> bytes:
        (answer,) = await line.exchange([request], self.pace(self.config, 1))
        if not isinstance(answer, bytes):
            raise LinkError(f"{self.config.host}: the CPU does not {what} ({REFUSALS.words(answer)})")
        return answer

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        missing = NAMELESS

        async def ask(request: S7Request) -> bytes | int:
            (answer,) = await self._line.exchange([request], self.pace(self.config, 1))
            return answer

        try:
            async for number, size in data_blocks(ask):
                told = f"data block of {size} bytes" if size else "data block"
                yield f"DB{number}.0", Found("bytes", description=told, path=f"DB{number}")
        except ValueError as error:
            missing = f"its data blocks ({cleaned(error)}); {missing}"
        yield "", Found("", description=missing)

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        return find(search)

    def pace(self, config: S7Device, scans: int) -> AskingPace:
        pace = super().pace(config, scans)
        return AskingPace(min(config.request_timeout or pace.patience, pace.patience), pace.whole, config.retries)

    def named(self, config: S7Device) -> str:
        return f"the CPU in rack {config.rack}, slot {config.slot}"

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        config = self.device(tag.device).config
        try:
            request = _write(tag.config, value, self._pdu)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        await self.ask(request, config, "; it may have been written")


def _write(tag: S7Tag, value: float | bool | int | str, pdu: int) -> S7Request:
    """The request that writes the value. Raises ValueError, with the reason, for what cannot be written."""
    at = tag.at()
    if at.bit is not None:
        if isinstance(value, str):
            raise ValueError(f"{value!r} is neither true nor false")
        return write_bit(at.area, at.offset, at.bit, truth(value))
    if at.area.width > 1:
        raise ValueError(f"a {at.area.word} is not written: have the program set it")
    behind, data = wire(tag.kind, value)
    if 28 + len(data) > pdu:
        raise ValueError(f"{len(data)} bytes are more than a message of {pdu} bytes takes")
    return write(at.area, at.offset + behind, data)
