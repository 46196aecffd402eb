"""Which of several readings of the same registers is likely meant."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.plugin.guessing import Guess

_USUAL = (1e-3, 1e6)
"""Where the numbers of a plant mostly lie."""


_CHANCE = {"int16": 1.0, "uint16": 1.0, "float16": 1.0, "float32": 0.12, "float64": 0.015, "bcd16": 0.15, "bcd32": 0.02}
"""How often random bytes are a usual number in such a type; 0 for the others."""

_RARE = {"float16": 0.75, "bcd16": 0.85, "bcd32": 0.9, "bcd64": 0.9}
"""How much less a type is met in plants than the others."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A guess and how plausible it is."""

    guess: Guess
    score: float
    """0 to 1."""


READS = 3
APART = 0.3
"""Seconds between two of them."""


async def several(ask: Callable[[], Awaitable[Sequence[Guess]]]) -> list[Sequence[Guess]]:
    """What a driver guesses a few times, so that what leaps is told from what stays."""
    reads = [await ask()]
    for _ in range(READS - 1):
        await asyncio.sleep(APART)
        reads.append(await ask())
    return reads


def rank(reads: Sequence[Sequence[Guess]], expected: tuple[float, float] | None = None) -> list[Ranked]:
    """The guesses that every one of several reads, a moment apart, allows; the most plausible first.

    A guess is plausible when its value lies within `expected` or, without that, where a plant's numbers mostly do; when it
    moves no more between the reads than it is large; when chance hardly made it: few bits say it, and random bytes would
    seldom fit; and when such a type is usual. With equal scores the order of the driver stays, which begins with what is
    most usual. Of several orders that give the same values the first is told.
    """
    latest = {_key(guess): guess for guess in reads[-1]}
    before = [{_key(guess): guess.value for guess in read} for read in reads]
    ranked = []
    told: set[tuple[object, ...]] = set()
    for key, guess in latest.items():
        values = [read[key] for read in before if key in read]
        same = (guess.options.get("address"), guess.options.get("type"), *values)
        if len(values) == len(reads) and same not in told:
            told.add(same)
            ranked.append(Ranked(guess, _score(values, str(guess.options.get("type", "")), expected)))
    return sorted(ranked, key=lambda each: -each.score)


def _key(guess: Guess) -> tuple[object, ...]:
    return tuple(guess.options.items())


def _score(values: Sequence[object], type_: str, expected: tuple[float, float] | None) -> float:
    value = values[-1]
    if not isinstance(value, int | float):
        return 0.5 if expected else 0.9
    numbers = [float(each) for each in values if isinstance(each, int | float)]
    fits = _within(float(value), expected) if expected else _usual(float(value)) * (1 - 0.6 * _CHANCE.get(type_, 0.0))
    return round(fits * _RARE.get(type_, 1.0) * _steady(numbers) * (0.8 + 0.2 * _plain(value)), 3)


def _within(value: float, expected: tuple[float, float]) -> float:
    """1 inside the range, less the further outside: 0.25 one span away."""
    low, high = expected
    outside = max(low - value, value - high, 0.0)
    span = max(high - low, 1e-9)
    return 1.0 if outside == 0 else 0.5 / (1 + outside / span)


def _usual(value: float) -> float:
    """1 for the sizes that numbers of a plant mostly have, 0.5 for nothing at all, less for what is odd."""
    size = abs(value)
    if size == 0:
        return 0.5
    low, high = _USUAL
    if low <= size <= high:
        return 1.0
    return 0.5 / (1 + abs(math.log10(size / (low if size < low else high))))


def _steady(values: Sequence[float]) -> float:
    """1 when the value keeps its size between the reads, less when it leaps."""
    spread = max(values) - min(values)
    size = max(map(abs, values))
    return 1.0 if spread == 0 or size == 0 else 1 / (1 + min(spread / size, 4.0))


def _plain(value: float) -> float:
    """1 for a number of few significant bits, 0 for one that uses all of a float64."""
    if value == 0:
        return 0.0
    mantissa, _ = math.frexp(abs(float(value)))
    whole = int(math.ldexp(mantissa, 53))
    return ((whole & -whole).bit_length() - 1) / 53
