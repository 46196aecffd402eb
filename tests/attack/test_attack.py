"""A handful of the attacks of `make attack`, one of each kind, and a short soak."""

from pathlib import Path

import pytest

from tests.attack.__main__ import verdict
from tests.attack.attacks import QUIET, load
from tests.attack.soak import soak
from tests.attack.stage import stage

pytestmark = [pytest.mark.system, pytest.mark.slow]

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
"""Bytes in most of a minute."""


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


@pytest.mark.timeout(300)
async def test_memory_does_not_grow_by_much_with_the_attacks(tmp_path: Path) -> None:
    """In a minute caches still fill, so only a gross leak is seen; `make attack SOAK=30min` judges the slope."""
    attacks = load()
    assert await soak([attacks[name] for name in IN_TURNS], tmp_path, 75.0, turn=2.0, least=GROSS) == ""


def test_a_slope_is_seen_through_noise_and_none_where_there_is_none() -> None:
    from tests.attack.measure import longest_gap, slope

    level = [(float(n), 100.0 + (7 * n) % 5) for n in range(60)]
    rising = [(at, value + 3 * at) for at, value in level]
    assert abs(slope(level)[0]) < 0.1
    assert abs(slope(rising)[0] - 3) < 0.1
    assert slope(rising)[1] < 3
    assert longest_gap([1.0, 1.5, 4.0], 0.5, 5.0) == 2.5
    assert longest_gap([], 0.5, 5.0) == 4.5
