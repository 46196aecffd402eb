"""What plugins may ask of the gateway: the host of a driver, of a sink, of a service, of a watch."""

import asyncio
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.config.payload import JsonForm
from gateway.core.command import VIEWER, Actor, Declared
from gateway.core.context import Context
from gateway.core.device_event import Told
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import Device
from gateway.places.state_dir import state_dir as by_rule
from gateway.plugin.mounts import App, Mounted
from gateway.plugin.people import People
from gateway.status import GatewayStatus

Memory = dict[str, Any]
"""What one connection leaves for the next, by names of the plugin's own: any objects, in this process alone."""


class LineHost:
    """What a driver may ask of the gateway. This one is of no gateway, for a driver that is used by itself: nobody hears
    what it says."""

    def __init__(self, name: str = "", state_dir: Path | None = None, memory: Memory | None = None) -> None:
        """`name`: of the line's first device."""
        self.state_dir = state_dir or by_rule(None, None)
        """The gateway's folder, which outlives it; a driver keeps files in a folder of its own there."""
        self.memory: Memory = {} if memory is None else memory
        """What one connection of the line leaves for the next; empty when the gateway starts, and whenever the line is
        another one after a reload."""
        self.log: structlog.stdlib.BoundLogger = structlog.get_logger().bind(device=name)
        """Bound to the line."""

    def alive(self) -> None:
        """To be called at any sign of life that is no reading, such as a keep-alive: it feeds the data-flow watchdog."""

    def tell(self, told: Told) -> None:
        """To be called with each event of a device, in order, and with `Retained` after asking which conditions still
        stand."""

    def bring(self, readings: Readings) -> None:
        """To be called by a driver that is polled, with values of one of its devices that have come between two polls, such
        as a notification's. A driver that subscribes yields them from its `stream`."""

    def __call__(self) -> None:
        """As `alive`, for a driver of version 0.1, which is given only that."""
        self.alive()


class OnlyAlive(LineHost):
    """Of a driver that was given, as in version 0.1, only the function to call at signs of life."""

    def __init__(self, name: str, alive: Callable[[], None]) -> None:
        super().__init__(name)
        self._alive = alive

    def alive(self) -> None:
        self._alive()


class Listener(Protocol):
    """Who hears what the driver of a connection says; called in the event loop."""

    def alive(self) -> None:
        """There was a sign of life."""
        ...

    def told(self, what: Told) -> None:
        """A device has an event, or says which conditions still stand."""
        ...

    def brought(self, readings: Readings) -> None:
        """Values of a device have come between two polls."""
        ...


class OpenLineHost(LineHost):
    """Of one connection. A driver may call it from any thread; what it says after `leave` is not heard."""

    def __init__(
        self, listener: Listener, name: str, state_dir: Path | None = None, memory: Memory | None = None
    ) -> None:
        super().__init__(name, state_dir, memory)
        self._listener: Listener | None = listener
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def alive(self) -> None:
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.alive)
        elif self._listener is not None:
            self._listener.alive()

    def tell(self, told: Told) -> None:
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.tell, told)
        elif self._listener is not None:
            self._listener.told(told)

    def bring(self, readings: Readings) -> None:
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.bring, readings)
        elif self._listener is not None:
            self._listener.brought(readings)

    def leave(self) -> None:
        """The connection has ended."""
        self._listener = None


@dataclass(frozen=True, slots=True)
class Message:
    """A record, or a part of one, ready for a broker."""

    topic: str
    payload: bytes


class Encoder(Protocol):
    """Turns records and descriptions into JSON messages (docs/json.md)."""

    def messages(self, record: Record) -> list[Message]:
        """The messages of a record, at least one."""
        ...

    def deliveries(self, records: Sequence[Record]) -> list[tuple[Sequence[Record], list[Message]]]:
        """The messages of several records, and which of them stand in these: they have arrived when all of the messages
        have."""
        ...

    def description(self, device: Device) -> Message:
        """The device's tags with types and units, to be retained."""
        ...

    def state(self, device: Device, online: bool, reason: str) -> Message:
        """Whether the device is being read, to be retained."""
        ...

    def readings_topic(self, device: Device, tag: str) -> str:
        """The topic of a tag's readings, where each has a message of its own."""
        ...

    def last_values_topic(self, device: Device) -> str:
        """Of what `last_values` gives."""
        ...

    def last_values(self, readings: Readings) -> Message:
        """The last value of each tag of a device, to be retained."""
        ...

    def gateway_state(self, online: bool) -> Message:
        """Whether the gateway is connected, to be retained; the offline one is the will."""
        ...


