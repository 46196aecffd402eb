"""Which units do not answer, and how long an answer is waited for."""

from collections.abc import Hashable
from dataclasses import replace

from gateway.kit.line.exchange import AskingPace

MAX_SILENT = 4
"""Reads given up one after the other, without a byte received, that end the connection."""

_PROBE_AT_LEAST = 0.25
_PROBE_TIMES = 4
"""A unit that did not answer last time is asked with less patience, as many times what others take: it holds up the line."""


class Patience:
    """What is known of the units' answering."""

    def __init__(self) -> None:
        self._mute: set[Hashable] = set()
        self._slowest = 0.0
        self._reads = 0
        """Given up one after the other since the last byte was received."""

    def of(self, unit: Hashable, pace: AskingPace) -> float:
        """How long the unit's answer is waited for, seconds. One that did not answer last time gets less."""
        if self._mute and self._slowest and unit in self._mute:
            return min(pace.patience, max(_PROBE_AT_LEAST, _PROBE_TIMES * self._slowest))
        return pace.patience

    def brief(self, pace: AskingPace) -> AskingPace:
        """For what did not answer last time: no longer than that takes what does answer."""
        share = pace.whole / _PROBE_TIMES
        patience = share
        if self._slowest:
            patience = max(2 * self._slowest, min(share, max(_PROBE_AT_LEAST, _PROBE_TIMES * self._slowest)))
        return replace(pace, patience=min(pace.patience, patience), retries=0)

    def is_mute(self, unit: Hashable) -> bool:
        """Whether it did not answer last time."""
        return unit in self._mute

    def heard(self) -> None:
        """Some byte was received."""
        self._reads = 0

    def answered(self, unit: Hashable, after: float) -> None:
        """The unit has answered, after so many seconds."""
        if after > self._slowest:
            self._slowest = after
        if self._mute:
            self._mute.discard(unit)

    def alive(self, unit: Hashable) -> None:
        """The unit was heard, though not in time."""
        self._mute.discard(unit)

    def given_up(self, unit: Hashable) -> bool:
        """The unit answered nothing of a read. Returns whether the whole line seems dead."""
        self._mute.add(unit)
        self._reads += 1
        return self._reads >= MAX_SILENT
