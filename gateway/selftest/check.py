"""What a check came to."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Progress = Callable[[str, int, int], None]
"""Told the name of the check, how much of it is done, and how much there is."""

_TOLD_AT_MOST = 20


@dataclass(slots=True)
class Check:
    """One promise, tried."""

    name: str
    figures: dict[str, int | float | str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """What was not as promised; the first ones in words."""
    failed: int = 0
    note: str = ""
    """What limits the check on this machine."""
    seconds: float = 0.0
    _begin: float = field(default_factory=time.monotonic)

    @property
    def passed(self) -> bool:
        return not self.failed

    def fail(self, text: str, count: int = 1) -> None:
        """Something was not as promised."""
        self.failed += count
        if len(self.failures) < _TOLD_AT_MOST:
            self.failures.append(text)

    def expect(self, holds: bool, text: str) -> None:
        """It was as promised, or not."""
        if not holds:
            self.fail(text)

    def add(self, figure: str, amount: int) -> None:
        """So many more."""
        self.figures[figure] = int(self.figures.get(figure, 0)) + amount

    def done(self) -> "Check":
        """It has ended."""
        self.seconds = round(time.monotonic() - self._begin, 1)
        return self
