import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
import tomli

from gateway.config.kinds import PluginKind
from gateway.config.schema import schema
from gateway.plugin.discovery import Plugins
from tests.config.sample_plugins import GOOD, SamplePlugins

DRAFT_7 = {"else",
    "$ref", "$schema", "additionalItems", "additionalProperties", "allOf", "anyOf", "default", "definitions", "description",
    "enum", "exclusiveMaximum", "exclusiveMinimum", "if", "items", "maxItems", "maxLength", "maxProperties", "maximum",
    "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern", "properties", "required", "then",
    "title", "type",
}  # fmt: skip


def words(node: Any) -> Iterator[str]:
    """All words of a schema; the keys of `properties` and `definitions` are names, not words."""
    if isinstance(node, list):
        for item in node:
            yield from words(item)
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            if key in ("properties", "definitions"):
                for entry in value.values():
                    yield from words(entry)
            elif key not in ("default", "enum"):
                yield from words(value)


def accepts(text: str) -> bool:
    validate = fastjsonschema.compile(schema(SamplePlugins()))
    try:
        validate(tomli.loads(text))
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


def test_only_words_of_draft_7_are_used() -> None:
    assert set(words(schema(SamplePlugins()))) <= DRAFT_7
    assert set(words(schema(Plugins()))) <= DRAFT_7


def test_the_schema_accepts_what_the_gateway_accepts() -> None:
    assert accepts(GOOD)
    assert accepts(GOOD.replace("{ ca =", "true # {"))
    assert accepts(GOOD.replace("0.1 }", '"1%", range = [0, 100] }'))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("host = ", "hots = "),
        ('"plc"', '"broker"'),
        ('"500ms"', "0.5"),
        ('"500ms"', '"500"'),
        ('"press-1"', '"hall/press-1"'),
        ('"float32"', '"flaot32"'),
        ("unit = ", "unti = "),
        ('{ credential = "mqtt-password" }', '"hunter2"'),
        ("ca = ", "cas = "),
        ('"1 GiB"', "1000"),
        ("[gateway]", "[gatewya]"),
        ('host = "192', 'port = 70000\nhost = "192'),
        ("[[device]]", "[device]"),
    ],
)
def test_the_schema_underlines_a_mistake(right: str, wrong: str) -> None:
    assert right in GOOD
    assert not accepts(GOOD.replace(right, wrong))


def test_defaults_are_written_as_in_the_file() -> None:
    device = schema(SamplePlugins())["definitions"]["device-plc"]["properties"]
    assert (device["scan"]["default"], device["port"]["default"]) == ("1s", 502)
    json.dumps(schema(Plugins()))


def test_the_example_is_valid_by_the_schema_of_the_shipped_plugins() -> None:
    example = Path(__file__).parents[2] / "config.example.toml"
    fastjsonschema.compile(schema(Plugins()))(tomli.loads(example.read_text(encoding="utf-8")))


def test_without_any_plugin_there_is_still_a_schema() -> None:
    class Bare(SamplePlugins):
        def names(self, kind: PluginKind) -> list[str]:
            return []

    fastjsonschema.compile(schema(Bare()))
