"""Bases of everything that stands in the configuration file; plugins derive their options from these."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from gateway.config.fields import Deadband, Field, FilePath, Name, Period, Size, WriteRate
from gateway.core.context import Context
from gateway.core.selection import Patterns, Selection
from gateway.core.tag import VALUE_TYPES


class Section(BaseModel):
    """A table of the file: unknown keys are errors, types are strict, the docstring under a field is its help."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    def model_post_init(self, context: Any, /) -> None:
        """Nobody asks which keys were written, and the set of their names costs 200 bytes for each tag."""
        object.__setattr__(self, "__pydantic_fields_set__", _NOT_KEPT)


_NOT_KEPT: set[str] = set()


class Secret(Section):
    """Where a secret is kept; exactly one of the three. The secret itself never stands in the file."""

    credential: str | None = None
    """Name of a systemd credential: a file in /etc/edge-gateway/credentials."""

    file: FilePath | None = None
    """A file that only the daemon's user can read."""

    env: str | None = None
    """An environment variable; any local user can read those of a service, so rather use a credential."""

    @model_validator(mode="after")
    def _one(self) -> "Secret":
        if sum(value is not None for value in (self.credential, self.file, self.env)) != 1:
            raise ValueError('write exactly one of credential, file or env, such as { credential = "mqtt-password" }')
        return self


ValueType = Literal[
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float32", "float64", "string", "bytes",
]  # fmt: skip
assert ValueType.__args__ == VALUE_TYPES  # type: ignore[attr-defined]


class TagConfig(Section):
    """What every tag can say; a driver's own tag options derive from it."""

    unit: str = ""
    """Engineering unit, as it is shown and published."""

    description: str = ""
    """What the tag measures."""

    scale: float = 1.0
    """Published value = device's value × scale + offset."""

    offset: float = 0.0
    """See scale; in the published unit."""

    clamp: tuple[float, float] | None = Field(default=None, strict=False)
    """Lowest and highest published value; beyond, the nearer one is published and marked as clamped."""

    range: tuple[float, float] | None = Field(default=None, strict=False)
    """Normal span of the published value; what a deadband in percent refers to."""

    deadband: Deadband | None = None
    """Publish only changes larger than this; 0 publishes every change. Without it every reading is published."""

    heartbeat: Period | None = None
    """With a deadband: publish at least this often though nothing changed. Default 60 s."""

    scan: Period | None = None
    """Poll period of this tag, if another than its device's."""

    write: bool = False
    """Whether the value may be written, with min, max and max_rate; [gateway] writes must be true too."""

    min: float | None = None
    """Lowest value that may be written, in the published unit."""

    max: float | None = None
    """Highest value that may be written, in the published unit."""

    max_rate: WriteRate | None = Field(default=None, examples=["6/min"])
    """How often the value may be written."""

    enabled: bool = True
    """false: checked, and shown as disabled, and neither read nor published."""

    def value_type(self) -> str:
        """The published value's type, one of VALUE_TYPES, or empty while only the device knows it; drivers override it.
        The gateway publishes a scaled value as float64 whatever this says."""
        return ""

    @property
    def scaled(self) -> bool:
        """Whether the published value differs from the device's."""
        return self.scale != 1.0 or self.offset != 0.0

    @model_validator(mode="after")
    def _bounds(self) -> "TagConfig":
        for name in ("clamp", "range"):
            span = getattr(self, name)
            if span is not None and not span[0] < span[1]:
                raise ValueError(f"{name}: the first number must be smaller than the second")
        if isinstance(self.deadband, str) and self.range is None:
            raise ValueError("deadband: a percentage needs range = [lowest, highest]")
        if self.scale == 0:
            raise ValueError("scale: must not be 0")
        return self

    @model_validator(mode="after")
    def _writing(self) -> "TagConfig":
        limits = {"min": self.min, "max": self.max, "max_rate": self.max_rate}
        if not self.write:
            if given := [name for name, limit in limits.items() if limit is not None]:
                raise ValueError(f"{given[0]}: only for a tag with write = true")
            return self
        numeric = self.scaled or self.value_type() not in ("", "bool", "string", "bytes")
        needed = limits if numeric else {"max_rate": self.max_rate}
        if missing := [name for name, limit in needed.items() if limit is None]:
            raise ValueError(f"write: needs {' and '.join(missing)} too, so that nothing harmful can be written")
        if (self.min is None) != (self.max is None) or (
            self.min is not None and self.max is not None and not self.min <= self.max
        ):
            raise ValueError("min: must stand together with max, and not above it")
        return self


