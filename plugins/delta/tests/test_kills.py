"""kill -9 while committing: what the log holds is in the tables, each record once."""

from pathlib import Path

import pytest

from tests.publish.killed_sink import killed

from .reading import ids


@pytest.mark.parametrize("kills", [12, pytest.param(150, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_sink_that_is_killed_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path: Path, kills: int) -> None:
    held = killed(tmp_path, kills, "delta", {"folder": "lake"})
    found = ids(tmp_path / "lake")
    assert len(found) == len(set(found))
    assert {*held["readings"], *held["events"]} <= set(found)
    assert {each for each in found if ":data:" in each} == set(held["readings"])
