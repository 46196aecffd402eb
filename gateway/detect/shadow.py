"""The next version of a model, which scores beside the active one and tells nobody; how far both agree is counted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.event import Event
from gateway.detect.model_watcher import ModelWatcher
from gateway.detect.versions import Stamp
from gateway.detect.watcher import Spawn
from gateway.detect.windows import ABOVE, NORMAL
from gateway.status import AgreementStatus, ShadowStatus, TriedStatus


@dataclass(slots=True)
class Agreement:
    """Looks at which both versions called a device normal or above; counted over all devices."""

    both: int = 0
    """Both called it above."""
    only_active: int = 0
    only_shadow: int = 0
    neither: int = 0

    def look(self, active: NDArray[np.uint8], shadow: NDArray[np.uint8]) -> None:
        """Compare what both say, see `judge.VERDICTS`, of each device."""
        known = ((active == NORMAL) | (active == ABOVE)) & ((shadow == NORMAL) | (shadow == ABOVE))
        one, other = (active == ABOVE) & known, (shadow == ABOVE) & known
        self.both += int((one & other).sum())
        self.only_active += int((one & ~other).sum())
        self.only_shadow += int((other & ~one).sum())
        self.neither += int((known & ~one & ~other).sum())

    @property
    def looks(self) -> int:
        """How many there were."""
        return self.both + self.only_active + self.only_shadow + self.neither

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: 1 for full agreement, 0 for what chance would give; None while neither has varied."""
        if not self.looks:
            return None
        total = self.looks
        one, other = (self.both + self.only_active) / total, (self.both + self.only_shadow) / total
        by_chance = one * other + (1 - one) * (1 - other)
        return None if by_chance == 1 else ((self.both + self.neither) / total - by_chance) / (1 - by_chance)

    def status(self) -> AgreementStatus:
        """The counts for `status`, with kappa."""
        return AgreementStatus(
            looks=self.looks,
            both=self.both,
            only_active=self.only_active,
            only_shadow=self.only_shadow,
            neither=self.neither,
            kappa=None if self.kappa is None else round(self.kappa, 4),
        )


class Unheard:
    """The event log of alarms that nobody hears of."""

    def append_event(self, event: Event) -> None:
        pass


@dataclass(slots=True)
class Shadow:
    """A version in shadow, or why it is not."""

    stamp: Stamp
    """Of its file."""
    tell_failed: Callable[[str], None]
    """Hears once why it cannot be used, or not any more."""
    watch: ModelWatcher | None = None
    failure: str = ""
    agreement: Agreement = field(default_factory=Agreement)
    raised: list[str] = field(default_factory=list)
    """Devices of which it would have raised an anomaly, the oldest first."""

    def append_event(self, event: Event) -> None:
        """As the event log of its alarms: what it would have raised is counted, and told nobody."""
        if event.state == "raised":
            self.raised.append(event.device)

    @property
    def sha256(self) -> str:
        """Of the version that runs; empty if it does not."""
        return self.watch.identity.sha256 if self.watch else ""

    def advance(self, active: ModelWatcher, columns: tuple[Any, ...] | None, boot_ns: int, spawn: Spawn) -> None:
        """Score what has become due, and compare; a version that fails ends."""
        if self.watch is None:
            return
        self.watch.try_advance(columns, boot_ns, spawn)
        if self.watch.failure:
            self.fail(self.watch.failure)
        else:
            self.agreement.look(active.judge.said, self.watch.judge.said)

    def fail(self, reason: str) -> None:
        """It cannot be used."""
        self.failure, self.watch = reason, None
        self.tell_failed(reason)

    def status(self) -> ShadowStatus:
        """How it does, for `status`."""
        if self.watch is None:
            return ShadowStatus(state="failed" if self.failure else "shadow", reason=self.failure, tried=None)
        unfit = "; ".join(f"{name}: {reason}" for name, reason in self.watch.binding.unfit.items())
        tried = TriedStatus(
            version=self.watch.identity.card.version,
            sha256=self.watch.identity.sha256,
            raised=len(self.raised),
            agreement=self.agreement.status(),
        )
        return ShadowStatus(state="shadow", reason=unfit, tried=tried)
