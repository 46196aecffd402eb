"""kill -9 while committing: what the log holds is in the lake, each record once."""

from pathlib import Path

import pytest

from tests.publish.killed_sink import killed

from .reading import lake_ids, manifests


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_sink_that_is_killed_at_any_step_loses_nothing_and_doubles_nothing(tmp_path: Path, kills: int) -> None:
    held = killed(tmp_path, kills, "parquet", {"folder": "lake"})
    ids = lake_ids(tmp_path / "lake")
    assert len(ids) == len(set(ids))
    assert {*held["readings"], *held["events"]} <= set(ids)
    more = set(ids) - {*held["readings"], *held["events"]}
    assert not any(":data:" in each for each in more if each not in skipped(tmp_path / "lake")), "what no log holds"
    listed = manifests(tmp_path / "lake")
    assert [each["commit"] for each in listed] == list(range(1, len(listed) + 1))
    assert not list((tmp_path / "lake").glob("_staging/*/*"))


def skipped(lake: Path) -> set[str]:
    """Ids of the records that say which numbers an unclean stop has skipped."""
    from pyarrow import parquet

    table = parquet.read_table(lake / "records", columns=["log", "lane", "seq", "kind"], partitioning=None).to_pylist()
    return {f"{row['log']}:{row['lane']}:{row['seq']}" for row in table if row["kind"] == "skip"}
