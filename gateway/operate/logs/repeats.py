"""Folds lines that are the same: journald limits how much a service may log, and drops the interesting line with the rest."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FREE = 5
"""Times that a line passes within `SPAN`."""
SPAN = 60.0
"""Seconds after which it passes again, with how often it came meanwhile."""
MANY = 500
"""Different lines that are looked at."""

Entry = Mapping[str, Any]


@dataclass(slots=True)
class _Seen:
    entry: Entry
    since: float
    """When the first of its span came."""
    times: int = 0
    held: int = 0


class Repeats:
    """`passed` tells what is to be written when a line comes; may be used in several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._lock = threading.RLock()

    def passed(self, entry: Entry) -> list[Entry]:
        """The line, unless it is held back as one more of the same; before it, what was held back and whose span is over."""
        key = repr(sorted((name, str(value)) for name, value in entry.items() if name != "exception"))
        with self._lock:
            now = self._clock()
            told = self.over()
            if (seen := self._seen.get(key)) is None:
                seen = self._seen[key] = _Seen(_line(entry), now)  # five hundred tracebacks are much for nothing
            seen.times += 1
            if seen.times <= FREE:
                told.append(entry)
            else:
                seen.held += 1
            if len(self._seen) > MANY and (first := self._seen.popitem(last=False)[1]).held:
                told.append(_folded(first))
            return told

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        with self._lock:
            return any(seen.held for seen in self._seen.values())

    def over(self) -> list[Entry]:
        """What was held back and whose span is over: lines stand in the order in which their spans began."""
        told, now = [], self._clock()
        with self._lock:
            while self._seen and (first := next(iter(self._seen.items())))[1].since + SPAN <= now:
                del self._seen[first[0]]
                if first[1].held:
                    told.append(_folded(first[1]))
        return told


def _line(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if name != "exception"}


def _folded(seen: _Seen) -> Entry:
    return {**seen.entry, "repeated": seen.held}
