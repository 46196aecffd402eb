"""What people ask of the models, by the control socket."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.detect import Detection


class ModelCommands:
    """Answers about the models that score."""

    def __init__(self, detection: Detection) -> None:
        self._detection = detection

    def commands(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """By their names on the socket."""
        return {"models": self.listed}

    async def listed(self, who: str) -> list[dict[str, Any]]:
        """Every model with what it says of each device."""
        return self._detection.detector.status()
