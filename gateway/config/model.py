"""The tables of the configuration file that belong to no plugin, and the whole that they make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from gateway.config.base import DeviceConfig, Section, SinkConfig, TagConfig
from gateway.config.fields import Duration, Field, FilePath, Name, Period, Size
from gateway.core.context import Context
from gateway.core.errors import Problem


class GatewaySection(Section):
    """`[gateway]`: who and where this gateway is."""

    name: Name = Field(examples=["line3-gw1"])
    """Name of this gateway, unique in the plant."""

    enterprise: str = ""
    """ISA-95 enterprise; the first level of the topics when given."""

    site: str = ""
    """ISA-95 site."""

    area: str = ""
    """ISA-95 area."""

    line: str = ""
    """ISA-95 line."""

    plugin_dirs: tuple[FilePath, ...] = Field(default=(), strict=False)
    """Further folders with plugins. They, and all in them, must belong to root or the daemon's user, and be writable by
    nobody else."""

    replaces: tuple[str, ...] = Field(default=(), strict=False)
    """Shipped plugins that one of the same name in plugin_dirs may replace."""

    state_dir: FilePath | None = Field(default=None, examples=["/var/lib/edge-gateway"])
    """Where outbox and audit trail live. Default: the service's state directory, else ~/.local/state/edge-gateway."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""


def place(gateway: GatewaySection, device: DeviceConfig) -> Context:
    """Where a device stands: in its own words where it has any, else where the gateway stands."""

    def either(own: str | None, shared: str) -> str:
        return shared if own is None else own

    return Context(
        either(device.enterprise, gateway.enterprise),
        either(device.site, gateway.site),
        either(device.area, gateway.area),
        either(device.line, gateway.line),
    )


class OutboxSection(Section):
    """`[outbox]`: the store-and-forward log on disk."""

    max_size: Size | None = None
    """Bytes it may take; beyond, the oldest data goes first and each loss is recorded. Default: a quarter of the free
    disk, at most 8 GiB."""

    min_free: Size = 256 * 1024 * 1024
    """Free disk below which the oldest data goes too."""

    keep: Duration = 0.0
    """How long acknowledged data stays, for replay and learning. Default: not at all."""

    commit_interval: Period = 0.2
    """At most this much accepted data is lost at a power cut; events are committed at once."""

    segment_size: Size = 16 * 1024 * 1024
    """Size of one file of the log."""


class ModelSection(Section):
    """`[[model]]`: an ONNX model and the devices it watches."""

    file: FilePath = Field(examples=["models/coater.onnx"])
    """The `.onnx` file, with its card in the metadata."""

    devices: tuple[str, ...] = Field(strict=False, min_length=1, examples=[["coater-*"]])
    """Names of devices, `*` and `?` allowed, whose tags it scores."""

    name: str | None = Field(default=None, examples=["coater-nozzle"])
    """Name in events and commands. Default: the name on the card."""

    tags: Mapping[str, str] = Field(default_factory=dict)
    """Input of the model = tag of the device, where the names differ."""


class CoreSections(Section):
    """The file without what plugins declare; those tables are checked one by one with the plugin's types."""

    gateway: GatewaySection
    outbox: OutboxSection = OutboxSection()
    sink: tuple[object, ...] = Field(default=(), strict=False)
    device: tuple[object, ...] = Field(default=(), strict=False)
    model: tuple[ModelSection, ...] = Field(default=(), strict=False)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A `[[device]]` table with its tags, checked."""

    config: DeviceConfig
    tags: Mapping[str, TagConfig]


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, checked."""

    path: Path
    hash: str
    """SHA-256, in hex, over the file and all it reads (tag files, and model files by their own hash)."""

    gateway: GatewaySection
    outbox: OutboxSection
    devices: tuple[DeviceSpec, ...]
    sinks: tuple[SinkConfig, ...]
    models: tuple[ModelSection, ...]
    parked: tuple[Problem, ...] = ()
    """Devices and sinks that are left out because their plugin does not load; the others are not held up by them."""

    files: Mapping[Path, str] = field(default_factory=dict)
    """SHA-256, in hex, of every file that was read; empty for a model file that is not there."""

    @property
    def short_hash(self) -> str:
        """First 8 hex digits of the hash, as records carry it."""
        return self.hash[:8]

    @property
    def plugins(self) -> list[str]:
        """Names of the plugins that it uses."""
        return sorted({spec.config.driver for spec in self.devices} | {sink.plugin for sink in self.sinks})


class PluginTypes(Protocol):
    """The look-up through which `config` learns the option types of plugins. All raise PluginError for a plugin that does
    not load, and KeyError for a name that no plugin has."""

    def drivers(self) -> Sequence[str]: ...
    def sinks(self) -> Sequence[str]: ...
    def driver_types(self, name: str) -> tuple[type[DeviceConfig], type[TagConfig]]: ...
    def sink_type(self, name: str) -> type[SinkConfig]: ...


LookUp = Callable[[GatewaySection], PluginTypes]
