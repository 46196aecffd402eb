"""The tables of the configuration file that belong to no plugin, and the whole that they make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from gateway.config.base import DeviceConfig, Section, ServiceConfig, SinkConfig, TagConfig, WatchConfig
from gateway.config.context_rules import ContextSection
from gateway.config.fields import Account, Duration, Field, FilePath, Name, Period, Size
from gateway.config.kinds import DRIVER, KINDS, PluginKind, PluginTypes
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

    writes: bool = False
    """Whether tags with write = true may be written at all."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""


def own_place(gateway: GatewaySection) -> Context:
    """Where the gateway itself stands."""
    return Context(gateway.enterprise, gateway.site, gateway.area, gateway.line)


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

    when_full: Literal["drop_oldest", "drop_newest"] = "drop_oldest"
    """What goes when `max_size` is reached or the disk is nearly full: the oldest readings, or the newest, which are then
    not accepted any more. Each loss is counted and recorded."""

    events_when_full: Literal["drop_oldest", "drop_newest"] = "drop_oldest"
    """The same for events, once no readings are left to go."""

    ballast: Size = 1024 * 1024
    """Room that is kept free inside `max_size`, and used when the disk is full, so that events, losses and cursors can
    still be written. "0 B" for none; at most a sixteenth of `max_size`."""

    mode: Literal["log", "spill"] = "log"
    """"log": everything is written at once. "spill", for SD cards: readings are written only when a sink has not acknowledged
    them within two seconds, or is offline. Then a kill or a power cut loses the readings of these two seconds; events are
    written at once in both."""

    keep: Duration = 0.0
    """How long acknowledged data stays, for replay and learning. Default: not at all."""

    commit_interval: Period = 0.2
    """At most this much accepted data is lost at a power cut; events are committed at once."""

    segment_size: Size = 16 * 1024 * 1024
    """Size of one file of the log."""

    @model_validator(mode="after")
    def _kept(self) -> "OutboxSection":
        if self.mode == "spill" and self.keep:
            raise ValueError('keep: needs mode = "log", for with "spill" most readings never come to the disk')
        return self


class AccessSection(Section):
    """`[access]`: who may use which commands of the running gateway: users, written as "anna", and groups, as "@quality".
    Only root and the members of the group that owns its socket reach it at all; root and its own user are always admin.
    "sink:central" is the far side of a sink, which may nothing unless it is named."""

    viewer: tuple[Account, ...] = Field(default=(), strict=False, examples=[["@visitors"]])
    """They look: status, tags, alarms, models, receipts."""

    operator: tuple[Account, ...] = Field(default=(), strict=False, examples=[["@operators"]])
    """They also read, browse and probe devices, and acknowledge and shelve alarms."""

    engineer: tuple[Account, ...] = Field(default=(), strict=False, examples=[["anna", "@maintenance"]])
    """They also write tags, call methods, reload the configuration, replay, and try dead letters again."""

    quality: tuple[Account, ...] = Field(default=(), strict=False, examples=[["@quality"]])
    """They look, approve, roll back and retire models, and drop dead letters."""

    admin: tuple[Account, ...] = Field(default=(), strict=False)
    """They may everything."""

    others: Literal["none", "viewer", "operator", "engineer", "quality", "admin"] = "operator"
    """What those are who may open the socket and are named nowhere."""


class ModelSection(Section):
    """`[[model]]`: an ONNX model and the devices it watches."""

    file: FilePath = Field(examples=["models/coater.onnx"])
    """The `.onnx` file, with its card in the metadata."""

    devices: tuple[str, ...] = Field(strict=False, min_length=1, examples=[["coater-*"]])
    """Names of devices, `*` and `?` allowed, whose tags it scores."""

    name: str | None = Field(default=None, examples=["coater-nozzle"])
    """Name in events and commands. Default: the name on the card."""

    enabled: bool = True
    """false: checked, and shown as disabled, and nothing is done with it."""

    tags: Mapping[str, str] = Field(default_factory=dict)
    """Input of the model = tag of the device, where the names differ."""

    signed_by: tuple[FilePath, ...] = Field(default=(), strict=False, examples=[["keys/quality.pub"]])
    """Public keys (Ed25519, PEM). When given, one of them must have signed the file: its signature is beside it, as FILE.sig,
    made with `openssl pkeyutl -sign -rawin -inkey key.pem -in FILE -out FILE.sig`."""

    latch: bool = False
    """Its alarms stay active, though the device behaves as usual again, until somebody acknowledges them."""

    drift_span: Period = 86_400.0
    """Over which the inputs are compared with those of the training; a span with all that is usual, such as a day."""

    on_drift: Literal["tell", "undecided", "ignore"] = "tell"
    """What to do about inputs that are no longer as in training: tell it by an event; or tell it, and call nothing normal
    while they are far off (the device is then degraded); or nothing."""


