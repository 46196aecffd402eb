"""Topic templates."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.topic import PLACEHOLDERS, check_template, fill, safe
from gateway.plugin import SinkConfig, TopicTemplate

ISA95 = "{enterprise}/{site}/{area}/{line}/{device}"


@pytest.mark.parametrize("template", [ISA95, "{device}", "plant/v1-{site}/{gateway}/{device}/data", "/{device}/"])
def test_a_good_template_is_taken_as_it_is(template: str) -> None:
    assert check_template(template) == template


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{sight}/{device}", "unknown placeholder {sight}, did you mean {site}?"),
        ("{Site}/{device}", "did you mean {site}?"),
        ("{cell}/{device}", "unknown placeholder {cell}"),
        ("{}/{device}", "write one of {enterprise}, {site}"),
        ("{site}/{line}", "must contain {device}"),
        ("{site/{device}", "the braces do not match"),
        ("a+/{device}", "'+' cannot stand in a topic"),
        ("{device}/#", "'#' cannot stand in a topic"),
        ("a\x00/{device}", "cannot stand in a topic"),
        ("$share/{device}", '"$share" belongs to the broker'),
        ("$SYS/{device}", '"$SYS" belongs to the broker'),
        ("${site}/{device}", "belongs to the broker"),
    ],
)
def test_a_wrong_template_is_refused_with_the_fix(template: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_template(template)


def test_an_option_of_a_sink_refuses_a_wrong_template() -> None:
    class Config(SinkConfig):
        topic: TopicTemplate = ISA95

    with pytest.raises(ValueError, match=re.escape("did you mean {device}")):
        Config.model_validate({"name": "n", "plugin": "p", "topic": "{devise}"})


def test_empty_levels_are_left_out() -> None:
    assert fill(ISA95, {"site": "north", "device": "coater-1"}) == "north/coater-1"
    assert fill("v1/{area}/x-{line}/{device}", {"device": "d"}) == "v1/x-/d"


@pytest.mark.parametrize(
    ("template", "topic"),
    [
        ("/plant/{device}", "/plant/d"),
        ("plant//{device}", "plant//d"),
        ("{device}/", "d/"),
        ("$aws/rules/plant_data/{device}", "$aws/rules/plant_data/d"),
        ("/{site}/{device}", "/d"),
        ("/{site}//{device}", "//d"),
    ],
)
def test_topics_are_what_was_written(template: str, topic: str) -> None:
    assert fill(check_template(template), {"device": "d"}) == topic


def test_what_a_topic_cannot_hold_becomes_an_underscore() -> None:
    assert fill("{site}/{device}", {"site": "a/b+c#d", "device": "x\x00\ny"}) == "a_b_c_d/x__y"
    assert fill("{site}/{device}", {"site": "$SYS", "device": "d"}) == "_SYS/d"
    assert safe("Öfen 温度 {device}") == "Öfen 温度 {device}"


@given(st.dictionaries(st.sampled_from(PLACEHOLDERS), st.text()), st.text(min_size=1))
def test_whatever_the_names_the_topic_is_one_that_a_broker_takes(names: dict[str, str], device: str) -> None:
    topic = fill(ISA95, {**names, "device": device})
    assert topic
    assert not set(topic) & set("+#\0")
    assert not topic.startswith(("/", "$"))
    assert not topic.endswith("/")
    assert topic.count("/") <= 4
    topic.encode()
