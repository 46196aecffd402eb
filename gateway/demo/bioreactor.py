"""A stirred fermenter: cells grow on sugar, breathe, make acid and heat; controllers hold temperature, pH and oxygen.

Logistic-like growth after Monod (μ = μmax S / (Ks + S)), much faster than life so that a visitor sees it move.
"""

import math
from random import Random

TAGS = {
    "temperature": "°C",
    "ph": "pH",
    "dissolved_oxygen": "%",
    "agitation": "rpm",
    "air_flow": "L/min",
    "biomass": "g/L",
    "glucose": "g/L",
    "base_added": "mL",
    "phase": "",
}
"""The measured tags with their units; `phase` is a text."""

_MU_MAX = 0.012
"""Growth rate, 1/s; about 60 times that of bacteria."""
_KS = 0.8
_YIELD = 0.5
_FEED_BELOW = 2.0


class Bioreactor:
    """One fed batch after the other. The same seed and steps give the same values."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self.seconds = 0.0
        self._inoculate()

    def _inoculate(self) -> None:
        self.biomass, self.glucose = 0.6, 20.0
        self.temperature, self.ph, self.oxygen = 37.0, 7.0, 95.0
        self.agitation, self.base = 300.0, 0.0
        self.fed = 0.0
        self.phase = "lag"
        self._since = 0.0

    def step(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        self.seconds += dt
        self._since += dt
        growth = _MU_MAX * self.glucose / (_KS + self.glucose) * self.biomass
        if self.phase == "lag":
            growth *= min(1.0, self._since / 30)
        self.biomass += growth * dt
        self.glucose = max(0.0, self.glucose - growth / _YIELD * dt)
        self._control(growth, dt)
        self._next_phase(dt)

    def _control(self, growth: float, dt: float) -> None:
        self.temperature += (37.0 + 1.5 * growth - self.temperature) * dt / 20
        self.ph += (-0.02 * growth + (0.02 if self.ph < 6.95 else 0.0)) * dt
        if self.ph < 6.95:
            self.base += 0.8 * dt
        supply = self.agitation / 300
        self.oxygen += (100 * supply / (supply + 4 * growth) - self.oxygen) * dt / 8
        self.agitation += (40 - self.oxygen) * 0.4 * dt
        self.agitation = min(max(self.agitation, 300.0), 1200.0)

    def _next_phase(self, dt: float) -> None:
        if self.phase == "lag" and self._since > 30:
            self.phase = "growth"
        elif self.phase == "growth" and self.glucose < _FEED_BELOW:
            self.phase = "fed-batch"
        elif self.phase == "fed-batch":
            self.glucose += 0.05 * dt
            self.fed += 0.05 * dt
            if self.fed > 12:
                self.phase = "harvest"
                self._since = 0.0
        elif self.phase == "harvest" and self._since > 20:
            self._inoculate()

    def state(self) -> dict[str, float | str]:
        """What the transmitters show, by tag name."""
        noise = self._random.gauss
        return {
            "temperature": round(self.temperature + noise(0, 0.02), 3),
            "ph": round(self.ph + noise(0, 0.005), 4),
            "dissolved_oxygen": round(min(100.0, max(0.0, self.oxygen + noise(0, 0.3))), 2),
            "agitation": round(self.agitation + noise(0, 1), 1),
            "air_flow": round(20 + 0.2 * math.sin(self.seconds / 15) + noise(0, 0.05), 3),
            "biomass": round(self.biomass, 4),
            "glucose": round(self.glucose, 4),
            "base_added": round(self.base, 2),
            "phase": self.phase,
        }
