"""The courses of simulated values."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Wave(Protocol):
    """Options of one tag; see SimulatedTag."""

    wave: str
    period: float
    mean: float
    amplitude: float
    noise: float
    texts: tuple[str, ...]


class Waves:
    """The values of some tags at any time; all tags in one go."""

    def __init__(self, tags: Sequence[Wave], seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._period = np.array([tag.period for tag in tags], np.float64)
        self._mean = np.array([tag.mean for tag in tags], np.float64)
        self._amplitude = np.array([tag.amplitude for tag in tags], np.float64)
        self._noise = np.array([tag.noise for tag in tags], np.float64)
        self._noisy = bool(self._noise.any())
        self._rows = {wave: _rows(tags, wave) for wave in {tag.wave for tag in tags}}
        self._texts = {int(row): tags[row].texts for row in self._rows.get("text", ())}

    def at(self, time: float) -> NDArray[np.float64] | list[float | str | None]:
        """One value a tag at `time`, in seconds since 1970: an array, or a list where there are texts."""
        turns = time / self._period
        values = self._mean + self._amplitude * self._shapes(turns)
        if self._noisy:
            values += self._noise * self._random.standard_normal(len(values))
        if "counter" in self._rows:
            values[self._rows["counter"]] = np.floor(turns[self._rows["counter"]])
        if not self._texts:
            return values
        mixed: list[float | str | None] = values.tolist()
        for row, texts in self._texts.items():
            mixed[row] = texts[int(turns[row]) % len(texts)]
        return mixed

    def _shapes(self, turns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each wave between -1 and 1; NaN for a bad tag."""
        shape = np.zeros(len(turns))
        for wave, rows in self._rows.items():
            phase = turns[rows] % 1.0
            if wave == "sine":
                shape[rows] = np.sin(2 * np.pi * phase)
            elif wave == "ramp":
                shape[rows] = 2 * phase - 1
            elif wave == "square":
                shape[rows] = np.where(phase < 0.5, 1.0, -1.0)
            elif wave == "random":
                shape[rows] = self._random.uniform(-1, 1, len(rows))
            elif wave == "bad":
                shape[rows] = np.nan
        return shape


def _rows(tags: Sequence[Wave], wave: str) -> NDArray[np.intp]:
    return np.flatnonzero([tag.wave == wave for tag in tags])
