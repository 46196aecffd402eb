"""The contract of a service: a part beside the road, such as a page, metrics or a twin."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import structlog

from gateway.config.base import ServiceConfig
from gateway.core.command import Actor, Body, Declared
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.status import GatewayStatus

V = TypeVar("V", bound=ServiceConfig)


class Observer(Protocol):
    """Sees every conditioned block, reported or not. It is called in the loop, and must be quick: what takes long, or has to
    wait, is put aside for a task of its own. The block is shared, and never changed."""

    def __call__(self, readings: Readings, boot_ns: int) -> None:
        """`boot_ns`: the clock since the machine started, when the block came."""


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

    async def ask(self, by: Actor, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a command as the control socket does: roles and arguments are checked, and it is audited under `by.name`.
        Raises GatewayError for the person."""
        ...


class Service(Generic[V]):
    """One `[[service]]`. A NEW object serves each attempt, so there is nothing to reset. The type parameter is its
    configuration, a ServiceConfig: class Page(Service[PageConfig])."""

    def __init__(self, config: V, host: ServiceHost) -> None:
        self.config = config
        self.host = host
        self.log = structlog.get_logger().bind(service=config.name)

    async def run(self) -> None:
        """Do it, until cancelled. Call `host.started` when it works. What it raises ends this attempt, and another object is
        made after a pause, which grows; LinkError and OSError are what plants do, anything else is called a bug."""
        raise NotImplementedError

    def commands(self) -> Mapping[str, tuple[Declared, Body]]:
        """Commands of its own, while `run` runs: "count" of service "totals" is asked for as "totals.count"."""
        return {}