class AlarmSection(Section):
    """`[[alarm]]`: a limit that a tag should keep, watched without a model. Write one of high, low, rate, no_data, stuck."""

    name: Name = Field(examples=["inlet too hot"])
    """What is wrong when it is raised; unique in this gateway."""

    enabled: bool = True
    """false: checked, and shown as disabled, and nothing is done with it."""

    devices: tuple[str, ...] = Field(strict=False, min_length=1, examples=[["coater-*"]])
    """Names of devices, `*` and `?` allowed; each has an alarm of its own."""

    tag: str = Field(examples=["inlet_temp"])
    """The tag of these devices that is watched."""

    high: float | None = None
    """Raised above this value. A bit is 0 or 1: 0.5 raises when it is set."""

    low: float | None = None
    """Raised below this value."""

    rate: float | None = Field(default=None, gt=0)
    """Raised when the value changes by more than this within `per`, up or down."""

    per: Period = 60.0
    """See rate."""

    no_data: Period | None = None
    """Raised without a good value for this long. Choose it longer than the tag's heartbeat."""

    stuck: Period | None = None
    """Raised when the value is read again and again and has been exactly the same for this long: measured values have noise,
    a frozen transmitter has none. Not for what may stand still, such as a set-point or a bit."""

    hysteresis: float = Field(default=0.0, ge=0)
    """How far the value must be back before the alarm clears, in the tag's unit."""

    on_delay: Duration = 0.0
    """How long the limit must be exceeded before the alarm is raised."""

    off_delay: Duration = 0.0
    """How long the value must be back before the alarm clears."""

    severity: Literal["info", "advisory", "warning", "alarm"] = "warning"
    """Warnings and alarms wait until somebody acknowledges them; the others do not."""

    latch: bool = False
    """Stays active, though the value is back, until somebody acknowledges it."""

    action: str = Field(default="", examples=["open the damper"])
    """What to do about it; told with the alarm."""

    @property
    def condition(self) -> str:
        """The key that is written: high, low, rate, no_data or stuck."""
        return next(key for key in _CONDITIONS if getattr(self, key) is not None)

    @model_validator(mode="after")
    def _one_condition(self) -> "AlarmSection":
        if sum(getattr(self, key) is not None for key in _CONDITIONS) != 1:
            raise ValueError("write exactly one of high, low, rate, no_data and stuck")
        if self.condition in ("no_data", "stuck") and self.hysteresis:
            raise ValueError(f"hysteresis: {self.condition} has no value to be back by")
        if self.rate is not None and self.hysteresis >= self.rate:
            raise ValueError("hysteresis: must be less than rate")
        return self


_CONDITIONS = ("high", "low", "rate", "no_data", "stuck")


class CoreSections(Section):
    """The register of the tables that belong to no plugin (`gateway.config.kinds` has the others). One that stands once has
    its own name in Config, one that can stand several times has it with an "s"."""

    gateway: GatewaySection
    outbox: OutboxSection = OutboxSection()
    access: AccessSection = AccessSection()
    model: tuple[ModelSection, ...] = Field(default=(), strict=False)
    alarm: tuple[AlarmSection, ...] = Field(default=(), strict=False)
    context: tuple[ContextSection, ...] = Field(default=(), strict=False)


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
    alarms: tuple[AlarmSection, ...] = ()
    parked: tuple[Problem, ...] = ()
    """Devices and sinks that are left out because their plugin does not load; the others are not held up by them."""

    access: AccessSection = field(default_factory=AccessSection)
    services: tuple[ServiceConfig, ...] = ()
    watches: tuple[WatchConfig, ...] = ()
    """The `[[alarm]]` with a plugin."""

    contexts: tuple[ContextSection, ...] = ()
    """The rules of `[[context]]`."""

    files: Mapping[Path, str] = field(default_factory=dict)
    """SHA-256, in hex, of every file that was read; empty for a model file that is not there."""

    parts: tuple[Path, ...] = ()
    """The files of the configuration itself: the main one, then those of `conf.d`. Absolute."""

    disabled: tuple[tuple[str, str], ...] = ()
    """What stands there with enabled = false: the table, and its name."""

    spots: Mapping[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """File and line of the options of models, by the model's name, or its file, and the key."""

    noted: tuple[Problem, ...] = ()
    """What is allowed in its files, and yet hardly meant."""

    @property
    def short_hash(self) -> str:
        """First 8 hex digits of the hash, as records carry it."""
        return self.hash[:8]

    def of_kind(self, kind: PluginKind) -> Sequence[Any]:
        """The options of all that plugins of a kind do, such as of each device."""
        found: Sequence[Any] = getattr(self, kind.field)
        return [spec.config for spec in found] if kind is DRIVER else found

    @property
    def plugins(self) -> list[str]:
        """Names of the plugins that it uses."""
        return sorted({getattr(part, kind.key) for kind in KINDS for part in self.of_kind(kind)})


LookUp = Callable[[GatewaySection], PluginTypes]
