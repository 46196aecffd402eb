"""The driver: what is the MC protocol's own of it. Reading in blocks is `gateway.kit.BlockDriver`."""

from collections.abc import Hashable, Sequence
from typing import cast

from gateway.kit import BlockDriver, truth
from gateway.kit.blocks import Area, BlockReading, ValuePlace
from gateway.kit.line import AskingPace, LineManners, LineRequest, RequestLine, open_line
from gateway.plugin import DeviceError, RefusedError, Tag, resolve

from .address import MelsecArea
from .config import MOST, MelsecDevice, MelsecTag
from .end_codes import REFUSALS
from .frames import UNLOCK, MelsecAsciiFraming, MelsecFraming, MelsecRequest, joined, read, write_bits, write_words

_QUARTER = 0.25
"""Seconds, in which the PLC's own patience is told."""


class MelsecReading(BlockReading[MelsecDevice, MelsecTag]):
    """One CPU. Bits are read in sixteens."""

    refusals = REFUSALS

    def __init__(self, options: MelsecDevice) -> None:
        super().__init__(options)
        self.max_gap = options.max_gap

    @staticmethod
    def span(tag: MelsecTag) -> tuple[Area, int, int]:
        at = tag.at()
        return at.area, at.offset, at.offset + tag.words()

    def place(self, row: int, tag: MelsecTag, byte: int, offset: int) -> ValuePlace:
        return tag.place(row, byte + 2 * offset, self.options.order, self.options.not_available)

    def most(self, area: Area) -> int:
        return self.options.most()

    def request(self, area: Area, start: int, count: int) -> MelsecRequest:
        assert isinstance(area, MelsecArea)
        return read(self.options.unit(), area, start, count)

    def joined(self, requests: Sequence[LineRequest]) -> MelsecRequest | None:
        return joined(cast(Sequence[MelsecRequest], requests), self.options.most()) if self.options.blocks else None


class Melsec(BlockDriver[MelsecDevice, MelsecTag]):
    """One line, shared by all devices with the same host and port."""

    line_options = ("code", "frame", "password", "timeout", "max_in_flight")

    @classmethod
    def reading(cls, config: MelsecDevice) -> MelsecReading:
        return MelsecReading(config)

    @classmethod
    def line_key(cls, config: MelsecDevice) -> Hashable:
        return config.transport, config.host, config.port

    async def open(self) -> RequestLine[MelsecRequest]:
        config = self.config
        udp = config.transport == "udp"
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

    def pace(self, config: MelsecDevice, scans: int) -> AskingPace:
        pace = super().pace(config, scans)
        udp = config.transport == "udp"
        own = config.request_timeout or (min(1.0, pace.patience / 2) if udp else pace.patience)
        return AskingPace(min(own, pace.patience), pace.whole, int(udp) if config.retries is None else config.retries)

    def named(self, config: MelsecDevice) -> str:
        own = MelsecDevice.model_fields
        if all(getattr(config, name) == own[name].default for name in ("network", "pc", "io", "station")):
            return "the PLC"
        return f"network {config.network}, station {config.pc}, module I/O {config.io:X}, station {config.station} behind it"

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        config = self.device(tag.device).config
        try:
            request = _write(tag.config, config, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        await self.ask(request, config, "; it may have been written")


def _write(tag: MelsecTag, config: MelsecDevice, value: float | bool | int | str) -> MelsecRequest:
    """The request that writes the value. Raises ValueError, with the reason, for what cannot be written."""
    at, unit = tag.at(), config.unit()
    if at.bit is None:
        wire = tag.wire(value, config.order)
        if len(wire) // 2 > MOST:
            raise ValueError(f"{len(wire) // 2} words are more than one request can write, {MOST}")
        return write_words(unit, at.area, at.offset, wire)
    if not at.area.of_bits:
        raise ValueError(
            f"the protocol writes {at.area.name} in whole words: to set a bit of {at.area.printed(at.offset)} alone, have "
            "the PLC's program take it from an M"
        )
    bits = int(truth(value)) if at.width == 1 else tag.masked(value)[1] >> at.bit
    return write_bits(unit, at.area, at.area.first(at.offset) + at.bit, [bits >> n & 1 for n in range(at.width)])
