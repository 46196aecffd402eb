"""Options of a simulated device and its tags."""

from typing import Literal

from gateway.plugin import DeviceConfig, Duration, Field, TagConfig


class SimulatedDevice(DeviceConfig):
    seed: int = 0
    """Start of the random numbers; the same seed gives the same noise."""

    fail_after: Duration | None = None
    """Lose the connection this long after it was made, each time, to try outages."""


class SimulatedTag(TagConfig):
    wave: Literal["sine", "ramp", "square", "random", "counter", "text", "constant", "bad"] = "sine"
    """Course of the value. counter: counts the periods; text: shows one of `texts` a period; bad: can never be read."""

    period: Duration = Field(default=60.0, gt=0)
    """Duration of one wave."""

    mean: float = 0.0
    """Middle of the wave; the value of a constant."""

    amplitude: float = 1.0
    """How far the wave goes to either side of the mean."""

    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of normally distributed noise."""

    texts: tuple[str, ...] = Field(default=("idle", "running"), strict=False, min_length=1)
    """What a text shows, in turn."""

    def value_type(self) -> str:
        return {"counter": "int64", "text": "string"}.get(self.wave, "float64")
