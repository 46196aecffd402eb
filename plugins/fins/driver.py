"""The driver: what is FINS' own of it. Reading in blocks is `gateway.kit.BlockDriver`."""

import ipaddress
from collections.abc import Hashable

from gateway.kit import BlockDriver, truth
from gateway.kit.blocks import Area, BlockReading, ValuePlace
from gateway.kit.line import AskingPace, LineManners, RequestLine, open_line
from gateway.plugin import DeviceError, Tag

from .address import FinsArea
from .config import MOST, FinsDevice, FinsTag
from .end_codes import REFUSALS
from .frames import HELLO, FinsRequest, FinsTcpFraming, FinsUdpFraming, read, write_bits, write_words


class FinsReading(BlockReading[FinsDevice, FinsTag]):
    """One PLC. Bits are read with their words."""

    refusals = REFUSALS

    def __init__(self, options: FinsDevice) -> None:
        super().__init__(options)
        self.max_gap = options.max_gap

    @staticmethod
    def span(tag: FinsTag) -> tuple[Area, int, int]:
        at = tag.at()
        return at.area, at.offset, at.offset + tag.words()

    def place(self, row: int, tag: FinsTag, byte: int, offset: int) -> ValuePlace:
        return tag.place(row, byte + 2 * offset, self.options.order, self.options.not_available)

    def most(self, area: Area) -> int:
        return self.options.max_words

    def request(self, area: Area, start: int, count: int) -> FinsRequest:
        assert isinstance(area, FinsArea)
        return read(self.options.who(), area, start, count)


class Fins(BlockDriver[FinsDevice, FinsTag]):
    """One line, shared by all devices with the same host and port."""

    line_options = ("source_node", "local_port", "timeout", "max_in_flight")

    @classmethod
    def reading(cls, config: FinsDevice) -> FinsReading:
        return FinsReading(config)

    @classmethod
    def line_key(cls, config: FinsDevice) -> Hashable:
        return config.transport, config.host, config.port

    async def open(self) -> RequestLine[FinsRequest]:
        config = self.config
        udp = config.transport == "udp"
        framing = FinsUdpFraming() if udp else FinsTcpFraming(source=config.source_node or 0)
        manners = LineManners(
            max_in_flight=config.max_in_flight,
            noisy=udp,
            datagrams=udp,
            protocol="FINS",
            if_silent="are host, node and source_node right, and is FINS on in the PLC's setup?",
        )
        line = RequestLine(f"{config.host}:{config.port}", framing, manners)
        look_at = "is the port right, and FINS/TCP on in the PLC's setup?"
        await open_line(line, config.host, config.port, look_at=look_at, local_port=config.local_port)
        if udp:
            framing.node = _last_number(line.peer_host)
            framing.source = config.source_node or _last_number(line.local_host)
        else:
            await self._introduce(line, framing)
        return line

    async def _introduce(self, line: RequestLine[FinsRequest], framing: FinsUdpFraming) -> None:
        """Learn the nodes of both ends."""
        try:
            (answer,) = await line.exchange([HELLO], self.pace(self.config, 1))
            if not isinstance(answer, bytes):
                raise TimeoutError("the PLC does not tell its FINS node; does it speak FINS/TCP on this port?")
        except BaseException:
            await line.close()
            raise
        framing.source, framing.node = answer[3], answer[7]

    def pace(self, config: FinsDevice, scans: int) -> AskingPace:
        pace = super().pace(config, scans)
        udp = config.transport == "udp"
        own = config.request_timeout or (min(1.0, pace.patience / 2) if udp else pace.patience)
        return AskingPace(min(own, pace.patience), pace.whole, int(udp) if config.retries is None else config.retries)

    def named(self, config: FinsDevice) -> str:
        network, node, unit = config.who()
        return f"network {network}, node {node}, unit {unit}" if network or node or unit else "the PLC"

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        config = self.device(tag.device).config
        try:
            request = _write(tag.config, config, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        await self.ask(request, config, "; it may have been written")


def _write(tag: FinsTag, config: FinsDevice, value: float | bool | int | str) -> FinsRequest:
    """The request that writes the value. Raises ValueError, with the reason, for what cannot be written."""
    at = tag.at()
    if at.bit is None:
        wire = tag.wire(value, config.order)
        if len(wire) // 2 > MOST - 1:
            raise ValueError(f"{len(wire) // 2} words are more than one request can write, {MOST - 1}")
        return write_words(config.who(), at, wire)
    bits = int(truth(value)) if at.width == 1 else tag.masked(value)[1] >> at.bit
    return write_bits(config.who(), at, bits)


def _last_number(host: str) -> int:
    """The node that belongs to an IPv4 address; 0 for others."""
    try:
        return int(ipaddress.IPv4Address(host)) & 0xFF
    except ValueError:
        return 0
