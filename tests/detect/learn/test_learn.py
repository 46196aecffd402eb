"""From a device's own normal data comes a packaged model that the gateway itself takes; too little is said plainly."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.learn.cells import cells, usual_period_ns
from gateway.detect.learn.ensemble import FARTHEST, LONG, fit, raw_score, window_means
from gateway.detect.learn.ensemble_graph import graph
from gateway.detect.learn.package import Order, TooLittleDataError, learn
from gateway.detect.learn.report_page import report
from gateway.detect.learn.table import Table
from gateway.detect.models.card import parse_card
from gateway.detect.models.onnx_file import parse_onnx, with_metadata
from gateway.detect.models.session import ModelSession, open_model
from gateway.detect.windows.offline import label
from tests.detect.learn.learning import BEGIN, SECOND, TAGS, UNITS, running


@pytest.fixture(scope="module")
def learned():
    return learn(running(), Order("mixer", asset_type="mixer-1", author="test", source="made up"))


@pytest.fixture
def opened(learned, tmp_path):
    path = tmp_path / "mixer.onnx"
    path.write_bytes(learned.content)
    return open_model(path, 20)


def above(opened, table):
    found = label(opened, table.t_ns, table.rows)
    return found, np.nan_to_num(found.score) > opened.card.threshold


def test_a_learned_model_passes_the_gateways_own_checks_and_scores_in_batches(opened):
    card = opened.card
    assert (card.name, card.window, card.period_ms, card.tags) == ("mixer", LONG, 1000, TAGS)
    assert tuple(entry.unit for entry in card.inputs) == UNITS
    assert card.golden is not None
    assert card.golden.score > 1
    assert opened.session.batched
    assert all(len(entry.quantiles) == 9 and entry.min < entry.expected < entry.max for entry in card.inputs)
    assert card.training["from"] == "2023-11-14T22:13:20.000000000Z"
    assert card.training["rows"] == 900


def test_the_onnx_package_finds_no_fault_with_the_file(learned):
    onnx = pytest.importorskip("onnx", reason="needs the package onnx: pip install onnx")
    model = onnx.load_from_string(learned.content)
    onnx.checker.check_model(model, full_check=True)
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["card"])["name"] == "mixer"


def test_the_same_data_gives_the_same_file_and_report(learned):
    again = learn(running(), Order("mixer", asset_type="mixer-1", author="test", source="made up"))
    assert again.content == learned.content
    assert report(again) == report(learned)


def test_a_fault_is_found_with_its_tag_and_normal_running_raises_nothing(opened):
    normal, high = above(opened, running(seed=2))
    assert not normal.active.any()
    assert high.mean() < 0.01
    faulty, _ = above(opened, running(seed=3, fault=600))
    assert not faulty.active[:600].any()
    assert faulty.active[630:].all()
    window = running(seed=3, fault=600).rows[700 : 700 + LONG].astype(np.float32)
    scores = opened.session.explain(window)
    assert TAGS[int(scores.contribution[0].argmax())] == "flow"
    assert scores.expected[0, 1] > window[-1, 1] + 1


def test_the_limit_comes_from_windows_that_the_fit_did_not_see(tmp_path):
    """With many tags and few rows, a limit from the rows of the fit would call most normal rows unusual."""
    rng = np.random.default_rng(5)
    mixing = rng.standard_normal((40, 40))
    rows = rng.standard_normal((1200, 40)) @ mixing
    tags = tuple(f"x{number}" for number in range(40))
    t_ns = BEGIN + np.arange(1200) * SECOND
    path = tmp_path / "wide.onnx"
    path.write_bytes(learn(Table(tags, ("",) * 40, t_ns[:400], rows[:400]), Order("wide")).content)
    _, high = above(open_model(path), Table(tags, ("",) * 40, t_ns[400:], rows[400:]))
    assert high.mean() < 0.01

    scaled = (rows - rows[:400].mean(axis=0)) / rows[:400].std(axis=0)
    seen, later = (window_means(scaled, ends) for ends in (np.arange(LONG - 1, 400), np.arange(400 + LONG, 1200)))
    found = fit(seen)
    limits = np.quantile(found.views(seen), 0.9, axis=0)
    of_fit = np.quantile(raw_score(found.views(seen), limits), 0.999)
    assert (raw_score(found.views(later), limits) > of_fit).mean() > 0.1


def test_the_graph_computes_what_was_fitted(tmp_path):
    table = running(600)
    rows = table.rows
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    scaled = np.clip((rows - center) / scale, -FARTHEST, FARTHEST)
    ends = np.arange(LONG - 1, 600)
    means = window_means(scaled, ends)
    found = fit(means)
    limits = np.quantile(found.views(means), 0.9, axis=0)
    wanted = raw_score(found.views(means), limits) / 1.5
    card = json.loads(parse_onnx(tmp_path, learn(table, Order("x")).content).metadata["card"])
    del card["golden"]
    content = with_metadata(graph(found, center, scale, limits, 1.5), "card", json.dumps(card))
    file = parse_onnx(tmp_path, content)
    windows = np.stack([rows[end + 1 - LONG : end + 1] for end in ends]).astype(np.float32)
    np.testing.assert_allclose(
        ModelSession(file, parse_card(file.metadata)).score(windows).score, wanted, rtol=1e-3, atol=1e-4
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_however_far_off_a_value_is_the_score_is_a_number_and_not_small(learned, row):
    file = parse_onnx("x", learned.content)
    session = ModelSession(file, parse_card(file.metadata))
    window = np.repeat(np.array(row, np.float32)[np.newaxis], LONG, axis=0)
    score = session.score(window[np.newaxis]).score[0]
    assert np.isfinite(score)
    card = parse_card(file.metadata)
    if any(
        abs(value - entry.expected) > 3 * (entry.max - entry.min) for value, entry in zip(row, card.inputs, strict=True)
    ):
        assert score > 1


@pytest.mark.parametrize("cut", [400, 623, 899])
def test_cut_off_at_any_row_no_earlier_label_changes(opened, cut):
    table = running(seed=3, fault=600)
    whole = label(opened, table.t_ns, table.rows)
    part = label(opened, table.t_ns[:cut], table.rows[:cut])
    count = len(part.end_ns)
    assert count >= cut - 1
    for column in ("end_ns", "score", "verdict", "active"):
        assert getattr(part, column).tobytes() == getattr(whole, column)[:count].tobytes()


def test_too_little_data_is_said_with_how_much_is_needed():
    with pytest.raises(TooLittleDataError) as told:
        learn(running(200), Order("mixer"))
    assert str(told.value).startswith(
        "too little data: 3 tags at one row per 1.0 s need 300 whole windows of 20 rows, at least 5 min 19 s without a gap; "
        "there are 181 (200 of 200 rows were usable)"
    )


def test_a_short_training_span_is_a_remark_in_the_report(learned):
    (remark,) = learned.remarks
    assert remark.startswith("it was trained on 15 min: whatever the machine does only on other days")
    assert remark in report(learned)


def test_tags_that_never_change_are_left_out_and_named():
    table = running()
    rows = np.column_stack([table.rows, np.full(900, 7.0), np.full(900, np.nan)])
    found = learn(Table((*TAGS, "setpoint", "dead"), (*UNITS, "", ""), table.t_ns, rows), Order("mixer"))
    assert found.left_out == ("setpoint", "dead")
    assert [entry["tag"] for entry in found.card["inputs"]] == list(TAGS)
    assert '"setpoint" never changes and was left out' in found.remarks
    with pytest.raises(TooLittleDataError, match="none of the 2 tags ever changes"):
        learn(Table(("a", "b"), ("", ""), table.t_ns, rows[:, 3:]), Order("mixer"))


def test_windows_never_reach_across_a_gap():
    table = running()
    t_ns = table.t_ns.copy()
    t_ns[450:] += 3600 * SECOND
    found = cells(Table(TAGS, UNITS, t_ns, table.rows), SECOND, np.full(3, 90 * SECOND))
    for end in found.ends(LONG).tolist():
        assert found.end_ns[end] - found.end_ns[end - LONG + 1] == (LONG - 1) * SECOND


def test_the_report_is_one_page_without_scripts_or_anything_from_elsewhere(learned):
    page = report(learned)
    assert page.count("<svg") == 1 + len(TAGS)
    for foreign in ("<script", "http:", "https:", "src=", "@import"):
        assert foreign not in page
    assert "temp [°C]" in page
    evil = learn(
        Table(("<script>x</script>", "b"), ("", ""), running().t_ns, running().rows[:, :2]),
        Order('"><script>', source="<b>"),
    )
    assert "<script" not in report(evil)


def test_false_alarms_are_expected_with_an_upper_bound_that_shrinks_with_the_data(learned):
    found, most = learned.false_alarms_per_day
    days = len(learned.unseen) / 86400
    assert found == 0
    assert most == pytest.approx(3.0 / days, rel=0.1)


@pytest.mark.parametrize(("seconds", "said"), [(1.0, 1.0), (0.1, 0.1), (300, 300), (0.97, 1.0), (61, 60)])
def test_the_period_is_that_of_the_data(seconds, said):
    t_ns = BEGIN + (np.arange(50) * seconds * SECOND).astype(np.int64)
    assert usual_period_ns(Table(("a",), ("",), t_ns, np.zeros((50, 1)))) == said * SECOND
