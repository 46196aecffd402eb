"""What state a part is in, said once when it changes."""

import re
from collections.abc import Callable
from typing import Any, Literal

import structlog

from gateway.core.amounts import format_duration
from gateway.core.clock import Clock
from gateway.core.text import cleaned

_NUMBER = re.compile(r"\b(0x[0-9a-fA-F]+|\d+)\b")

State = Literal["starting", "up", "down", "faulted", "stopped"]


class Health:
    """State of one part: a line, a device, a sink, a model.

    `up`, `down` and `faulted` log a change once, and stay silent while state and reason remain.
    """

    def __init__(
        self, name: str, clock: Clock, *, log: Any = None, on_change: Callable[["Health"], None] = lambda _: None
    ) -> None:
        self.name = name
        self.state: State = "starting"
        self.reason = ""
        self.since_ns = clock.boot_ns()
        """Boot time of the last change of state."""
        self.failures = 0
        """Failed attempts since it was last up."""
        self._next_ns: int | None = None
        self._clock = clock
        self._log = log or structlog.get_logger().bind(part=name)
        self._on_change = on_change

    @property
    def age(self) -> float:
        """Seconds in the present state."""
        return (self._clock.boot_ns() - self.since_ns) / 1e9

    @property
    def next_attempt(self) -> float | None:
        """Seconds until it is tried again; None while it is being tried, or works."""
        return None if self._next_ns is None else max(0.0, (self._next_ns - self._clock.boot_ns()) / 1e9)

    def tries_again_in(self, seconds: float | None) -> None:
        """When the next attempt is made; None: it is made now."""
        self._next_ns = None if seconds is None else self._clock.boot_ns() + int(seconds * 1e9)

    def up(self, note: str = "") -> None:
        """It works. Cheap when it did before: it is called at every answer of a device."""
        if self.state == "up" and self.reason == note:
            self.failures = 0
            return
        if self.state != "up":
            away = self.state in ("down", "faulted")
            tell = f"up again after {format_duration(self.age)}" if away else "up"
            extra = {"note": note} if note else {}
            if away and self.failures > 1:
                extra["attempts"] = str(self.failures)
            self._log.info(tell, **extra)
        self.failures = 0
        self._set("up", note)

    def down(self, reason: str) -> None:
        """It does not work, for a reason that lies outside the gateway."""
        self.failures += 1
        reason = cleaned(reason)
        if self.state != "down" or _gist(self.reason) != _gist(reason):
            self._log.warning("down", reason=reason)
        self._set("down", reason)

    def faulted(self, reason: str, error: BaseException) -> None:
        """It does not work, because of a bug; the traceback is logged once while the reason remains."""
        self.failures += 1
        reason = cleaned(reason)
        if self.state != "faulted" or _gist(self.reason) != _gist(reason):
            self._log.error("faulted", reason=reason, exc_info=error)
        self._set("faulted", reason)

    def stopped(self) -> None:
        """It was stopped on purpose."""
        self._set("stopped", "")

    def _set(self, state: State, reason: str) -> None:
        if state in ("up", "stopped"):
            self._next_ns = None
        same = state == self.state and _gist(reason) == _gist(self.reason)
        if state != self.state:
            self.since_ns = self._clock.boot_ns()
        self.state, self.reason = state, reason
        if not same:
            self._on_change(self)


def _gist(reason: str) -> str:
    """A reason without its numbers, which may differ at every attempt while the trouble is the same."""
    return _NUMBER.sub("#", reason)
