"""The driver: what is the MC protocol's own of it. The rest is `gateway.kit.WordDriver`."""

from collections.abc import AsyncIterator, Sequence
from typing import cast

from gateway.kit import WordDriver, WordReading, find_devices, text_of
from gateway.kit.blocks import Area
from gateway.kit.line import LineManners, LineRequest, RequestLine, open_line
from gateway.plugin import Device, Discovered, RefusedError, Search, resolve

from .address import MelsecArea
from .config import MOST, MelsecDevice, MelsecTag
from .end_codes import REFUSALS
from .frames import (
    UNLOCK,
    MelsecAsciiFraming,
    MelsecFraming,
    MelsecRequest,
    identify,
    joined,
    read,
    write_bits,
    write_words,
)

USUAL_PORT = 5007
"""Where the built-in Ethernet port of iQ-R and Q CPUs speaks MC protocol by TCP; each open setting may say another one."""

_QUARTER = 0.25
"""Seconds, in which the PLC's own patience is told."""


class MelsecReading(WordReading[MelsecDevice, MelsecTag]):
    """One CPU. Bits are read in sixteens."""

    refusals = REFUSALS

    def most(self, area: Area) -> int:
        return self.options.most()

    def request(self, area: Area, start: int, count: int) -> MelsecRequest:
        assert isinstance(area, MelsecArea)
        return read(self.options.unit(), area, start, count)

    def joined(self, requests: Sequence[LineRequest]) -> MelsecRequest | None:
        return joined(cast(Sequence[MelsecRequest], requests), self.options.most()) if self.options.blocks else None


class Melsec(WordDriver[MelsecDevice, MelsecTag]):
    """One line, shared by all devices with the same host and port."""

    most_written = MOST

    line_options = ("code", "frame", "password", "timeout", "max_in_flight")

    @classmethod
    def reading(cls, config: MelsecDevice) -> MelsecReading:
        return MelsecReading(config)

    async def open(self) -> RequestLine[MelsecRequest]:
        config = self.config
        udp = config.lossy
        kind = MelsecAsciiFraming if config.code == "ascii" else MelsecFraming
        timer = max(1, int(self.pace(config, 1).patience / _QUARTER))
        framing = kind(numbered=config.frame == "4E", timer=min(timer, 0xFFFF), datagrams=udp)
        manners = LineManners(
            max_in_flight=config.max_in_flight,
            noisy=udp,
            datagrams=udp,
            protocol="MC protocol (SLMP)",
            if_silent="are port, code and frame those of the PLC's open setting, and network, pc, io and station right?",
        )
        line = RequestLine(f"{config.host}:{config.port}", framing, manners)
        look_at = "is the port right (GX Works2 shows it in hexadecimal), and open for MC protocol with this transport?"
        await open_line(line, config.host, config.port, look_at=look_at)
        if config.password is not None:
            await self._unlock(line, resolve(config.password))
        return line

    async def _unlock(self, line: RequestLine[MelsecRequest], password: str) -> None:
        try:
            request = MelsecRequest(self.config.unit(), UNLOCK, wire=password.encode("ascii", "replace"))
            (answer,) = await line.exchange([request], self.pace(self.config, 1))
            if isinstance(answer, int):
                raise RefusedError(f"the PLC does not take the remote password: {REFUSALS.words(answer)}")
        except BaseException:
            await line.close()
            raise

    async def identify(self, device: Device) -> str:
        return f"Mitsubishi {text_of((await self.ask(identify(device.config.unit()), device.config))[:16])}"

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        ways = [{"port": USUAL_PORT, "code": code} for code in ("binary", "ascii")]
        return find_devices(cls, search, ways, {"address": "D0", "type": "uint16"})

    def named(self, config: MelsecDevice) -> str:
        own = MelsecDevice.model_fields
        if all(getattr(config, name) == own[name].default for name in ("network", "pc", "io", "station")):
            return "the PLC"
        return f"network {config.network}, station {config.pc}, module I/O {config.io:X}, station {config.station} behind it"

    @classmethod
    def write_words(cls, tag: MelsecTag, config: MelsecDevice, wire: bytes) -> MelsecRequest:
        return write_words(config.unit(), tag.at().area, tag.at().offset, wire)

    @classmethod
    def write_bits(cls, tag: MelsecTag, config: MelsecDevice, bits: Sequence[int]) -> MelsecRequest:
        at = tag.at()
        if not at.area.of_bits:
            raise ValueError(
                f"the protocol writes {at.area.name} in whole words: to set a bit of {at.area.printed(at.offset)} alone, "
                "have the PLC's program take it from an M"
            )
        return write_bits(config.unit(), at.area, at.area.first(at.offset) + (at.bit or 0), bits)
