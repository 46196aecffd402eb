"""A lake in an object store that fails, times out, throttles, hangs up and loses answers: each record is there once."""

import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import from_url
from pyarrow import BufferReader, parquet

from gateway.kit import lake_place
from gateway.plugin import Batch, Context, Device, LinkError, RefusedError, Tag, Tags, parse_json
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
    server.requests.clear()
    server.remove_bucket("lake")
    server.make_bucket("lake")
    yield server
    server.fate = fair


@asynccontextmanager
async def lake(place: Path, s3: S3, **options: Any) -> AsyncIterator[Any]:
    state = place / "state"
    state.mkdir(exist_ok=True)
    sink = SINK(build_sink_config(SINK, s3.config(**options)), FakeSinkHost([PRESS], folder=state))
    await sink.connect()
    try:
        yield sink
    finally:
        await sink.close()


def stored(s3: S3) -> dict[str, bytes]:
    options = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "aws_region": "us-east-1"}
    options |= {"aws_endpoint": f"http://127.0.0.1:{s3.port}", "aws_virtual_hosted_style_request": "false"}
    store = from_url("s3://lake/line-3", config=options, client_options={"allow_http": True})
    listed = [each["path"] for some in obstore.list(store) for each in some]
    return {name: bytes(obstore.get(store, name).bytes()) for name in listed}


def numbers(s3: S3) -> list[int]:
    """Of all records that any reader finds: each object is one that a manifest names, with its hash."""
    files = stored(s3)
    said = [parse_json(data) for name, data in files.items() if name.startswith("_commits/")]
    named = {file["path"]: file["sha256"] for each in said for file in each["files"]}
    there = {name: data for name, data in files.items() if name.endswith(".parquet")}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in there.items()} == named
    return sorted(
        n for data in there.values() for n in parquet.ParquetFile(BufferReader(data)).read()["seq"].to_pylist()
    )


async def test_commits_are_there_and_known_again_by_a_gateway_that_has_lost_its_state(tmp_path: Path, s3: S3) -> None:
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, 10)))
        assert "a lake that gateway-1 has begun" in await sink.check()
    (tmp_path / "state").rename(tmp_path / "lost")
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, 25)))
    assert numbers(s3) == list(range(1, 26))


@pytest.mark.parametrize("fate", ["500", "503", "silence", "cut", "deaf"])
@pytest.mark.parametrize("what", ["/readings/", "/_commits/"])
async def test_a_store_that_fails_in_mid_commit_gets_the_same_files_again(
    tmp_path: Path, s3: S3, fate: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fate == "silence":
        monkeypatch.setattr(lake_place, "TIMEOUT", "1s")
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, 5)))
        assert numbers(s3) == [1, 2, 3, 4, 5]
        s3.fate = lambda method, path: fate if method == "PUT" and what in path else ""
        try:
            await sink.commit(Batch(records(PRESS, 12)))
        except LinkError as error:
            assert "s3://lake/line-3" in str(error)
        s3.fate = fair
    monkeypatch.undo()
    monkeypatch.setenv("LAKE_SECRET", "secret")
    async with lake(tmp_path, s3) as sink:  # finishes what was sealed; then the records come, cut otherwise
        await sink.commit(Batch(records(PRESS, 20)))
    assert numbers(s3) == list(range(1, 21))


@pytest.mark.slow
async def test_whatever_fails_at_random_nothing_is_lost_and_nothing_doubled(tmp_path: Path, s3: S3) -> None:
    chance = random.Random(7)
    s3.fate = lambda method, path: chance.choice(["", "", "", "500", "503", "cut", "deaf", "deaf"])
    done = 0
    for _ in range(60):
        try:
            async with lake(tmp_path, s3) as sink:
                for _ in range(3):
                    upto = done + chance.randint(1, 9)
                    await sink.commit(Batch(records(PRESS, upto - max(0, done - 5), first=max(0, done - 5) + 1)))
                    done = upto
        except LinkError:
            done = max(0, done - chance.randint(0, 5))  # the outbox's cursor is a hint
    s3.fate = fair
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, done + 5)))
    found = numbers(s3)
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= done + 5


async def test_a_bucket_that_is_gone_is_told_and_not_made(tmp_path: Path, s3: S3) -> None:
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, 5)))
        s3.remove_bucket("lake")
        with pytest.raises(LinkError, match="the bucket is not there"):
            await sink.commit(Batch(records(PRESS, 9)))
    with pytest.raises(LinkError, match="the bucket is not there"):
        async with lake(tmp_path, s3):
            pass
    s3.make_bucket("lake")
    with pytest.raises(RefusedError, match="is gone, though this sink has written there"):
        async with lake(tmp_path, s3):
            pass


async def test_a_lake_is_never_begun_twice_nor_a_commit_of_another_written_over(tmp_path: Path, s3: S3) -> None:
    async with lake(tmp_path, s3) as sink:
        await sink.commit(Batch(records(PRESS, 5)))
        other = tmp_path / "other"
        other.mkdir()
        async with lake(other, s3, name="another") as second:
            await second.commit(Batch(records(PRESS, 9)))
        with pytest.raises(LinkError, match="does another gateway write here"):
            await sink.commit(Batch(records(PRESS, 7)))
