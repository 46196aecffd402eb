"""The contract of a watch: what raises and clears an `[[alarm]]` of its own kind."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import structlog

from gateway.config.base import WatchConfig
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.plugin.hosts import WatchHost

W = TypeVar("W", bound=WatchConfig)


class Watch(Generic[W]):
    """One `[[alarm]]` with `plugin`, over all its devices. The type parameter is its configuration, a WatchConfig:
    class Noisy(Watch[NoisyConfig]).

    It lives in the event loop, and must be quick. What it raises is told in `status` and the log, and costs what it was
    just shown. It goes on over a reload that changes neither its table nor its devices; otherwise, and at each start, there
    is a new object: what the one before has raised stays raised, until this one clears it.
    """

    def __init__(self, config: W, host: WatchHost) -> None:
        self.config = config
        self.host = host
        self.log = structlog.get_logger().bind(alarm=config.name)

    def bind(self, device: Device) -> None:
        """One of its devices as it is now: at the start, and whenever it describes itself anew; only then do ids of tags,
        their types and units change."""

    def seen(self, readings: Readings, boot_ns: int) -> None:
        """A block of one of its devices; it is shared, and never changed. `boot_ns`: when it came, by the boot clock."""
        raise NotImplementedError

    def look(self, boot_ns: int) -> None:
        """Called about once a second, also when nothing comes."""

    def facts(self) -> Mapping[str, Any]:
        """What `status` tells of it beside its alarms, as JSON values."""
        return {}
