"""The simulated driver keeps the contract, and its waves go where they say."""

from pathlib import Path

import numpy as np
import pydantic
import pytest
import pytest_asyncio
import tomli
from hypothesis import given
from hypothesis import strategies as st

from gateway.plugin import LinkError
from gateway.plugin.driver import option_types
from gateway.testing import DriverContract, NoLink, build_device, load_plugin
from plugins.simulated.waves import Waves

HERE = Path(__file__).parents[1]
Simulated = load_plugin(HERE)
_, SimulatedTag = option_types(Simulated)


def waves(*tags, seed=0):
    return Waves([SimulatedTag.model_validate(tag) for tag in tags], seed)


class TestSimulated(DriverContract):
    driver = Simulated
    has_link = False
    good = {"level": 3.5, "state": "running", "speed": -2.0}
    bad = ("broken",)

    @pytest_asyncio.fixture
    async def link(self):
        yield NoLink()

    def device(self, port):
        return build_device(
            self.driver,
            {},
            {
                "level": {"wave": "constant", "mean": 3.5},
                "broken": {"wave": "bad"},
                "state": {"wave": "text", "texts": ["running"]},
                "speed": {"wave": "constant", "mean": -2.0},
            },
        )


def test_waves_repeat_every_period_between_their_bounds():
    shapes = waves(
        *({"wave": wave, "period": "10s", "mean": 50, "amplitude": 20} for wave in ("sine", "ramp", "square"))
    )
    assert shapes.at(0.0) == pytest.approx([50, 30, 70])
    assert shapes.at(2.5) == pytest.approx([70, 40, 70])
    assert shapes.at(5.0) == pytest.approx([50, 50, 30])
    assert shapes.at(12.5) == pytest.approx(shapes.at(2.5))


def test_a_counter_counts_periods_and_a_text_shows_one_a_period():
    both = waves({"wave": "counter", "period": "500ms"}, {"wave": "text", "period": "1s", "texts": ["a", "b"]})
    assert [both.at(t) for t in (0.0, 0.6, 1.2, 2.0)] == [[0.0, "a"], [1.0, "a"], [2.0, "b"], [4.0, "a"]]


def test_noise_has_the_wished_spread_and_comes_back_with_its_seed():
    noisy = {"wave": "constant", "mean": 10, "noise": 0.5}
    values = waves(*[noisy] * 2000, seed=3).at(0.0)
    assert np.std(values) == pytest.approx(0.5, rel=0.1)
    assert np.array_equal(values, waves(*[noisy] * 2000, seed=3).at(0.0))
    assert not np.array_equal(values, waves(*[noisy] * 2000, seed=4).at(0.0))


@given(st.sampled_from(["sine", "ramp", "square", "random"]), st.floats(0, 4e9), st.floats(0, 1e6))
def test_no_wave_ever_leaves_its_bounds(wave, time, amplitude):
    (value,) = waves({"wave": wave, "mean": 0, "amplitude": amplitude}).at(time)
    assert abs(value) <= amplitude


async def test_a_line_fails_after_the_wished_time():
    line = Simulated([build_device(Simulated, {"fail_after": "0s"}, {"a": {}})])
    await line.connect()
    with pytest.raises(LinkError, match="fail_after"):
        await line.read(line.devices[0].tags)
    await line.close()


def test_a_period_of_nothing_is_refused():
    with pytest.raises(pydantic.ValidationError, match="period"):
        SimulatedTag.model_validate({"period": "0s"})


def test_the_sample_is_valid():
    (table,) = tomli.loads((HERE / "sample.toml").read_text())["device"]
    tags = table.pop("tags")
    device = build_device(Simulated, table, tags)
    assert [tag.type for tag in device.tags] == ["float64", "float64", "int64", "string"]
