"""A model card is checked whole, and a device is told what keeps it from a model."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.models.card import ModelError, Persistence, parse_card
from gateway.detect.models.onnx_file import read_onnx
from tests.detect.graphs import CARD

UNITS = {"temp": "°C", "flow": "l/min"}
TYPES = {"temp": "float32", "flow": "uint16"}


def parse(**changes):
    return parse_card({"card": json.dumps({**CARD, **changes})})


def test_a_good_card_is_read_whole():
    card = parse()
    assert (card.name, card.version, card.window, card.period_ms) == ("oven", "2", 3, 1000)
    assert card.tags == ("temp", "flow")
    assert card.raise_at == Persistence(2, 3)
    assert card.inputs[1].unit == "l/min"


def test_the_shipped_card_says_what_it_was_made_from_and_that_nobody_approved_it():
    path = Path(__file__).parents[3] / "gateway/demo/models/coater.onnx"
    card = parse_card(read_onnx(path).metadata)
    assert card.training["rows"] == 14400
    assert len(card.training["sha256"]) == 64
    assert card.approval == {"by": "", "at": ""}
    assert "Not for a real machine" in card.intended_use


def test_every_mistake_is_listed_at_once():
    with pytest.raises(ModelError) as caught:
        parse(
            name=7, window=0, severity="dreadful", threshold="high", inputs=[{"tag": "temp"}], clear={"n": 9, "of": 3}
        )
    for part in ("name:", "window:", "severity:", "threshold:", "inputs[0]: min", "inputs[0]: max_age_ms", "clear: n"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({}, "no model card"),
        ({"card": "{"}, "no JSON"),
        ({"card": "[]"}, "JSON object"),
        ({"card": '{"format": 99}'}, "format 99"),
    ],
)
def test_what_is_no_card_is_named(metadata, told):
    with pytest.raises(ModelError, match=told):
        parse_card(metadata)


def test_two_inputs_of_the_same_tag_and_a_golden_of_the_wrong_shape_are_refused():
    with pytest.raises(ModelError, match="same tag"):
        parse(inputs=[CARD["inputs"][0]] * 2)
    with pytest.raises(ModelError, match="3 rows of 2 numbers"):
        parse(golden={"window": [[1, 2]], "score": 0.5})


def test_a_device_with_the_right_tags_and_units_fits():
    assert parse().misfits(UNITS, TYPES, {}) == []
    renamed = {"zone temperature": "°C", "flow": "l/min"}
    assert parse().misfits(renamed, TYPES, {"temp": "zone temperature"}) == []


@pytest.mark.parametrize(
    ("units", "types", "names", "told"),
    [
        ({"flow": "l/min"}, TYPES, {}, 'tag "temp" is missing: add it'),
        ({}, TYPES, {}, '"temp", "flow" are missing: add them'),
        ({**UNITS, "temp": "°F"}, TYPES, {}, "is in °F, the model was trained in °C"),
        ({**UNITS, "temp": ""}, TYPES, {}, 'write unit = "°C"'),
        (UNITS, {**TYPES, "flow": "string"}, {}, "is string, the model needs a number"),
        (UNITS, TYPES, {"tmp": "temp"}, "no such input"),
    ],
)
def test_a_device_that_does_not_fit_is_told_why(units, types, names, told):
    misfits = parse().misfits(units, types, names)
    assert len(misfits) == 1
    assert told in misfits[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(CARD)), json_values)
def test_no_value_of_any_field_crashes_the_reader(key, value):
    try:
        parse(**{key: value})
    except ModelError as error:
        assert str(error)


@given(json_values)
def test_no_golden_crashes_the_reader(value):
    try:
        parse(golden={"window": value, "score": value})
    except ModelError as error:
        assert str(error)
