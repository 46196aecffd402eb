"""What ends a connection whenever it is asked for: found by halves, over connections, and left out."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

TRIAL = 8.0
"""Seconds after which what was left out is tried again: so what was repaired delivers within 15 s, even after a trial that
took a time-out."""

_WHOLE_AGAIN = 60.0
_WHOLE_AGAIN_AT_MOST = 86400.0
"""Seconds after which all is asked for at once again, though it may be the number of it that was too much. It doubles."""


class Suspects(Generic[K]):
    """There are devices and servers that hang up, or fall silent, over one address of many, or over a request that is too
    large for them. Who then asks for the same again on the next connection never gets anything. Keep one of these for all
    that is asked for together, longer than a connection: ask for each of `portions` by itself, and tell what came of it.

    It knows no clock: `now` is in seconds of a monotonic one."""

    def __init__(self, chances: int = 1) -> None:
        """`chances`: how often in a row the connection may end over what is under no suspicion, before that is suspected."""
        self._chances = chances
        self._ended = 0
        """How often it did."""
        self._groups: list[tuple[K, ...]] = []
        """Asked for by themselves: the connection ended over what they were a part of."""
        self._before: list[tuple[K, ...]] = []
        """What they were, while all is asked for at once again."""
        self._innocent: set[tuple[K, ...]] = set()
        """Groups that were answered since any was divided."""
        self._parked: dict[K, str] = {}
        self._dead = True
        """Whether all that was seen fits a device that is not there: then the groups mean nothing."""
        self.trial_at = 0.0
        """When what is left out is asked for again, at the next call of `portions`."""
        self._whole_at: float | None = None
        """When the groups are asked for at once again; None while it is not known what is to blame."""
        self._pause = _WHOLE_AGAIN

    def __bool__(self) -> bool:
        """Whether there is anything to be asked for in portions, or to be told of by `answered`."""
        return bool(self._groups or self._parked or self._ended or self._before)

    @property
    def parked(self) -> Mapping[K, str]:
        """What is left out, and in which words the connection ended over it."""
        return self._parked

    def portions(self, wanted: Sequence[K], now: float) -> list[tuple[K, ...]]:
        """What to ask for, one request after the other: what is under no suspicion first, what is tried again last; nothing
        while all is left out."""
        if self._groups and self._innocent.issuperset(self._groups):
            self._acquit(now)
        known = set(wanted)
        apart = self._parked.keys() | {key for group in self._groups for key in group}
        groups = [tuple(key for key in group if key in known) for group in self._groups]
        portions = [part for part in (tuple(key for key in wanted if key not in apart), *groups) if part]
        return portions + [(key,) for key in self._parked if key in known and now >= self.trial_at]

    def answered(self, portion: tuple[K, ...]) -> None:
        """The connection goes on after this was asked for."""
        if portion in self._groups:
            self._innocent.add(portion)
        elif len(portion) == 1 and self._parked.pop(portion[0], None) is not None:
            self._whole_at = 0.0
        else:
            self._ended, self._dead, self._before = 0, True, []

    def ended(self, portion: tuple[K, ...], why: str, now: float, *, alive: bool, silent: bool) -> bool:
        """The connection ended over this. `alive`: something else was answered on it before; `silent`: there was no answer in
        time. Returns whether that was no more than to be expected, so that a new one is made at once: all else was answered,
        or less is asked for the next time."""
        self._dead &= silent and not alive
        if len(portion) == 1 and portion[0] in self._parked:
            self._park(portion[0], why, now)
            return alive
        if not (known := portion in self._groups):
            if self._before:  # so it was the number of them
                self._regroup(self._before)
                self._before = []
                return alive
            self._ended += 1
            if self._ended <= self._chances:
                return False
            self._ended = 0
            self._groups.append(portion)
        foreseen = alive or (known and any(len(group) > 1 for group in self._groups))
        self._groups.remove(portion)
        if alive and len(portion) == 1:
            self._regroup(self._groups)
            self._park(portion[0], why, now)
        elif alive:
            self._regroup(self._groups + _halves(portion))
        else:  # the number of them may be to blame, so all are made smaller; and others are asked for first next time
            self._regroup([half for group in [*self._groups, portion] for half in _halves(group)])
        return foreseen

    def _acquit(self, now: float) -> None:
        """All groups were answered."""
        if self._whole_at is None:
            self._whole_at = now if self._dead else now + self._pause
            self._pause = self._pause if self._dead else min(2 * self._pause, _WHOLE_AGAIN_AT_MOST)
        if now >= self._whole_at:
            self._before, self._dead = self._groups, False
            self._regroup([])

    def _regroup(self, groups: list[tuple[K, ...]]) -> None:
        self._groups = groups
        self._innocent.clear()
        self._whole_at = None

    def _park(self, key: K, why: str, now: float) -> None:
        self._parked.pop(key, None)
        self._parked[key] = why
        self.trial_at = now + TRIAL


def _halves(group: tuple[K, ...]) -> list[tuple[K, ...]]:
    half = len(group) // 2
    return [group[:half], group[half:]] if half else [group]
