"""All scans of one moment, of whatever line."""

from gateway.acquire.device import Road


class Slot:
    """Counts the scans that are due or under way on all lines, and tells the road when the last one is answered."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._open = 0

    def begin(self) -> None:
        """A scan has fallen due."""
        self._open += 1

    def end(self) -> None:
        """A scan was answered, or given up."""
        self._open -= 1
        if not self._open:
            self._road.settle()
