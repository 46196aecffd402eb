"""What a driver may have beside its contract: finding devices of its protocol on the network, for `edge-gateway discover`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.plugin.driver import Found


@dataclass(frozen=True, slots=True)
class Search:
    """One place to look at, and how."""

    turn: Callable[[], Awaitable[None]]
    """To be awaited before each connection and each request: it keeps the pace that the person has agreed to."""

    host: str = ""
    """An IP address; empty where a serial port is looked at."""

    serial: str = ""
    """A serial port, which somebody has named; empty where a host is looked at."""

    ports: Sequence[int] = ()
    """TCP ports to look at in place of the protocol's usual one."""

    units: Sequence[int] = ()
    """Numbers of units behind one address to ask for, in place of the protocol's usual ones."""

    timeout: float = 1.0
    """Seconds that a connection or an answer may take."""

    named: bool = False
    """Somebody has named this very device by its URL: it may be asked what it offers too, by a login that needs no secret."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """A device that has answered."""

    options: Mapping[str, Any]
    """As the config writes the device, without name and driver, such as {"host": "192.168.10.21", "unit": 3}."""

    tags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tags that it is known to have, by a name for each, as the config writes them; best one at least."""

    name: str = ""
    """What it calls itself; empty where it does not say."""

    about: Sequence[str] = ()
    """What else a person should know of it, one line each."""

    offers: Sequence[tuple[str, Found]] = ()
    """In place of tags what it offers of types that are known, as `Driver.browse_types` yields it."""


class Finding(Protocol):
    """A driver with this class method is asked by `edge-gateway discover`.

    It reads, and never writes. It raises nothing for a place where there is nobody, or somebody else; what it has yielded
    stays when it is cancelled.
    """

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        """Yield what answers at this place; implement as an async generator."""
        ...
