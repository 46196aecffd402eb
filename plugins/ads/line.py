"""The line to a controller: requests and answers, and the notifications between them; and why there is none, in words."""

import asyncio
import itertools
from collections.abc import Callable

from gateway.kit.line import LineManners, RequestLine, open_line
from gateway.plugin import LinkError

from .address import net_id_text, parse_net_id
from .config import AdsDevice
from .frames import AdsFraming, AdsRequest, Unit, is_note

_ports = itertools.count(0x8000)
"""What we are called behind our AMS net id: another one for each connection, so that what is meant for an earlier one is told
apart."""


class AdsLine(RequestLine[AdsRequest]):
    """One connection. `source` is our AMS net id and port on it."""

    def __init__(self, config: AdsDevice) -> None:
        self.framing = AdsFraming()
        manners = LineManners(max_in_flight=config.max_in_flight, protocol="ADS", if_silent="is net_id right?")
        super().__init__(f"{config.host}:{config.port}", self.framing, manners)
        self._config = config
        self.noted: Callable[[bytes], None] | None = None
        """Called with each notification."""
        self.ended: Callable[[], None] | None = None
        """Called when the connection is lost."""

        self.usable = True
        """Whether the connection still stands."""

    @property
    def heard(self) -> bool:
        """Whether anything came."""
        return self._heard

    @property
    def source(self) -> Unit:
        """Who we are."""
        return self.framing.source

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.local = str(transport.get_extra_info("sockname", ("",))[0])
        own = self._config.own_net_id or own_net_id(self.local)
        self.framing.source = parse_net_id(own), 0x8000 | next(_ports) & 0x3FFF

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.usable = False
        if self.ended is not None:
            self.ended()

    def frame_received(self, frame: bytes) -> None:
        if frame[1]:  # a router's own messages, not ADS
            return
        if not is_note(frame):
            super().frame_received(frame)
        elif self.noted is not None and frame[6:14] == self.source[0] + self.source[1].to_bytes(2, "little"):
            self.noted(frame)


def own_net_id(local: str) -> str:
    """What this computer is called, by its address in that network."""
    return f"{local}.1.1" if local.count(".") == 3 else "127.0.0.1.1.1"


async def opened(config: AdsDevice) -> AdsLine:
    """A connection, on which nothing was asked yet. Raises LinkError."""
    line = AdsLine(config)
    look_at = "is TwinCAT started there, and is the port open in its firewall?"
    await open_line(line, config.host, config.port, look_at=look_at)
    return line


def no_route(line: AdsLine, unit: Unit, reason: str) -> LinkError:
    """The sentence about a connection on which nothing is answered."""
    own, local = net_id_text(line.source[0]), line.local
    return LinkError(
        f"{reason}. A controller does so that has no route to this computer: add one in TwinCAT (Router, Edit Routes, Add)"
        f" with AMS net id {own} and address {local}, or set route in the file; and see that net_id is the controller's own"
        f" ({net_id_text(unit[0])})"
    )
