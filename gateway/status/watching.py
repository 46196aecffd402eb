"""How what watches the devices stands, and the alarms it has raised. Times in milliseconds since 1970."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.status.rendering import FLAT, IF_ANY


@dataclass(frozen=True, slots=True)
class DriftStatus:
    """How far a model's inputs are from those it was trained with; shares from 0 to 1."""

    psi: float | None
    """Population stability index of the input that has moved most."""
    tag: str
    missing: float
    outside: float
    above: float


@dataclass(frozen=True, slots=True)
class WatchedStatus:
    """One device as a model sees it."""

    device: str
    state: str
    """waiting, warmup, running, degraded or failed."""
    reason: str
    score: float | None
    event: str | None
    """Id of the anomaly that is raised."""
    drift: DriftStatus | None


@dataclass(frozen=True, slots=True)
class AgreementStatus:
    """Looks at which two versions of a model said above, or normal."""

    looks: int
    both: int
    only_active: int
    only_shadow: int
    neither: int
    kappa: float | None
    """Cohen's."""


@dataclass(frozen=True, slots=True)
class TriedStatus:
    """A version in shadow that runs."""

    version: str
    sha256: str
    raised: int
    """Anomalies that it would have raised."""
    agreement: AgreementStatus


@dataclass(frozen=True, slots=True)
class ShadowStatus:
    """The next version of a model."""

    state: str
    """shadow or failed."""
    reason: str
    tried: TriedStatus | None = field(metadata=FLAT)


@dataclass(frozen=True, slots=True)
class ScoringStatus:
    """A model that is loaded."""

    version: str
    sha256: str
    signed_by: str
    batched: bool
    score_ms: float
    late: int
    skipped: int
    """Ticks without a score because it was still busy."""
    restarts: int
    """Windows that began anew."""
    devices: Sequence[WatchedStatus]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """How a `[[model]]` stands."""

    name: str
    file: str
    state: str
    reason: str
    scoring: ScoringStatus | None = field(metadata=FLAT)
    shadow: ShadowStatus | None = field(default=None, metadata=IF_ANY)


@dataclass(frozen=True, slots=True)
class LimitedStatus:
    """One device as a limit sees it."""

    device: str
    broken: bool
    value: float | None


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """How an `[[alarm]]` stands."""

    name: str
    tag: str
    condition: str
    limit: float
    reason: str
    """What once went wrong."""
    devices: Sequence[LimitedStatus]


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """One `[[alarm]]` with `plugin`."""

    name: str
    plugin: str
    state: str
    """up or faulted."""
    reason: str
    devices: Sequence[str]
    raised: Sequence[str]
    """Devices of which it has an alarm raised."""
    facts: Mapping[str, Any]
    """What the plugin tells of itself."""


@dataclass(frozen=True, slots=True)
class AcknowledgedStatus:
    """Who has seen an alarm."""

    by: str
    at: int
    comment: str


@dataclass(frozen=True, slots=True)
class ShelvedStatus:
    """Who has shelved an alarm, and until when."""

    by: str
    at: int
    reason: str
    until: int


@dataclass(frozen=True, slots=True)
class AlarmStatus:
    """An alarm from raise to clear."""

    event: str
    """Its id, the same from raise to clear."""
    name: str
    kind: str
    source: str
    device: str
    state: str
    active: bool
    waits: bool
    """Somebody has yet to acknowledge it."""
    severity: str
    message: str
    raised: int
    cleared: int | None
    occurrences: int
    acknowledged: AcknowledgedStatus | None
    shelved: ShelvedStatus | None
    chattering: bool
