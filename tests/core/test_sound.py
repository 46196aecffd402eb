import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.plugin.sound import dumps, sound


class Wordless:
    def __str__(self) -> str:
        raise RecursionError


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Kessel \udcb0C", "Kessel \ufffdC"),
        ({"a\udcff": 1}, {"a\ufffd": 1}),
        (float("nan"), None),
        (2**70, str(2**70)),
        (1 << 9000, "an integer of 9001 bits"),
        (b"\xff", "/w=="),
        (np.arange(3), [0, 1, 2]),
        (Wordless(), "Wordless without a text (RecursionError)"),
        ({1: {2}}, {"1": [2]}),
    ],
    ids=lambda _: "value",
)
def test_what_json_has_no_form_for_is_told_as_well_as_can_be(value: object, expected: object) -> None:
    assert json.loads(dumps({"of": [value]})) == {"of": [expected]}


def test_what_is_nested_too_deep_is_told_as_text() -> None:
    whole = json.dumps(json.loads(dumps(nested(100_000))))
    assert whole.startswith("[[[[") and "nested too deep" in whole


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
)


@given(anything)
def test_all_that_there_is_becomes_json(value: object) -> None:
    json.loads(dumps(value))
    json.loads(json.dumps(sound(value), allow_nan=False).encode("utf-8"))
