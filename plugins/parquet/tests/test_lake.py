"""What stands in the lake, and what becomes of places that are not as they should be."""

import errno
import os
import stat
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from gateway.core.clock import ClockState
from gateway.core.quality import BAD_NO_COMMUNICATION, HISTORICAL
from gateway.kit.table import READINGS, RECORDS
from gateway.plugin import Batch, Context, Device, Kind, Lane, LinkError, Readings, Record, RefusedError, Tag, Tags
from gateway.testing import FakeSinkHost, build_sink_config, load_plugin, records

from .reading import lake_ids, manifests

SINK = load_plugin(Path(__file__).parents[1])
IDS = count(1)
T0 = 1_800_000_000_123_456_789


def device(types: dict[str, str], name: str = "press-1") -> Device:
    tags = [Tag(next(IDS), name, tag, kind, "bar") for tag, kind in types.items()]
    return Device(name, "test", Tags(name, tags), Context(site="north", batch="B-7"))


def record(of: Device, seq: int, values: list[float], **given: Any) -> Record:
    n = len(values)
    readings = Readings(
        of,
        np.array(given.get("times", [T0 + seq] * n), np.int64),
        of.tags.ids[:n],
        np.array(values),
        np.array(given.get("quality", [0] * n), np.uint32),
        given.get("exact", {}),
    )
    return Record(
        "log1", Lane.DATA, seq, Kind.READINGS, T0 + 5, seq, 1, 0, "0badcafe", n, readings, clock=ClockState.NOT_YET
    )


@asynccontextmanager
async def lake(place: Path, devices: Any = (), **options: Any) -> Any:
    state = place / "state"
    state.mkdir(exist_ok=True)
    config = build_sink_config(SINK, {"folder": str(place / "lake"), **options})
    sink = SINK(config, FakeSinkHost(devices, folder=state))
    await sink.connect()
    try:
        yield sink
    finally:
        await sink.close()


def read(place: Path, table: str = "readings") -> list[dict[str, Any]]:
    return parquet.read_table(place / "lake" / table).to_pylist()


async def test_every_type_stands_in_a_column_of_its_own(tmp_path: Path) -> None:
    types = {
        "f": "float64",
        "i": "int32",
        "big": "uint64",
        "huge": "uint64",
        "on": "bool",
        "text": "string",
        "raw": "bytes",
    }
    press = device({**types, "array": "", "bad": "float32", "fraction": "int16"})
    nan = float("nan")
    exact = {2: 2**60 + 1, 3: 2**64 - 1, 5: 'A "17"\ud800', 6: b"\x00\xff", 7: [1, {"a": [2.5]}]}
    quality = [0, HISTORICAL, 0, 0, 0, 0, 0, 0, BAD_NO_COMMUNICATION, 0]
    async with lake(tmp_path, [press]) as sink:
        values = [0.1, -7.0, nan, nan, 1.0, nan, nan, nan, nan, 2.5]
        await sink.commit(Batch([record(press, 1, values, exact=exact, quality=quality)]))
    rows = {row["tag"]: row for row in read(tmp_path)}
    said = ("value", "value_int", "value_bool", "value_text", "value_bytes", "value_json")
    found = {tag: {name: row[name] for name in said if row[name] is not None} for tag, row in rows.items()}
    assert found == {
        "f": {"value": 0.1},
        "i": {"value": -7.0, "value_int": -7},
        "big": {"value_int": 2**60 + 1},
        "huge": {"value_json": str(2**64 - 1)},
        "on": {"value": 1.0, "value_bool": True},
        "text": {"value_text": 'A "17"\\ud800'},
        "raw": {"value_bytes": b"\x00\xff"},
        "array": {"value_json": '[1, {"a": [2.5]}]'},
        "bad": {},
        "fraction": {"value": 2.5},
    }
    assert (rows["bad"]["quality"], rows["bad"]["code"]) == ("bad no communication", BAD_NO_COMMUNICATION)
    assert (rows["i"]["historical"], rows["f"]["historical"]) == (True, False)
    first = rows["f"]
    whole = int(first["time"].timestamp() * 1_000_000) * 1000 + first["time_ns"]
    assert abs(whole - (T0 + 1)) <= 1000, "a float of seconds has microseconds"
    assert first["time_ns"] == (T0 + 1) % 1000
    assert {name: first[name] for name in ("clock", "batch", "site", "unit", "config", "log", "lane", "seq", "row")} == {
        "clock": "not yet synchronised", "batch": "B-7", "site": "north", "unit": "bar", "config": "0badcafe",
        "log": "log1", "lane": "data", "seq": 1, "row": 0,
    }  # fmt: skip
    assert [rows[tag]["row"] for tag in press_order(press)] == list(range(10))


