"""The driver: what is the dedicated protocol's own of it. The rest is `gateway.kit.WordDriver`."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import cast

from gateway.kit import WordArea, WordDriver, WordReading, find_devices
from gateway.kit.blocks import Area
from gateway.kit.line import LineManners, LineRequest, RequestLine, open_line
from gateway.plugin import Device, DeviceError, Discovered, Search

from .address import AREAS
from .config import MOST, XgtDevice, XgtTag
from .frames import XgtFraming, XgtRequest, joined, read, write_bits, write_words
from .nak_codes import REFUSALS


class XgtReading(WordReading[XgtDevice, XgtTag]):
    """One PLC that is read."""

    refusals = REFUSALS

    def request(self, area: Area, start: int, count: int) -> XgtRequest:
        assert isinstance(area, WordArea)
        return read(area, start, count)

    def joined(self, requests: Sequence[LineRequest]) -> XgtRequest | None:
        return joined(cast(Sequence[XgtRequest], requests))


class Xgt(WordDriver[XgtDevice, XgtTag]):
    """One line, shared by all devices with the same host and port."""

    most_written = MOST

    @classmethod
    def reading(cls, config: XgtDevice) -> XgtReading:
        return XgtReading(config)

    async def open(self) -> RequestLine[XgtRequest]:
        config = self.config
        manners = LineManners(
            max_in_flight=config.max_in_flight,
            protocol="XGT dedicated protocol",
            if_silent='is the module\'s server mode "XGT server" in XG5000?',
        )
        self._framing = XgtFraming()
        line = RequestLine(f"{config.host}:{config.port}", self._framing, manners)
        look_at = 'is the module\'s server mode "XGT server", and is this computer in its host table?'
        await open_line(line, config.host, config.port, look_at=look_at)
        return line

    async def identify(self, device: Device) -> str:
        with contextlib.suppress(DeviceError):  # a refusal says it too
            await self.ask(read(AREAS["M"], 0, 1), device.config)
        return f"LS Electric {self._framing.series}".strip()

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        return find_devices(cls, search, [{}], {"address": "M0", "type": "uint16"})

    @classmethod
    def write_words(cls, tag: XgtTag, config: XgtDevice, wire: bytes) -> XgtRequest:
        return write_words(tag.at().area, tag.at().offset, wire)

    @classmethod
    def write_bits(cls, tag: XgtTag, config: XgtDevice, bits: Sequence[int]) -> XgtRequest:
        return write_bits(tag.at(), bits, config.hex_bits)
