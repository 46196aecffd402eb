"""The program of docs/lake.md, as it stands there: silent on a lake that is whole, and a name for each difference."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.plugin import Batch, Context, Device, Kind, Tag, Tags
from gateway.testing import FakeSinkHost, build_sink_config, load_plugin, records

PAGE = Path(__file__).parents[3] / "docs" / "lake.md"
SINK = load_plugin(Path(__file__).parents[1])
PRESS = Device("press-1", "test", Tags("press-1", [Tag(1, "press-1", "a", "float64", "bar")]), Context(batch="B-7"))


@pytest.fixture
async def lake(tmp_path: Path) -> Path:
    """Twenty readings in two commits, and the receipt of them."""
    config = build_sink_config(SINK, {"folder": str(tmp_path / "lake"), "name": "lake"})
    sink = SINK(config, FakeSinkHost([PRESS], folder=tmp_path))
    await sink.connect()
    await sink.commit(Batch(records(PRESS, 10)))
    await sink.commit(Batch(records(PRESS, 10, first=11)))
    await sink.commit(Batch([receipt(1, acknowledged=15, pending=5), receipt(2, acknowledged=20, pending=0)]))
    await sink.close()
    return tmp_path / "lake"


def receipt(revision: int, acknowledged: int, pending: int):
    (record,) = records(PRESS, 1, first=revision, kind=Kind.RECEIPT)
    account = {"acknowledged": acknowledged, "pending": pending, "dropped": {}}
    body = {"device": "press-1", "lane": "data", "first": 1, "last": 20, "readings": 20, "context": {"batch": "B-7"}}
    return replace(
        record, body={**body, "revision": revision, "sinks": {"lake": account}, "message": "press-1, 10:00Z"}
    )


def verify(lake: Path) -> tuple[int, str]:
    (code,) = re.findall(r"<!-- verifier -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    program = lake.parent / "verify_lake.py"
    program.write_text(code, encoding="utf-8")
    ran = subprocess.run([sys.executable, program, lake, "lake"], capture_output=True, text=True, check=False)
    assert not ran.stderr
    return ran.returncode, ran.stdout


def test_of_a_lake_that_is_whole_nothing_is_said(lake: Path) -> None:
    assert verify(lake) == (0, "in order: press-1, 10:00Z\n3 files, 20 readings of 20 records, 1 receipts\n\n")


def files(lake: Path) -> list[Path]:
    return sorted(lake.glob("readings/**/*.parquet"))


def gone(lake: Path) -> None:
    files(lake)[0].unlink()


def changed(lake: Path) -> None:
    data = bytearray(files(lake)[0].read_bytes())
    data[len(data) // 2] ^= 1
    files(lake)[0].write_bytes(data)


def unnamed(lake: Path) -> None:
    shutil.copy(files(lake)[0], files(lake)[0].with_name("copy.parquet"))


def commit_gone(lake: Path) -> None:
    next(iter(sorted(lake.glob("_commits/*/*/*.json")))).unlink()


def commit_damaged(lake: Path) -> None:
    sorted(lake.glob("_commits/*/*/*.json"))[1].write_text("{")


def commit_changed(lake: Path) -> None:
    path = min(lake.glob("_commits/*/*/*.json"))
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "devices": {"press-1": 9}}))


def twice(lake: Path) -> None:
    """A second commit names the rows of the first, under a name of its own."""
    first, second = sorted(lake.glob("_commits/*/*/*.json"))[:2]
    copy = files(lake)[0].with_name("again.parquet")
    shutil.copy(files(lake)[0], copy)
    said, of_first = json.loads(second.read_text()), json.loads(first.read_text())["files"][0]
    said["files"].append({**of_first, "path": str(copy.relative_to(lake))})
    second.write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (gone, ["GONE: readings/", "COUNT: commit 1", "MISSING: 10 of 20 readings: press-1"]),
        (changed, ["CHANGED: readings/", "MISSING: 10 of 20 readings"]),
        (unnamed, ["UNNAMED: readings/"]),
        (commit_gone, ["MISSING: commits 1 to 1 of log testlog", "UNNAMED", "MISSING: 10 of 20 readings"]),
        (commit_damaged, ["DAMAGED: ", "UNNAMED", "MISSING: 10 of 20 readings"]),
        (commit_changed, ["CHANGED: the commit before", "COUNT: commit 1 of log testlog has 10 readings, and says 9"]),
        (twice, ["TWICE: reading 0 of testlog:data:1, again in readings/"]),
    ],
)
def test_every_difference_has_a_name(lake: Path, spoil: Callable[[Path], None], said: list[str]) -> None:
    spoil(lake)
    code, words = verify(lake)
    assert code == 1
    assert [each for each in said if each not in words] == [], words