class DeviceConfig(Section):
    """What every device can say; a driver's own device options derive from it."""

    name: Name = Field(examples=["press-1"])
    """Name of the device, unique in this gateway; part of its topics."""

    driver: str = Field(examples=["modbus"])
    """The driver plugin: the name of its file or folder."""

    enabled: bool = True
    """false: checked, and shown as disabled, and nothing is done with it."""

    scan: Period = 1.0
    """Poll period; for subscriptions the publishing interval."""

    align: bool = False
    """Poll on the full period of the clock rather than at a phase of the device's own."""

    timeout: Period = 3.0
    """How long the device may take to answer, and to be connected."""

    stale_after: Period | None = None
    """Without an answer for this long the tags go stale. Default: three scans, at least 5 s."""

    max_clock_offset: Period = 300.0
    """How far the device's own clock may be from the gateway's, if it has one: beyond, an event and `status` tell it."""

    max_silence: Period | None = None
    """A subscription without a sign of life for this long is given up and dialled anew. Default: ten scans, at least 30 s."""

    max_in_flight: int = Field(default=1, ge=1, le=64)
    """Reads under way at once on the device's line. Many PLCs bear only one."""

    run_in: Literal["gateway", "process"] = "gateway"
    """Where the driver works. In a process of its own, what blocks, crashes, or takes memory there costs this device alone,
    and those that share its connection; they run together as soon as one of them says so. It takes about 55 MB."""

    process_memory: Size = Field(default=512 * 1024 * 1024, ge=128 * 1024 * 1024)
    """With run_in = "process": memory that the driver may take there. Who wants more gets none, and its line fails."""

    enterprise: str | None = Field(default=None, examples=["acme"])
    """ISA-95 enterprise of this device, if another than the gateway's."""

    site: str | None = Field(default=None, examples=["north"])
    """ISA-95 site of this device, if another than the gateway's."""

    area: str | None = Field(default=None, examples=["solids"])
    """ISA-95 area of this device, if another than the gateway's."""

    line: str | None = Field(default=None, examples=["coating"])
    """ISA-95 line of this device, if another than the gateway's."""

    def refuses(self, tag: TagConfig) -> str:
        """What is wrong with a tag on this device, in words; empty where nothing is. For what neither of them can tell alone;
        drivers override it."""
        return ""


class Selected(Section):
    """What of the gateway's records a sink gets, or does not get."""

    devices: tuple[str, ...] | None = Field(default=None, strict=False, min_length=1, examples=[["coater-*"]])
    """Names of devices, `*` and `?` allowed: their readings, events, receipts, descriptions and states."""

    tags: tuple[str, ...] | None = Field(
        default=None, strict=False, min_length=1, examples=[["*_temp", "press-1/recipe"]]
    )
    """Names of tags, `*` and `?` allowed, or with a "/" of device and tag. A record goes out with the readings that are left,
    under the same id."""

    kinds: tuple[Literal["readings", "event", "loss", "receipt", "skip"], ...] | None = Field(
        default=None, strict=False, min_length=1, examples=[["event"]]
    )
    """Kinds of records."""

    @property
    def patterns(self) -> Patterns:
        """The same, for a Selection."""
        return Patterns(self.devices or (), self.tags or (), self.kinds or ())