class SinkHost(Protocol):
    """What a sink may ask of the gateway."""

    gateway: str
    """Name of this gateway."""

    version: str
    context: Context
    memory: Memory
    """What one connection of this sink leaves for the next; empty when the gateway starts."""

    @property
    def state_dir(self) -> Path:
        """A folder of the sink's own, which outlives it; made when it is first asked for. Raises GatewayError in a check,
        which changes nothing."""
        ...

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has taken these for good."""
        ...

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side took this one not: final, it never will (dead letter); else it is sent again later."""
        ...

    async def request(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a command, such as "write" or "replay", for the far side, as the control socket does: arguments are checked,
        and it is audited under "sink NAME", which has the roles that `[access]` gives to "sink:NAME"; without any, nothing is
        done. Returns JSON values. Raises GatewayError with the reason, which may be told to the far side. It takes as long as
        the command does: call it in a task of the sink's own, in the event loop."""
        ...

    async def attempted(self, command: str, why_not: str = "") -> None:
        """Have it in the audit trail that the far side has asked for what the sink does by itself, or refuses by itself
        (`why_not`). Of the same that comes within a minute the trail has the number."""
        ...

    def encoder(self, topic: str, per_tag: bool, form: JsonForm | None = None) -> Encoder:
        """The shared JSON encoding, with this topic template. `form`: how readings look, where the sink has options for
        that."""
        ...

    def devices(self) -> Sequence[Device]:
        """All devices as they are now."""
        ...

    def device_state(self, device: str) -> tuple[bool, str]:
        """Whether a device is being read, and the reason if not."""
        ...

    def snapshot(self, device: str) -> Readings:
        """The device's live values, with their own source times."""
        ...


class Observer(Protocol):
    """Sees every conditioned block, reported or not. It is called in the loop, and must be quick: what takes long, or has to
    wait, is put aside for a task of its own. The block is shared, and never changed."""

    def __call__(self, readings: Readings, boot_ns: int) -> None:
        """`boot_ns`: the clock since the machine started, when the block came."""


EventListener = Callable[[Mapping[str, Any]], None]
"""Hears each event, as docs/json.md describes it, and is as quick as an Observer."""


class ServiceHost(Protocol):
    """What a service may ask of the gateway."""

    gateway: str
    """Name of this gateway."""

    version: str

    @property
    def state_dir(self) -> Path:
        """A folder of the service's own, which outlives it; made when it is first asked for."""
        ...

    def started(self) -> None:
        """The service works from now on."""
        ...

    def state(self) -> GatewayStatus:
        """How the gateway and each of its parts is doing (`gateway.status`), taken anew at each call."""
        ...

    def status(self) -> Mapping[str, Any]:
        """The same as JSON values, as `edge-gateway status --json` says it."""
        ...

    @property
    def devices(self) -> Sequence[Device]:
        """All devices with their tags, as they are now."""
        ...

    def values(self, device: str) -> Readings:
        """The last value of each tag that was ever read. Raises KeyError for a device that is not there."""
        ...

    def observe(self, observer: Observer) -> None:
        """Let it see what is read from now on, as long as the service runs. One that raises sees no more."""
        ...

    def listen(self, listener: EventListener) -> None:
        """Let it hear what is told from now on, as long as the service runs. One that raises hears no more."""
        ...

    @property
    def commands(self) -> Mapping[str, Declared]:
        """All that can be asked for, with what each takes and needs."""
        ...

    @property
    def people(self) -> People:
        """Who may log in."""
        ...

    def troubles(self, status: Mapping[str, Any]) -> Sequence[tuple[str, bool]]:
        """What is not as it should be by a status, the worst first: a sentence that says what to do, and whether data is lost
        or nobody will be told. Nothing: all is well."""
        ...

    def mount(self, path: str, app: App, role: str = VIEWER) -> None:
        """Offer an ASGI application as long as the service runs: the page carries it at `/apps/PATH/`, behind its guards and
        logins, for who has the role. `path`: a to z, 0 to 9 and -. Raises PluginError for one that another has."""
        ...

    @property
    def mounted(self) -> Mapping[str, Mounted]:
        """What services offer now, by path."""
        ...

    async def ask(self, by: Actor, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a command as the control socket does: roles and arguments are checked, and it is audited under `by.name`.
        Raises GatewayError for the person."""
        ...


class WatchHost(Protocol):
    """What a watch may ask of the gateway, and what it tells it."""

    @property
    def devices(self) -> Collection[str]:
        """Names of the devices that the `[[alarm]]` is about."""
        ...

    def is_raised(self, device: str) -> bool:
        """Whether this device's alarm is raised: before a restart, and before a reload, too."""
        ...

    def raised(self, device: str, message: str, t_ns: int, **detail: Any) -> None:
        """Raise the alarm of this device, in one sentence for a person; nothing where it is raised. `t_ns`: when it began, ns
        since 1970; `detail`: JSON values that go with the event. Raises KeyError for a device that is none of its own."""
        ...

    def cleared(self, device: str, message: str, t_ns: int, **detail: Any) -> None:
        """All is well again with this device; nothing where no alarm is raised."""
        ...