def press_order(of: Device) -> list[str]:
    return [tag.name for tag in of.tags]


async def test_files_of_all_commits_have_one_schema_also_where_a_column_is_empty(tmp_path: Path) -> None:
    numbers, texts = device({"a": "float64"}), device({"b": "string"}, "reader-1")
    async with lake(tmp_path, [numbers, texts]) as sink:
        await sink.commit(Batch([record(numbers, 1, [1.0])]))
        await sink.commit(Batch([record(texts, 2, [float("nan")], exact={0: "x"})]))
    schemas = {str(parquet.read_schema(path)) for path in (tmp_path / "lake/readings").rglob("*.parquet")}
    assert len(schemas) == 1


async def test_duckdb_reads_it_without_us(tmp_path: Path) -> None:
    press, oven = device({"a": "float64", "b": "int32"}), device({"a": "float64", "b": "int32"}, "öven 2/b")
    async with lake(tmp_path, [press, oven]) as sink:
        for seq in range(1, 21):
            await sink.commit(Batch([record(press if seq % 2 else oven, seq, [seq / 2, seq])]))
    rows = duckdb.sql(
        f"select device, tag, count(*), sum(value) from read_parquet('{tmp_path}/lake/readings/**/*.parquet', "
        "hive_partitioning = true) group by all order by all"
    ).fetchall()
    assert rows == [
        ("press-1", "a", 10, 50.0), ("press-1", "b", 10, 100.0), ("öven 2/b", "a", 10, 55.0), ("öven 2/b", "b", 10, 110.0),
    ]  # fmt: skip


async def test_days_part_the_files_and_a_wild_clock_makes_only_so_many(tmp_path: Path) -> None:
    press = device({f"t{n}": "float64" for n in range(60)})
    day = 86_400_000_000_000
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch([record(press, 1, [1.0] * 2, times=[T0, T0 + day])]))
        assert {path.name for path in (tmp_path / "lake/readings").iterdir()} == {"date=2027-01-15", "date=2027-01-16"}
        await sink.commit(Batch([record(press, 2, [1.0] * 60, times=[T0 - n * day for n in range(60)])]))
    days = sorted(path.name for path in (tmp_path / "lake/readings").iterdir())
    assert len(days) == 2 + 32 + 1
    assert "date=__HIVE_DEFAULT_PARTITION__" in days
    assert len(read(tmp_path)) == 62


@pytest.mark.parametrize(("number", "own"), [(16, True), (17, False)])
async def test_few_devices_have_folders_of_their_own_and_many_share_some(
    tmp_path: Path, number: int, own: bool
) -> None:
    devices = [device({"a": "float64"}, f"d{n}") for n in range(number)]
    async with lake(tmp_path, devices) as sink:
        await sink.commit(Batch([record(each, seq, [1.0]) for seq, each in enumerate(devices, 1)]))
        folders = {path.parent.name for path in (tmp_path / "lake/readings").rglob("*.parquet")}
        assert (folders == {f"part=d{n}" for n in range(number)}) == own
        assert len(folders) <= 16
    async with lake(tmp_path, devices[:1]) as sink:  # it stays as it was, whatever the number of devices is later
        await sink.commit(Batch([record(devices[0], 100, [1.0])]))
        assert {path.parent.name for path in (tmp_path / "lake/readings").rglob("*.parquet")} == folders
    with pytest.raises(RefusedError, match="stays so"):
        async with lake(tmp_path, devices, partition="date"):
            pass


async def test_manifests_count_what_is_there_and_follow_each_other(tmp_path: Path) -> None:
    press = device({"a": "float64", "b": "float64"})
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch([record(press, seq, [1.0, 2.0]) for seq in (5, 6, 9)]))
        await sink.commit(Batch([replace(each, log="log1") for each in records(press, 3, kind=Kind.EVENT)]))
        await sink.commit(Batch([record(press, 12, [1.0, 2.0])]))
    first, second, third = (each | {} for each in manifests(tmp_path / "lake"))
    assert first["lanes"] == {"data": {"first": 5, "last": 9, "records": 3, "readings": 6}}
    assert first["devices"] == {"press-1": 6}
    assert (second["devices"], third["committed"]["lanes"]) == ({}, {"log1:alarm": [[1, 4]], "log1:data": [[5, 13]]})
    assert sum(file["rows"] for each in (first, second, third) for file in each["files"]) == 11
    assert third["before"] != ""


# Places that are not as they should be


async def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("no folder")
    with pytest.raises(RefusedError, match="is a file, not a folder"):
        async with lake(tmp_path):
            pass


