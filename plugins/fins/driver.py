"""The driver: what is FINS' own of it. The rest is `gateway.kit.WordDriver`."""

import ipaddress
from collections.abc import AsyncIterator, Sequence

from gateway.kit import WordDriver, WordReading, find_devices, text_of
from gateway.kit.blocks import Area
from gateway.kit.line import LineManners, RequestLine, open_line
from gateway.plugin import Device, Discovered, Search

from .address import FinsArea
from .config import MOST, FinsDevice, FinsTag
from .end_codes import REFUSALS
from .frames import HELLO, FinsRequest, FinsTcpFraming, FinsUdpFraming, identify, read, write_bits, write_words


class FinsReading(WordReading[FinsDevice, FinsTag]):
    """One PLC that is read."""

    refusals = REFUSALS

    def request(self, area: Area, start: int, count: int) -> FinsRequest:
        assert isinstance(area, FinsArea)
        return read(self.options.who(), area, start, count)


class Fins(WordDriver[FinsDevice, FinsTag]):
    """One line, shared by all devices with the same host and port."""

    most_written = MOST - 1

    line_options = ("source_node", "local_port", "timeout", "max_in_flight")

    @classmethod
    def reading(cls, config: FinsDevice) -> FinsReading:
        return FinsReading(config)

    async def open(self) -> RequestLine[FinsRequest]:
        config = self.config
        udp = config.lossy
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

    async def identify(self, device: Device) -> str:
        told = await self.ask(identify(device.config.who()), device.config)
        return f"Omron {text_of(told[:20])} {text_of(told[20:40])}".strip()

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        ways = [{"transport": transport} for transport in ("udp", "tcp")]
        return find_devices(cls, search, ways, {"address": "D0", "type": "uint16"})

    def named(self, config: FinsDevice) -> str:
        network, node, unit = config.who()
        return f"network {network}, node {node}, unit {unit}" if network or node or unit else "the PLC"

    @classmethod
    def write_words(cls, tag: FinsTag, config: FinsDevice, wire: bytes) -> FinsRequest:
        return write_words(config.who(), tag.at(), wire)

    @classmethod
    def write_bits(cls, tag: FinsTag, config: FinsDevice, bits: Sequence[int]) -> FinsRequest:
        return write_bits(config.who(), tag.at(), bits)


def _last_number(host: str) -> int:
    """The node that belongs to an IPv4 address; 0 for others."""
    try:
        return int(ipaddress.IPv4Address(host)) & 0xFF
    except ValueError:
        return 0
