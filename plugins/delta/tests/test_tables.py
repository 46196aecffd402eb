"""What stands in the tables, how they grow, and what becomes of tables that somebody has changed."""

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from gateway.plugin import Batch, Context, Device, LinkError, Readings, RefusedError, Tag, Tags
from gateway.testing import FakeSinkHost, build_sink_config, load_plugin, records

from .reading import ids, rows

SINK = load_plugin(Path(__file__).parents[1])
PRESS = Device("press-1", "test", Tags("press-1", [Tag(1, "press-1", "a", "float64", "bar")]), Context(batch="B-7"))


@asynccontextmanager
async def lake(place: Path, host: FakeSinkHost | None = None, **options: Any) -> Any:
    state = place / "state"
    state.mkdir(exist_ok=True)
    config = build_sink_config(SINK, {"folder": str(place / "lake"), **options})
    sink = SINK(config, host or FakeSinkHost([PRESS], folder=state))
    await sink.connect()
    try:
        yield sink
    finally:
        await sink.close()


async def test_each_commit_is_a_version_and_a_reader_may_travel_to_it(tmp_path: Path) -> None:
    async with lake(tmp_path) as sink:
        for first in (1, 11, 21):
            await sink.commit(Batch(records(PRESS, 10, first=first)))
    assert [rows(tmp_path / "lake", version=version).num_rows for version in range(3)] == [10, 20, 30]
    table = DeltaTable(tmp_path / "lake/readings")
    assert (table.transaction_version("testlog:data"), table.transaction_version("testlog")) == (30, 3)
    files = [str(tmp_path / "lake/readings" / name) for name in table.file_uris()]
    read = duckdb.sql(f"select count(*), min(seq), max(seq), any_value(batch) from read_parquet({files})").fetchall()
    assert read == [(30, 1, 30, "B-7")]


async def test_a_lost_note_and_a_history_that_was_cleaned_double_nothing(tmp_path: Path) -> None:
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(PRESS, 10)))
    place = tmp_path / "lake/readings"
    kept = pa.table({"tag": ["of another"], "date": pa.array([20_000], pa.date32())})
    write_deltalake(place, kept, mode="append", schema_mode="merge")
    DeltaTable(place).create_checkpoint()
    (place / "_delta_log" / f"{0:020}.json").unlink()  # as after 30 days
    (tmp_path / "state/readings.json").unlink()
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(PRESS, 15)))
    found = [each for each in ids(tmp_path / "lake") if each.startswith("testlog:")]
    assert sorted(found) == sorted(record.id for record in records(PRESS, 15))


async def test_files_are_compacted_without_a_row_more_or_less(tmp_path: Path) -> None:
    host = FakeSinkHost([PRESS], folder=tmp_path / "state")
    (tmp_path / "state").mkdir()
    async with lake(tmp_path, host) as sink:
        for first in range(1, 61, 10):
            await sink.commit(Batch(records(PRESS, 10, first=first)))
        before = len(DeltaTable(tmp_path / "lake/readings").file_uris())
        host.memory["compacted"]["readings"] = float("-inf")
        await sink.commit(Batch(records(PRESS, 10, first=61)))
    table = DeltaTable(tmp_path / "lake/readings")
    assert before == 6
    assert len(table.file_uris()) < before
    assert len(ids(tmp_path / "lake")) == len(set(ids(tmp_path / "lake"))) == 70
    assert rows(tmp_path / "lake", version=2).num_rows == 30, "who travels back still can"


async def test_the_schema_grows_by_what_somebody_added_and_by_what_a_later_version_adds(tmp_path: Path) -> None:
    kept = pa.table({"note": ["by hand"], "tag": ["a"], "date": pa.array([20_000], pa.date32())})
    (tmp_path / "lake").mkdir()
    write_deltalake(tmp_path / "lake/readings", kept, partition_by=["date"])
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(PRESS, 3)))
    read = rows(tmp_path / "lake").to_pylist()
    assert sorted(str(row["note"]) for row in read) == ["None", "None", "None", "by hand"]


async def test_a_column_that_was_made_another_type_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(PRESS, 3)))
    table = rows(tmp_path / "lake")
    changed = table.set_column(table.column_names.index("value"), "value", table["value"].cast(pa.string()))
    write_deltalake(tmp_path / "lake/readings", changed, mode="overwrite", schema_mode="overwrite")
    async with lake(tmp_path) as sink:
        with pytest.raises(RefusedError, match='changed the table: column "value" is'):
            await sink.commit(Batch(records(PRESS, 6)))
    write_deltalake(tmp_path / "lake/readings", table, mode="overwrite", schema_mode="overwrite")
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(PRESS, 6)))
    assert len(ids(tmp_path / "lake")) == 6


async def test_a_table_that_is_gone_is_told_and_not_made_anew(tmp_path: Path) -> None:
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(PRESS, 3)))
    (tmp_path / "lake/readings").rename(tmp_path / "away")
    with pytest.raises(RefusedError, match="is gone, though"):
        async with lake(tmp_path):
            pass
    (tmp_path / "state/readings.json").unlink()  # as it says
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(PRESS, 3)))
    assert len(ids(tmp_path / "lake")) == 3


async def test_a_damaged_log_of_the_table_is_told(tmp_path: Path) -> None:
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(PRESS, 3)))
    (entry,) = (tmp_path / "lake/readings/_delta_log").glob("*.json")
    entry.write_text("{")
    with pytest.raises(LinkError):
        async with lake(tmp_path):
            pass


async def test_a_wild_clock_makes_only_so_many_files(tmp_path: Path) -> None:
    day = 86_400_000_000_000
    (record,) = records(PRESS, 1)
    times = np.array([1_800_000_000_000_000_000 - n * day for n in range(60)])
    record.readings = Readings(PRESS, times, np.ones(60, np.uint32), np.arange(60.0), np.zeros(60, np.uint32))
    async with lake(tmp_path) as sink:
        await sink.commit(Batch([record]))
    assert len(DeltaTable(tmp_path / "lake/readings").file_uris()) == 33
    assert rows(tmp_path / "lake").num_rows == 60
