"""A tablet film coater: hot air dries tablets in a turning pan while a pump sprays film on them. Made-up, plausible numbers.

The temperatures follow from a heat balance, so they move with air, spray and inlet as they do on a real machine. The fault
is a spray nozzle that clogs: less film reaches the tablets, the pump works against more pressure, and what no longer
evaporates no longer cools.
"""

import math
from random import Random

TAGS = {
    "inlet_temp": "°C",
    "exhaust_temp": "°C",
    "bed_temp": "°C",
    "airflow": "m³/h",
    "pan_speed": "rpm",
    "spray_rate": "g/min",
    "atomizing_pressure": "bar",
    "pump_current": "A",
}
"""The measured tags, in the order of `Coater.state()`, with their units."""

CLOG_SECONDS = 25.0
"""How long the fault takes to develop in full."""

_NOISE = {
    "inlet_temp": 0.08,
    "exhaust_temp": 0.06,
    "bed_temp": 0.06,
    "airflow": 4.0,
    "pan_speed": 0.015,
    "spray_rate": 0.7,
    "atomizing_pressure": 0.006,
    "pump_current": 0.012,
}
"""Standard deviation of each transmitter, in the tag's unit."""

_DECIMALS = {
    "inlet_temp": 2, "exhaust_temp": 2, "bed_temp": 2, "airflow": 1,
    "pan_speed": 3, "spray_rate": 2, "atomizing_pressure": 4, "pump_current": 3,
}  # fmt: skip

_WATER = 0.85
"""Share of water in the spray, by mass."""
_EVAPORATION = 2400.0
"""Heat that water takes up when it evaporates, kJ/kg."""
_AIR = 1.1 * 1.006
"""Heat that warm air carries, kJ/(m³ K)."""
_LOSS = 3.0
"""What the air loses to the housing, K."""


class Coater:
    """The machine in steady spraying, from its first moment on. The same seed and steps give the same values."""

    def __init__(self, seed: int = 0, clog_at: float | None = None) -> None:
        """`clog_at`: seconds of simulated time after which a nozzle begins to clog; None for never."""
        self._random = Random(seed)
        self._phase = self._random.uniform(0, 2 * math.pi)
        self._clog_at = clog_at
        self.seconds = 0.0
        """Simulated time."""
        self._heater = Wander(self._random, seconds=60, spread=0.15)
        self._fan = Wander(self._random, seconds=80, spread=12)
        self._pump = Wander(self._random, seconds=90, spread=1.8)
        self._air_supply = Wander(self._random, seconds=120, spread=0.008)
        self._drive = Wander(self._random, seconds=40, spread=0.02)
        exhaust = self._balance(*self._inputs())
        self._exhaust = exhaust
        self._bed = exhaust - 2.0
        self._measured: dict[str, float] = {}
        self._measure()

    def clog(self) -> None:
        """Let a nozzle begin to clog now."""
        self._clog_at = self.seconds

    def clean(self) -> None:
        """Blow the nozzle free; the spray is back at once, the temperatures follow."""
        self._clog_at = None

    @property
    def clogged(self) -> float:
        """How far the fault has developed, 0 to 1."""
        if self._clog_at is None:
            return 0.0
        done = min(max((self.seconds - self._clog_at) / CLOG_SECONDS, 0.0), 1.0)
        return done * done * (3 - 2 * done)

    def step(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        self.seconds += dt
        for wander in (self._heater, self._fan, self._pump, self._air_supply, self._drive):
            wander.step(dt)
        balance = self._balance(*self._inputs())
        self._exhaust += (balance - self._exhaust) * -math.expm1(-dt / 12)
        self._bed += (balance - 2.0 - self._bed) * -math.expm1(-dt / 35)
        self._measure()

    def state(self) -> dict[str, float]:
        """What the transmitters show, by tag name, in the units of TAGS."""
        return dict(self._measured)

    def _inputs(self) -> tuple[float, float, float]:
        """Inlet temperature °C (its controller swings slowly), airflow m³/h, spray that reaches the tablets g/min."""
        inlet = 60 + 0.5 * math.sin(2 * math.pi * self.seconds / 110 + self._phase) + self._heater.value
        pumped = 150 + self._pump.value
        return inlet, 1500 + self._fan.value, pumped * (1 - 0.5 * self.clogged)

    @staticmethod
    def _balance(inlet: float, airflow: float, spray: float) -> float:
        """The exhaust temperature that these inputs lead to, °C: inlet less losses less evaporation."""
        evaporation = spray / 1000 / 60 * _WATER * _EVAPORATION
        return inlet - _LOSS - evaporation / (airflow / 3600 * _AIR)

    def _measure(self) -> None:
        inlet, airflow, spray = self._inputs()
        pumped = 150 + self._pump.value
        true = {
            "inlet_temp": inlet,
            "exhaust_temp": self._exhaust,
            "bed_temp": self._bed,
            "airflow": airflow,
            "pan_speed": 8 + self._drive.value,
            "spray_rate": spray,
            "atomizing_pressure": 2.5 + self._air_supply.value + 0.22 * self.clogged,
            "pump_current": 1.8 * (0.4 + 0.6 * pumped / 150) * (1 + 0.45 * self.clogged),
        }
        self._measured = {tag: round(true[tag] + self._random.gauss(0, _NOISE[tag]), _DECIMALS[tag]) for tag in TAGS}


class Wander:
    """A quantity that strays around 0 and returns: an Ornstein-Uhlenbeck process, stepped exactly."""

    def __init__(self, random: Random, seconds: float, spread: float) -> None:
        """`seconds`: how long it remembers; `spread`: standard deviation."""
        self._random = random
        self._seconds = seconds
        self._spread = spread
        self.value = random.gauss(0, spread)

    def step(self, dt: float) -> None:
        kept = math.exp(-dt / self._seconds)
        self.value = kept * self.value + self._random.gauss(0, self._spread) * math.sqrt(1 - kept * kept)
