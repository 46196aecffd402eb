"""All scans of one moment, of whatever line."""

from collections.abc import Callable


class Slot:
    """Counts the scans that are due or under way on all lines, and tells when the last one is answered."""

    def __init__(self, settled: Callable[[], None]) -> None:
        self._settled = settled
        self._open = 0

    def begin(self) -> None:
        """A scan has fallen due."""
        self._open += 1

    def end(self) -> None:
        """A scan was answered, or given up."""
        self._open -= 1
        if not self._open:
            self._settled()
