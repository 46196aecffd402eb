"""A JSON Schema of the whole file, for editors: completion, help and red underlines while one types.

Only the words of draft 4 are used, because the TOML language server knows no others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from gateway.config.devices import TAG_TABLES
from gateway.config.model import CoreSections, PluginTypes
from gateway.config.options import options, tables
from gateway.core.errors import PluginError

Schema = dict[str, Any]

_DROPPED = ("title", "default", "examples", "discriminator")


def schema(plugins: PluginTypes) -> Schema:
    """The schema of a configuration with the installed plugins; one that does not load is left out."""
    definitions: Schema = {}
    drivers = [_device(name, plugins, definitions) for name in _loadable(plugins.drivers(), plugins.driver_types)]
    sinks = [_sink(name, plugins, definitions) for name in _loadable(plugins.sinks(), plugins.sink_type)]
    sections = {option.key: _core(option.type, option.key, definitions) for option in options(CoreSections)}
    sections["device"] = {"type": "array", "minItems": 1, "items": _any_of(drivers)}
    sections["sink"] = {"type": "array", "items": _any_of(sinks)}
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "Configuration of edge-gateway",
        "type": "object",
        "properties": sections,
        "required": ["gateway", "device"],
        "additionalProperties": False,
        "definitions": definitions,
    }


def _any_of(choices: Sequence[Schema]) -> Schema:
    return {"anyOf": list(choices)} if choices else {"type": "object"}


def _loadable(names: Sequence[str], types: Callable[[str], object]) -> Iterator[str]:
    for name in names:
        try:
            types(name)
        except (KeyError, PluginError):
            continue
        yield name


def _core(hint: Any, key: str, definitions: Schema) -> Schema:
    section = next(tables(hint), None)
    if section is None:
        return {}
    reference = _define(key, section, definitions)
    single = isinstance(hint, type)
    return reference if single else {"type": "array", "items": reference}


def _device(name: str, plugins: PluginTypes, definitions: Schema) -> Schema:
    device_type, tag_type = plugins.driver_types(name)
    tag = _define(f"tag-{name}", tag_type, definitions)
    reference = _define(f"device-{name}", device_type, definitions)
    properties = definitions[f"device-{name}"]["properties"]
    properties["driver"] = {**properties["driver"], "enum": [name]}
    inline, file = TAG_TABLES
    properties[inline] = {"type": "object", "description": "The tags by name.", "additionalProperties": tag}
    properties[file] = {
        "type": "string",
        "description": "A CSV file with tags: one row a tag, the columns its options.",
    }
    return reference


def _sink(name: str, plugins: PluginTypes, definitions: Schema) -> Schema:
    reference = _define(f"sink-{name}", plugins.sink_type(name), definitions)
    properties = definitions[f"sink-{name}"]["properties"]
    properties["plugin"] = {**properties["plugin"], "enum": [name]}
    return reference


def _define(name: str, model: type[BaseModel], definitions: Schema) -> Schema:
    """Adds a table type, and those within it under names of their own; returns the reference to it."""
    whole = model.model_json_schema(ref_template="#/definitions/" + name + "-{model}")
    for inner, definition in whole.pop("$defs", {}).items():
        definitions[f"{name}-{inner}"] = _draft4(definition)
    definition = _draft4(whole)
    for option in options(model):
        if option.default is not None:
            definition["properties"][option.key]["default"] = option.default
    definitions[name] = definition
    return {"$ref": f"#/definitions/{name}"}


def _draft4(node: Any) -> Any:
    """A schema in the words of draft 4, without the titles that only repeat the keys. TOML has no null."""
    if isinstance(node, list):
        return [_draft4(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    node = {key: _keyed(key, value) for key, value in node.items() if key not in _DROPPED}
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "prefixItems" in node:
        node["items"] = node.pop("prefixItems")
        node["additionalItems"] = False
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in node:
            node[bound.lower()] = node[f"exclusive{bound}"]
            node[f"exclusive{bound}"] = True
    return _without_null(node)


def _keyed(key: str, value: Any) -> Any:
    """The value of a schema's word; names of properties are no words of the schema."""
    if key in ("properties", "patternProperties"):
        return {name: _draft4(entry) for name, entry in value.items()}
    return value if key in ("enum", "required") else _draft4(value)


def _without_null(node: Schema) -> Schema:
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**choices[0], **rest} if len(choices) == 1 and "$ref" not in choices[0] else {**rest, "anyOf": choices}