class SinkConfig(Section):
    """What every sink can say; a sink plugin's own options derive from it."""

    name: Name = Field(examples=["central"])
    """Name of the destination, unique in this gateway; its place in the outbox is kept under it."""

    plugin: str = Field(examples=["mqtt"])
    """The sink plugin: the name of its file or folder."""

    enabled: bool = True
    """false: checked, and shown as disabled, and nothing is done with it."""

    window: int = Field(default=200, ge=1, le=10_000)
    """Records on their way without acknowledgement, at most."""

    ack_timeout: Period = 10.0
    """No acknowledgement for this long, with records on their way: the link is dropped and made anew."""

    order: Literal["live-first", "strict"] = "live-first"
    """After an outage: new data first and the history behind it, or strictly in order. Strict holds for what was refused
    too: nothing newer goes before it is taken, apart from the one window that was on its way."""

    backfill_rate: int | Literal["unlimited"] = Field(default=50_000, examples=[20_000, "unlimited"])
    """Readings of history per second, at most, beside new data. The default brings four hours at 5,000 readings per second
    in 24 minutes. Does not count with order = "strict"."""

    only: Selected | None = Field(default=None, examples=[{"devices": ["coater-*"]}])
    """What this sink gets: what matches each list that is given here. All else is not owed to it, and waits nowhere."""

    without: Selected | None = Field(default=None, examples=[{"tags": ["debug_*"]}])
    """What this sink does not get: what matches any list that is given here, though `only` has it."""

    @field_validator("backfill_rate")
    @classmethod
    def _some(cls, rate: int | str) -> int | str:
        if isinstance(rate, int) and not 1 <= rate <= 10**12:
            raise ValueError('must be at least 1, or "unlimited"')
        return rate

    def identity(self, gateway: str) -> str:
        """Who the gateway of this name is at which destination, in words; two sinks with the same one would push each other
        out, and are refused. Empty: any number of them is good."""
        return ""

    def remarks(self, gateway: str, place: Context, devices: Mapping[str, Context]) -> list[str]:
        """What is allowed, and yet hardly meant, for a gateway of this name and place with these devices, one sentence
        each."""
        return []

    @property
    def selection(self) -> Selection:
        """What it is meant to get."""
        only, without = (each.patterns if each is not None else Patterns() for each in (self.only, self.without))
        return Selection(only, without)

    @property
    def backfill(self) -> float | None:
        """Readings of history per second; None: as fast as it goes."""
        return None if isinstance(self.backfill_rate, str) else float(self.backfill_rate)


class RangeSinkConfig(SinkConfig):
    """What every sink can say that commits by range and time, such as one that writes files or a table."""

    commit_interval: Period = Field(default=60.0, ge=0.1, le=86_400.0)
    """Time between two commits. What is accepted meanwhile waits in the outbox, and `status` counts it as pending."""

    commit_size: Size = Field(default=16 * 1024 * 1024, ge=64 * 1024, le=1024 * 1024 * 1024)
    """Memory of what is committed at once, at most, as columns of 24 bytes a reading; with more waiting the next commit comes
    at once. Writing takes some four times as much for a moment."""

    window: int = Field(default=50_000, ge=1, le=1_000_000)
    """Records in one commit, at most."""

    ack_timeout: Period = 120.0
    """How long a commit may take without any progress; then it is given up and made anew."""

    order: Literal["strict"] = "strict"
    """Always strict: a range of numbers is committed, and the next one begins where it ends."""


class ServiceConfig(Section):
    """What every service can say; a service plugin's own options derive from it."""

    name: Name = Field(examples=["page"])
    """Name of the service, unique in this gateway; its commands begin with it."""

    plugin: str = Field(examples=["web"])
    """The service plugin: the name of its file or folder."""

    enabled: bool = True
    """false: checked, and shown as disabled, and nothing is done with it."""


class WatchConfig(Section):
    """What every `[[alarm]]` with `plugin` can say; a watch plugin's own options derive from it."""

    name: Name = Field(examples=["pump runs dry"])
    """What is wrong when it is raised; unique in this gateway."""

    plugin: str = Field(examples=["noisy"])
    """The watch plugin: the name of its file or folder."""

    enabled: bool = True
    """false: checked, and shown as disabled, and nothing is done with it."""

    devices: tuple[str, ...] = Field(strict=False, min_length=1, examples=[["pump-*"]])
    """Names of devices, `*` and `?` allowed; each has an alarm of its own."""

    severity: Literal["info", "advisory", "warning", "alarm"] = "warning"
    """Warnings and alarms wait until somebody acknowledges them; the others do not."""

    latch: bool = False
    """Stays active, though all is well again, until somebody acknowledges it."""

    action: str = Field(default="", examples=["close the valve"])
    """What to do about it; told with the alarm."""