async def test_a_folder_whose_disk_is_not_mounted_is_not_made_on_the_disk_below(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="mounted"):
        async with lake(tmp_path, folder=str(tmp_path / "mnt" / "lake")):
            pass
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(device({"a": "float64"}), 1)))
    (tmp_path / "lake").rename(tmp_path / "unmounted")
    (tmp_path / "lake").mkdir()
    with pytest.raises(RefusedError, match="mounted"):
        async with lake(tmp_path):
            pass
    (tmp_path / "lake/_lake.json").touch()  # as the error says, to begin anew
    async with lake(tmp_path) as sink:
        await sink.commit(Batch(records(device({"a": "float64"}), 2)))
    assert len(lake_ids(tmp_path / "lake")) == 2


async def test_a_foreign_file_in_the_way_is_told_and_left_alone(tmp_path: Path) -> None:
    press = device({"a": "float64"})
    async with lake(tmp_path, [press]) as sink:
        (tmp_path / "lake/readings").write_text("not ours")
        (tmp_path / "lake/notes.txt").write_text("not ours")
        with pytest.raises(LinkError, match="in the way"):
            await sink.commit(Batch(records(press, 2)))
        (tmp_path / "lake/readings").rename(tmp_path / "moved")
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch(records(press, 2)))
    assert len(lake_ids(tmp_path / "lake")) == 2
    assert (tmp_path / "lake/notes.txt").read_text() == "not ours"


async def test_a_full_disk_while_a_file_is_sealed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    press = device({"a": "float64"})
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch(records(press, 5)))
        real = os.fsync

        def full(descriptor: int) -> None:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(LinkError, match="no room for the next commit, which waits in the outbox"):
            await sink.commit(Batch(records(press, 10)))
        monkeypatch.setattr(os, "fsync", real)
        assert not list((tmp_path / "lake/_staging").rglob("*.parquet"))
        await sink.commit(Batch(records(press, 10)))
    assert len(lake_ids(tmp_path / "lake")) == 10


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1}', b'{"format":1,"lake":[],"commit":{},"committed":[]}'])
async def test_what_was_noted_beside_the_outbox_is_not_believed_because_it_is_there(
    tmp_path: Path, content: bytes
) -> None:
    press = device({"a": "float64"})
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch(records(press, 5)))
    (tmp_path / "state/testlog.json").write_bytes(content)
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch(records(press, 7)))
    assert len(lake_ids(tmp_path / "lake")) == 7


async def test_a_state_of_last_week_does_not_write_over_the_commits_since(tmp_path: Path) -> None:
    press = device({"a": "float64"})
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch(records(press, 5)))
        noted = (tmp_path / "state/testlog.json").read_bytes()
        await sink.commit(Batch(records(press, 9)))
    (tmp_path / "state/testlog.json").write_bytes(noted)
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch(records(press, 12)))
    assert len(lake_ids(tmp_path / "lake")) == 12
    assert len(manifests(tmp_path / "lake")) == 3


async def test_another_sink_of_this_gateway_with_another_selection_needs_a_lake_of_its_own(tmp_path: Path) -> None:
    press = device({"a": "float64"})
    async with lake(tmp_path, [press]) as sink:
        await sink.commit(Batch(records(press, 5)))
    (tmp_path / "state").rename(tmp_path / "before")
    async with lake(tmp_path, [press], name="renamed") as sink:
        await sink.commit(Batch(records(press, 7)))
    assert len(lake_ids(tmp_path / "lake")) == 7
    (tmp_path / "state").rename(tmp_path / "before-that")
    async with lake(tmp_path, [press], name="other", only={"tags": ["a"]}) as sink:
        with pytest.raises(RefusedError, match="a folder of its own"):
            await sink.commit(Batch(records(press, 9)))


def test_options_that_make_no_sense_are_refused() -> None:
    for options, said in (
        ({}, "folder or url"),
        ({"folder": "a", "url": "s3://b/c"}, "folder or url"),
        ({"url": "ftp://b"}, "s3://BUCKET"),
        ({"url": "s3://key:secret@b/c"}, "secret"),
        ({"url": "s3://b", "endpoint": "http://h:1"}, "allow_http"),
        ({"folder": "a", "order": "live-first"}, "strict"),
    ):
        with pytest.raises(ValueError, match=said):
            build_sink_config(SINK, options)


def test_no_column_is_of_a_type_that_delta_or_spark_does_not_know() -> None:
    kinds = [field.type for schema in (READINGS, RECORDS) for field in schema]
    assert not any(pa.types.is_unsigned_integer(kind) or kind == pa.timestamp("ns", tz="UTC") for kind in kinds)
