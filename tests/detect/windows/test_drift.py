"""What a model sees is compared with what it was trained on, and a model far from its training calls nothing normal."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.models.card import Input, parse_card
from gateway.detect.windows.drift import FAR, LEAST_TICKS, STEPS, Drift, _trained, psi, trained_bins
from tests.detect.graphs import CARD, save
from tests.detect.test_detector import Plant, device

CUT = [42.0, 44.0, 46.0, 48.0, 50.0, 52.0, 54.0, 56.0, 58.0]
S = 1_000_000_000
T0 = 1_800_000_000 * S


def card(**changes):
    import json

    inputs = [{**CARD["inputs"][0], "quantiles": CUT}, CARD["inputs"][1]]
    return {**CARD, "inputs": inputs, **changes}, parse_card(
        {"card": json.dumps({**CARD, "inputs": inputs, **changes})}
    )


def trained(*cuts, top=60.0):
    return _trained(Input("x", "", 0, top, 0, 1, tuple(map(float, cuts))))


def test_psi_is_that_of_the_formula():
    counts = np.array([[10, 10, 10, 10, 10, 10, 10, 10, 10, 10], [20, 0, 10, 10, 10, 10, 10, 10, 10, 10]])
    even = np.full((2, 10), 0.1)
    by_hand = (0.2 - 0.1) * math.log(2) + (0.001 - 0.1) * math.log(0.001 / 0.1)
    np.testing.assert_allclose(psi(counts, even), [0, by_hand], atol=1e-12)


def test_cuts_that_are_equal_share_a_bin():
    assert trained(*CUT) == pytest.approx([0.1] * 10)
    assert trained(*[5] * 9, top=5) == pytest.approx([1.0] + [0.0] * 9), "a tag that has only one value"
    assert trained(0, 0, 0, 0, 0, 0, 0, 1, 1, top=1) == pytest.approx([0.7] + [0] * 6 + [0.3] + [0] * 2)


@given(st.lists(st.integers(0, 4) | st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_the_training_data_itself_has_not_drifted_however_few_values_it_has(values):
    data = np.array(values, np.float64)
    cuts, shares = trained_bins(data)
    counts = np.bincount(
        (data.astype(np.float32)[:, np.newaxis] > np.array(cuts, np.float32)).sum(axis=1), minlength=10
    )
    assert psi(counts[np.newaxis], np.array([shares]))[0] == 0


class Counted:
    """A drift over spans of one day in ticks of 60 s, of one asset."""

    def __init__(self):
        self.drift = Drift(card()[1], 2, 86_400 * S)
        self.t = T0
        self.random = np.random.default_rng(3)

    def hours(self, count, low=40.0, high=60.0, scored=True, inside=True, above=False):
        for _ in range(count * 60):
            self.t += 60 * S
            cell = np.array([[self.random.uniform(low, high), 10.0]], np.float32)
            rows, end = np.array([1]), np.array([self.t])
            self.drift.tick(rows, end, cell, np.array([scored]), np.array([inside]))
            if above:
                self.drift.above(rows)
        return self.drift.figures(1)


def test_nothing_is_said_before_a_whole_span():
    counted = Counted()
    assert counted.hours(23) is None
    assert counted.hours(3) is not None


def test_values_as_in_training_have_not_drifted_and_others_have():
    counted = Counted()
    figures = counted.hours(30)
    assert figures.psi < 0.05
    assert figures.reasons == []
    figures = counted.hours(25, low=52, high=62)
    assert figures.psi > FAR
    assert figures.tag == "temp"
    assert figures.reasons == [f"temp is not what it was in training (PSI {figures.psi:.2f})"]
    assert counted.hours(25).reasons == [], "it is forgotten after a span"


def test_missing_and_high_scores_are_told_with_their_shares():
    counted = Counted()
    assert counted.hours(26, scored=False).reasons == ["inputs were missing 100% of the time"]
    assert counted.hours(26, above=True).reasons == ["the score was high 100% of the time, 0.0% was expected"]


def test_a_leap_of_the_clock_begins_anew():
    counted = Counted()
    counted.hours(30)
    counted.t += 40 * 86_400 * S
    assert counted.hours(23) is None
    counted.t -= 10 * 86_400 * S
    assert counted.hours(23) is None
    assert counted.hours(3) is not None


def test_the_other_asset_is_untouched():
    counted = Counted()
    counted.hours(30)
    assert counted.drift.figures(0) is None


@pytest.mark.parametrize(("policy", "state"), [("tell", "running"), ("undecided", "degraded"), ("ignore", "running")])
async def test_what_has_drifted_is_told_once_and_degrades_by_policy(tmp_path, policy, state):
    body, _ = card()
    save(tmp_path / "oven.onnx", card=body)
    one = device()
    span = LEAST_TICKS * 2
    sections = [("oven.onnx", {"devices": ("oven-1",), "drift_span": f"{span}s", "on_drift": policy})]
    plant = Plant(sections, [one], tmp_path)
    await plant.detector.load()
    plant.seconds(round(span * (1 + 4 / STEPS)), [one], temp=58.5)
    entry = plant.devices()["oven-1"]
    assert entry["state"] == state
    assert entry["drift"]["tag"] == "temp"
    if policy == "ignore":
        assert plant.events == []
        return
    (event,) = plant.events
    assert (event.kind, event.state, event.severity, event.device) == ("drift", "raised", "warning", "oven-1")
    assert event.message.startswith('oven-1 has drifted from what model "oven" was trained on: temp is not what it was')
    assert event.detail["drift"]["psi"] > FAR
    random = np.random.default_rng(1)
    for _ in range(round(span * (1 + 4 / STEPS))):
        plant.seconds(1, [one], temp=random.uniform(40, 60))
    assert [(each.kind, each.state) for each in plant.events] == [("drift", "raised"), ("drift", "cleared")]
    assert plant.events[0].id == plant.events[1].id
    assert plant.devices()["oven-1"]["state"] == "running"
