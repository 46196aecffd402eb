"""A skid that cleans in place: it rinses, runs caustic and acid through the line, and rinses again. Made-up, plausible
numbers, much faster than life so that a visitor sees it move."""

import math
from random import Random
from typing import NamedTuple

TAGS = {
    "temperature": "°C",
    "conductivity": "mS/cm",
    "flow": "L/min",
    "pressure": "bar",
    "tank_level": "%",
    "running": "",
    "cycle": "",
    "phase": "",
}
"""The tags with their units; `running` is a bit, `cycle` a count, `phase` a text."""


class _Phase(NamedTuple):
    name: str
    seconds: float
    temperature: float
    conductivity: float
    flow: float


_PHASES = (
    _Phase("pre-rinse", 20, 25, 0.6, 120),
    _Phase("caustic", 40, 78, 55, 110),
    _Phase("rinse", 20, 40, 0.8, 120),
    _Phase("acid", 30, 62, 38, 110),
    _Phase("final rinse", 25, 30, 0.1, 120),
    _Phase("idle", 15, 25, 0.1, 0),
)
_NOISE = {"temperature": 0.05, "conductivity": 0.04, "flow": 0.6, "pressure": 0.01, "tank_level": 0.05}


class CipSkid:
    """One cleaning after the other. The same seed and steps give the same values."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self._at, self._since = 0, 0.0
        self._temperature, self._conductivity, self._flow, self._level = 25.0, 0.6, 0.0, 80.0
        self.cycle = 1
        """Cleanings since it was switched on."""
        self._measured: dict[str, float] = {}
        self._measure()

    @property
    def phase(self) -> str:
        """What it does."""
        return _PHASES[self._at].name

    def step(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        phase = _PHASES[self._at]
        self._since += dt
        self._temperature += (phase.temperature - self._temperature) * -math.expm1(-dt / 8)
        self._conductivity += (phase.conductivity - self._conductivity) * -math.expm1(-dt / 4)
        self._flow += (phase.flow - self._flow) * -math.expm1(-dt / 2)
        self._level += ((80.0 if phase.flow == 0 else 60.0) - self._level) * -math.expm1(-dt / 30)
        if self._since >= phase.seconds:
            self._since = 0.0
            self._at = (self._at + 1) % len(_PHASES)
            self.cycle += self._at == 0
        self._measure()

    def state(self) -> dict[str, float | bool | int | str]:
        """What the skid shows, by tag name, in the units of TAGS."""
        return {**self._measured, "running": self.phase != "idle", "cycle": self.cycle, "phase": self.phase}

    def _measure(self) -> None:
        true = {
            "temperature": self._temperature,
            "conductivity": self._conductivity,
            "flow": self._flow,
            "pressure": 0.2 + 2.2 * (self._flow / 120) ** 2,
            "tank_level": self._level,
        }
        self._measured = {tag: max(0.0, value + self._random.gauss(0, _NOISE[tag])) for tag, value in true.items()}
