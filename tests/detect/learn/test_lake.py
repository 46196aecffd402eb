"""Learning from what the sinks `parquet` and `delta` have written."""

from pathlib import Path

import numpy as np
import pytest

from gateway.core.context import Context
from gateway.core.errors import GatewayError
from gateway.core.quality import BAD_TIMEOUT
from gateway.core.tag import Device, Tag, Tags
from gateway.detect.learn.sources import read_file
from gateway.plugin.range_sink import Batch
from gateway.testing import FakeSinkHost, build_sink_config, load_plugin, records

PLUGINS = Path(__file__).parents[3] / "plugins"


def device(name: str, first: int) -> Device:
    tags = [Tag(first, name, "temp", "float64", "°C"), Tag(first + 1, name, "speed", "float64", "rpm")]
    return Device(name, "test", Tags(name, tags), Context(batch="B-7"))


@pytest.fixture(params=["parquet", "delta"])
async def lake(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    pytest.importorskip("deltalake", reason="pip install deltalake")
    press, oven = device("press-1", 1), device("oven-1", 3)
    sink_type = load_plugin(PLUGINS / request.param)
    sink = sink_type(
        build_sink_config(sink_type, {"folder": str(tmp_path / "lake")}), FakeSinkHost([press, oven], folder=tmp_path)
    )
    await sink.connect()
    some = records(press, 10)
    some[3].readings.quality[0] = BAD_TIMEOUT
    await sink.commit(Batch(some))
    await sink.commit(Batch(records(oven, 5, first=11)))
    await sink.close()
    return tmp_path / "lake"


async def test_a_lake_gives_the_readings_of_one_device_with_their_units(lake: Path) -> None:
    table = read_file(lake, "press-1")
    at = dict(zip(table.tags, table.rows.T, strict=True))
    assert dict(zip(table.tags, table.units, strict=True)) == {"temp": "°C", "speed": "rpm"}
    assert at["speed"].tolist() == [float(n) for n in range(2, 12)]
    assert np.flatnonzero(np.isnan(at["temp"])).tolist() == [3], "what is bad is not learned"
    assert table.t_ns.tolist() == [1_800_000_000_000_000_000 + n * 1_000_000_000 for n in range(1, 11)]


async def test_of_several_devices_one_must_be_named(lake: Path) -> None:
    with pytest.raises(GatewayError, match="holds 2 devices"):
        read_file(lake)
    with pytest.raises(GatewayError, match='nothing of device "pump-1"'):
        read_file(lake, "pump-1")


def test_a_folder_that_is_no_lake_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no lake")
    with pytest.raises(GatewayError, match=str(tmp_path)):
        read_file(tmp_path)
