"""Delta tables in an object store that fails, hangs up and loses answers: each record is there once."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from gateway.plugin import Batch, Context, Device, LinkError, Tag, Tags
from gateway.testing import FakeSinkHost, build_sink_config, load_plugin, records
from tests.peers.s3_server import S3, fair, s3_server

SINK = load_plugin(Path(__file__).parents[1])
PRESS = Device("press-1", "test", Tags("press-1", [Tag(1, "press-1", "a", "float64", "bar")]), Context(batch="B-7"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as s3:
        yield s3


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    monkeypatch.setenv("LAKE_SECRET", "secret")
    server.fate = fair
    server.remove_bucket("lake")
    server.make_bucket("lake")
    yield server
    server.fate = fair


@asynccontextmanager
async def lake(place: Path, s3: S3) -> AsyncIterator[Any]:
    state = place / "state"
    state.mkdir(exist_ok=True)
    sink = SINK(build_sink_config(SINK, s3.config()), FakeSinkHost([PRESS], folder=state))
    await sink.connect()
    try:
        yield sink
    finally:
        await sink.close()


def numbers(s3: S3) -> list[int]:
    config = build_sink_config(SINK, s3.config())
    table = DeltaTable("s3://lake/line-3/readings", storage_options=config.store_options())  # type: ignore[attr-defined]
    return sorted(table.to_pyarrow_table()["seq"].to_pylist())


@pytest.mark.parametrize("fate", ["500", "cut", "deaf"])
@pytest.mark.parametrize("what", [".parquet", "_delta_log"])
@pytest.mark.parametrize("times", [1, 4])
async def test_a_store_that_fails_in_mid_commit_has_each_record_once(
    tmp_path: Path, s3: S3, fate: str, what: str, times: int
) -> None:
    """Also where the commit was done and its answer lost."""
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, 5)))
        ends = itertools.chain([fate] * times, itertools.repeat(""))
        s3.fate = lambda method, path: next(ends) if method == "PUT" and what in path else ""
        try:
            await sink.commit(Batch(records(PRESS, 12)))
        except LinkError as error:
            assert "s3://lake/line-3" in str(error)
        s3.fate = fair
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, 20)))
    assert numbers(s3) == list(range(1, 21))


async def test_a_bucket_that_is_gone_is_told(tmp_path: Path, s3: S3) -> None:
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, 5)))
        s3.remove_bucket("lake")
        with pytest.raises(LinkError, match="s3://lake/line-3"):
            await sink.commit(Batch(records(PRESS, 9)))
