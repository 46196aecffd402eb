"""What an attack is, and the list of them all. Each is a function that is played in a process of its own until it is ended.

@served(MODBUS)
def endless_bytes(link: Link) -> None:
    "An answer that does not end."          # called in a thread for each connection of the gateway
    link.flood(b"\\0" * 65536)
"""

import importlib
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

MODULES = (
    *("opcua", "opcua_services", "opcua_values", "broker", "modbus"),
    *("neighbour", "model", "file", "state", "plugins", "service", "web", "slow"),
)
PORTS = 6
"""Ports that an attack is given."""


class Site(NamedTuple):
    """Where an attack is played."""

    folder: Path
    """A folder of its own; the configuration may name files in it."""
    state: Path
    """The gateway's state folder."""
    socket: Path
    """The gateway's control socket."""
    config: Path
    ports: Sequence[int] = ()


Tables = Callable[[Site], str]
"""The part of the configuration that leads the gateway to the attack."""


def nothing(_: Site) -> str:
    return ""


@dataclass(frozen=True)
class Attack:
    """One attack. `play` is called in a process of its own and may run for ever."""

    name: str
    says: str
    play: Callable[[Site], None]
    tables: Tables = nothing
    prepare: Callable[[Site], None] | None = None
    """Lays out files before the gateway starts for it."""
    seconds: float = 2.5
    used_state: bool = False
    """The gateway has run on this state folder before `prepare`."""
    soak: bool = True
    """Can take its turn beside others, in a gateway that goes on."""
    gateway: str = ""
    """[gateway] of the configuration, where it is not the usual one."""
    asks: tuple[dict[str, Any], ...] = ()
    """What somebody asks the gateway meanwhile, at its control socket, again and again."""
    limit: dict[str, float] = field(default_factory=dict)
    """Another limit for one of the figures, where the attack by its nature takes something; each says why in its text."""
    named: str = ""
    """What the gateway's log has to say of it by the end, where naming the guilty one is all that can be done."""


ALL: dict[str, Attack] = {}


def load(name: str = "") -> dict[str, Attack]:
    """All attacks by name; or those of this one's kind, which takes less time."""
    for module in MODULES:
        if not name or _kind(module) == _kind(name):
            importlib.import_module(f"tests.attack.{module}")
    return ALL


def _kind(name: str) -> str:
    """The first word of a module's or an attack's name."""
    return name.replace("_", ".").partition(".")[0]


def _add(function: Callable[..., Any], play: Callable[[Site], None], options: dict[str, Any]) -> None:
    kind = _kind(function.__module__.rpartition(".")[2])
    name = f"{kind}.{function.__name__.strip('_').replace('_', '-')}"
    says = " ".join((function.__doc__ or "").split())
    assert says and name not in ALL, name
    ALL[name] = Attack(name, says, play, **options)


def served(tables: Tables, **options: Any) -> Callable[[Callable[["Link"], None]], Callable[["Link"], None]]:
    """A server: the function is called for each connection, in a thread of its own."""

    def add(function: Callable[[Link], None]) -> Callable[[Link], None]:
        from tests.attack.serving import serve

        _add(function, lambda site: serve(site.ports, function), {"tables": tables, **options})
        return function

    return add


def beside(tables: Tables = nothing, **options: Any) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Something on the same machine: the function is called once the gateway runs."""

    def add(function: Callable[[Site], None]) -> Callable[[Site], None]:
        _add(function, function, {"tables": tables, **options})
        return function

    return add


def laid(tables: Tables = nothing, **options: Any) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Files: the function lays them out before the gateway starts, and nothing is done meanwhile."""

    def add(function: Callable[[Site], None]) -> Callable[[Site], None]:
        _add(function, wait, {"tables": tables, "prepare": function, "soak": False, **options})
        return function

    return add


def wait(_: Site) -> None:
    """Do nothing, until the process is ended."""
    time.sleep(3600)


QUIET = Attack("quiet", "Nothing: what machine and gateway do by themselves.", wait, seconds=6.0)
"""What the others are compared with; not one of the list."""


class Link:
    """One connection of the gateway to a hostile server, in a thread; the port says which server it is."""

    def __init__(self, sock: socket.socket, port: int) -> None:
        self.sock = sock
        self.port = port
        """Which of the ports it came to: 0, 1, …"""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self, size: int) -> bytes:
        """Exactly so many bytes. Raises EOFError when the gateway is gone."""
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def some(self) -> bytes:
        """Whatever comes next."""
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        return data

    def flood(self, data: bytes, pause: float = 0.0) -> None:
        """Send it again and again until the gateway goes, at most a minute."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.sock.sendall(data)
            if pause:
                time.sleep(pause)

    def drip(self, data: bytes, pause: float = 0.05) -> None:
        """Send it byte by byte."""
        for at in range(len(data)):
            self.sock.sendall(data[at : at + 1])
            time.sleep(pause)

    def silence(self) -> None:
        """Take what comes and say nothing."""
        while self.some():
            pass

    def reset(self) -> None:
        """End the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
