"""The driver: what is the dedicated protocol's own of it. Reading in blocks is `gateway.kit.BlockDriver`."""

from collections.abc import Hashable, Sequence
from typing import cast

from gateway.kit import BlockDriver, truth
from gateway.kit.blocks import Area, BlockReading, ValuePlace
from gateway.kit.line import AskingPace, LineManners, LineRequest, RequestLine, open_line
from gateway.plugin import DeviceError, Tag

from .address import XgtArea
from .config import MOST, XgtDevice, XgtTag
from .frames import XgtFraming, XgtRequest, joined, read, write_bits, write_words
from .nak_codes import REFUSALS


class XgtReading(BlockReading[XgtDevice, XgtTag]):
    """One PLC. Bits are read with their words."""

    refusals = REFUSALS

    def __init__(self, options: XgtDevice) -> None:
        super().__init__(options)
        self.max_gap = options.max_gap

    @staticmethod
    def span(tag: XgtTag) -> tuple[Area, int, int]:
        at = tag.at()
        return at.area, at.offset, at.offset + tag.words()

    def place(self, row: int, tag: XgtTag, byte: int, offset: int) -> ValuePlace:
        return tag.place(row, byte + 2 * offset, self.options.order, self.options.not_available)

    def most(self, area: Area) -> int:
        return self.options.max_words

    def request(self, area: Area, start: int, count: int) -> XgtRequest:
        assert isinstance(area, XgtArea)
        return read(area, start, count)

    def joined(self, requests: Sequence[LineRequest]) -> XgtRequest | None:
        return joined(cast(Sequence[XgtRequest], requests))


class Xgt(BlockDriver[XgtDevice, XgtTag]):
    """One line, shared by all devices with the same host and port."""

    @classmethod
    def reading(cls, config: XgtDevice) -> XgtReading:
        return XgtReading(config)

    @classmethod
    def line_key(cls, config: XgtDevice) -> Hashable:
        return config.host, config.port

    async def open(self) -> RequestLine[XgtRequest]:
        config = self.config
        manners = LineManners(
            max_in_flight=config.max_in_flight,
            protocol="XGT dedicated protocol",
            if_silent='is the module\'s server mode "XGT server" in XG5000?',
        )
        line = RequestLine(f"{config.host}:{config.port}", XgtFraming(), manners)
        look_at = 'is the module\'s server mode "XGT server", and is this computer in its host table?'
        await open_line(line, config.host, config.port, look_at=look_at)
        return line

    def pace(self, config: XgtDevice, scans: int) -> AskingPace:
        pace = super().pace(config, scans)
        return AskingPace(min(config.request_timeout or pace.patience, pace.patience), pace.whole, config.retries)

    def named(self, config: XgtDevice) -> str:
        return "the PLC"

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        config = self.device(tag.device).config
        try:
            request = _write(tag.config, config, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        await self.ask(request, config, "; it may have been written")


def _write(tag: XgtTag, config: XgtDevice, value: float | bool | int | str) -> XgtRequest:
    """The request that writes the value. Raises ValueError, with the reason, for what cannot be written."""
    at = tag.at()
    if at.bit is None:
        wire = tag.wire(value, config.order)
        if len(wire) // 2 > MOST:
            raise ValueError(f"{len(wire) // 2} words are more than one request can write, {MOST}")
        return write_words(at.area, at.offset, wire)
    bits = int(truth(value)) if at.width == 1 else tag.masked(value)[1] >> at.bit
    return write_bits(at.area, at.offset, at.bit, [bits >> n & 1 for n in range(at.width)], config.hex_bits)
