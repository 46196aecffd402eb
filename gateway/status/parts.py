"""How the parts of the gateway stand, and all of it. Ages and spans in seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.status.log import OutboxStatus, ReaderStatus
from gateway.status.rendering import IF_ANY
from gateway.status.watching import AlarmStatus, LimitStatus, ModelStatus, WatchStatus


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """What the gateway was told."""

    path: str
    hash: str
    loaded: int
    """When it was loaded, milliseconds since 1970."""
    files: Sequence[str] | None = field(default=None, metadata=IF_ANY)
    """Those of `conf.d` beside it, if there are any."""
    disabled: Sequence[str] | None = field(default=None, metadata=IF_ANY)
    """What stands there with enabled = false, if anything does, as in "device press-2"."""


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """The wall clock."""

    state: str
    """synchronised, not synchronised, or unknown."""
    epoch: int
    """Counts its settings."""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """How a `[[device]]` stands."""

    name: str
    driver: str
    state: str
    """In the words of `gateway.supervise.Health`, as everywhere here."""
    reason: str
    since_s: float
    next_attempt_s: float | None
    tags: int
    good: int
    """Tags whose last value is good."""
    polls: int
    skipped: int
    """Polls that were left out, because the one before was not answered yet."""
    errors: int
    line: Mapping[str, int]
    """What its line counts: the driver's own words."""
    clock_offset_s: float | None
    clock: str
    """What is wrong with its clock, in words; empty: nothing."""
    doubt: str
    """Why its values may be nonsense."""
    connection: Mapping[str, Any]
    """What the driver tells of its connection."""
    process: Mapping[str, int] | None
    """Where it has one of its own: pid, memory in bytes, starts."""
    remarks: Sequence[str]


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One `[[sink]]`; counts since the start, in records unless they say readings."""

    name: str
    plugin: str
    state: str
    reason: str
    since_s: float
    next_attempt_s: float | None
    promise: Mapping[str, Any]
    """What the sink says of this connection."""
    window: int
    open: int
    """On their way."""
    oldest_open_s: float | None
    last_acknowledged_s: float | None
    acknowledged_records: int
    acknowledged_readings: int
    waiting_after_refusal: int
    barred: Sequence[str]
    """Of what everything waits, since it was refused for now."""
    refused_for_now: int
    refused_for_good: int
    last_refusal: str
    drained_in_s: float | None
    """Until nothing waits, as it goes now."""
    outbox: ReaderStatus
    commits_every_s: float | None = None
    """Of a sink that commits by range and time; what is pending in the outbox is what it has not committed."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """How a `[[service]]` stands."""

    name: str
    plugin: str
    state: str
    reason: str
    since_s: float


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part of the gateway's own that does not work."""

    name: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class StallStatus:
    """A call that has blocked the event loop."""

    plugin: str
    """Empty for the gateway's own code."""
    part: str
    """The device, sink or service it was called for."""
    at: str
    """file:line"""
    within: str
    """The innermost function."""
    times: int
    longest_s: float
    last_s: float
    """How long ago."""
    recent: bool


@dataclass(frozen=True, slots=True)
class AuditStatus:
    """The audit trail; empty words: nothing is wrong."""

    damage: str
    failing: str


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate, or a revocation list, that a connection uses."""

    where: str
    """What it is, and its file or who has shown it."""
    name: str
    ends: int
    """Milliseconds since 1970."""
    left_s: int
    """Until then; negative when it has ended."""
    due: bool
    """Whether it is time to renew it."""


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """All of it."""

    gateway: str
    version: str
    uptime_s: float
    config: ConfigStatus
    clock: ClockStatus
    devices: Sequence[DeviceStatus]
    sinks: Sequence[SinkStatus]
    outbox: OutboxStatus
    models: Sequence[ModelStatus]
    limits: Sequence[LimitStatus]
    watches: Sequence[WatchStatus]
    """What plugins watch."""
    alarms: Sequence[AlarmStatus]
    parts: Sequence[PartStatus]
    """Those that do not work; all others do."""
    services: Sequence[ServiceStatus]
    stalls: Sequence[StallStatus]
    parked: Sequence[str]
    """Mistakes for which something of the configuration was left out."""
    audit: AuditStatus
    certificates: Sequence[CertificateStatus]
    """The soonest end first."""
