"""A handful of the attacks of `make attack`, one of each kind, and a short soak."""

import random
from pathlib import Path

import pytest

from tests.attack.__main__ import verdict
from tests.attack.attacks import QUIET, load
from tests.attack.measure import longest_gap, slope
from tests.attack.soak import MIB, grown, soak
from tests.attack.stage import stage

HANDFUL = (
    "opcua.chunks-in-session",
    "opcua.empty-chunks",
    "broker.qos-2-unasked",
    "broker.welcome-of-256-mib",
    "broker.flood-of-pingresp",
    "modbus.six-floods",
    "neighbour.deep-requests",
    "file.model-is-a-fifo",
    "model.doubling",
    "state.alarms-odd",
    "slow.link-of-2-kb",
    "plugins.process-blocks",
    "plugins.process-dies",
)
"""Those that are mended are added as soon as they are."""
IN_TURNS = ("opcua.publish-storm", "broker.refuses-all", "modbus.accept-and-reset", "neighbour.status-storm")
GROSS = 32 * 1024 * 1024
"""Bytes a minute."""


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_no_attack_takes_more_than_it_may(tmp_path: Path) -> None:
    attacks = load()
    async with stage(tmp_path) as ready:
        quiet = await ready.suffer(QUIET)
        failed = {}
        for name in HANDFUL:
            figures = await ready.suffer(attacks[name])
            if why := verdict(figures, quiet, attacks[name]):
                failed[name] = (why, figures)
    assert failed == {}


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_memory_does_not_grow_by_much_with_the_attacks(tmp_path: Path) -> None:
    """In a minute caches still fill, so only a gross leak is seen; `make attack SOAK=30min` judges the slope."""
    attacks = load()
    assert await soak([attacks[name] for name in IN_TURNS], tmp_path, 75.0, turn=2.0, may=GROSS) == ""


def test_the_longest_gap_is_between_two_arrivals_or_at_an_end() -> None:
    assert longest_gap([1.0, 1.5, 4.0], 0.5, 5.0) == 2.5
    assert longest_gap([], 0.5, 5.0) == 4.5


def rounds(rise: float, noise: float, seed: int) -> list[tuple[float, float]]:
    """Six rounds of 20 minutes after a warm-up: minute, and bytes that rise by so many MiB a minute."""
    dice = random.Random(seed)
    return [(12 + 3.5 * n, MIB * (200 + rise * 3.5 * n + dice.gauss(0, noise))) for n in range(6)]


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_of_half_a_mebibyte_a_minute_fails_the_soak_and_mere_scatter_does_not(seed: int) -> None:
    assert "rises" in grown(rounds(0.5, 0.5, seed))
    assert "rises" in grown(rounds(0.5, 0.0, seed))
    assert "rises" in grown(rounds(0.5, 8.0, seed)), "it may hide in much scatter, but does not pass for that"
    assert grown(rounds(0.0, 0.5, seed)) == ""


def test_what_rises_once_and_stays_is_no_leak_and_what_rises_a_little_each_round_is() -> None:
    assert grown([(12 + 3.5 * n, MIB * (200 if n < 2 else 203)) for n in range(6)]) == ""
    assert "rises" in grown([(12 + 3.5 * n, MIB * (200 + 0.2 * n)) for n in range(6)])


def test_an_interval_of_a_slope_holds_the_true_one_most_of_the_time() -> None:
    held = 0
    for seed in range(200):
        _, least, most = slope(rounds(0.3, 2.0, seed))
        held += least <= 0.3 * MIB <= most
    assert held >= 180
