"""A JSON Schema of the whole file, for editors: completion, help and red underlines while one types.

Of draft 7, the newest that TOML editors understand. A device's table is judged by its driver's schema alone, chosen by
if/then, so that an editor underlines the wrong key and not the whole table; for completion, which does not look into
if/then, the keys of all drivers stand beside it with what they have in common.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from gateway.config.devices import TAG_TABLES
from gateway.config.kinds import DRIVER, KINDS, PluginKind, PluginTypes
from gateway.config.model import CoreSections
from gateway.config.options import is_single, options, tables
from gateway.config.templates import ROWS, TEMPLATE, TEMPLATES
from gateway.core.errors import PluginError

Schema = dict[str, Any]

_DROPPED = ("title", "default", "examples", "discriminator")


def schema(plugins: PluginTypes) -> Schema:
    """The schema of a configuration with the installed plugins; one that does not load is left out."""
    definitions: Schema = {}
    sections = {option.key: _core(option.type, option.key, definitions) for option in options(CoreSections)}
    for kind in KINDS:
        choices = {name: _plugged(kind, name, types, definitions) for name, types in _loadable(kind, plugins)}
        plugged = _one_of(kind.key, choices, definitions)
        if not kind.among_core:
            sections[kind.table] = {"type": "array", "items": plugged}
        elif choices:
            core = sections[kind.table]["items"]
            sections[kind.table]["items"] = {"if": {"required": [kind.key]}, "then": plugged, "else": core}
    sections[TEMPLATES] = {
        "type": "object",
        "description": "What alike devices have in common, by a name that they give as their template.",
        "additionalProperties": _template(sections[DRIVER.table]["items"]),
    }
    # Nothing is required here: [gateway] and each [[device]] may stand in another file of conf.d.
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of edge-gateway, or of a file in its conf.d",
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
        "definitions": definitions,
    }


def _template(device: Schema) -> Schema:
    """A device's table in which anything may be missing: the keys that its driver knows, for those that name one."""
    return {"type": "object", "properties": device["properties"]}


def _filled_elsewhere(definition: Schema) -> None:
    """A device's options may come from a template, or from the rows of a file."""
    needed = definition.pop("required", [])
    definition["properties"] |= {
        TEMPLATE: {"type": "string", "description": "The [template.NAME] that has the rest of its options."},
        ROWS: {"type": "string", "description": "A CSV file with devices: one row a device, the columns its options."},
    }
    definition |= {"if": {"anyOf": [{"required": [TEMPLATE]}, {"required": [ROWS]}]}, "then": {}}
    definition["else"] = {"required": needed}


def _one_of(key: str, choices: Mapping[str, str], definitions: Schema) -> Schema:
    """A table whose key names the definition that holds for it."""
    named = {"required": [key]}
    return {
        "type": "object",
        **({"anyOf": [named, {"required": [TEMPLATE]}]} if key == DRIVER.key else named),
        "properties": {
            **_in_common(choices.values(), definitions),
            key: {"type": "string", "enum": list(choices) or [""]},
        },
        "allOf": [
            {"if": {**named, "properties": {key: {"enum": [name]}}}, "then": {"$ref": f"#/definitions/{definition}"}}
            for name, definition in choices.items()
        ]
        or [{}],
    }


def _in_common(names: Iterable[str], definitions: Schema) -> Schema:
    """All keys of these tables; of one that means different things in them, only that it exists."""
    common: Schema = {}
    for name in names:
        for key, entry in definitions[name]["properties"].items():
            known = common.setdefault(key, entry)
            if known != entry:
                common[key] = {"description": known["description"]} if "description" in known else {}
    return common


def _loadable(kind: PluginKind, plugins: PluginTypes) -> Iterator[tuple[str, tuple[type[Any], ...]]]:
    for name in plugins.names(kind):
        try:
            yield name, plugins.options(kind, name)
        except (KeyError, PluginError):
            continue


def _core(hint: Any, key: str, definitions: Schema) -> Schema:
    (section,) = tables(hint)
    reference = _define(key, section, definitions)
    return reference if is_single(hint) else {"type": "array", "items": reference}


def _plugged(kind: PluginKind, name: str, types: tuple[type[Any], ...], definitions: Schema) -> str:
    """The name of the definition of a table that names this plugin; with tags in it, where the kind has them."""
    table, *within = types
    defined = f"{kind.table}-{name}"
    tags = [_define(f"tag-{name}", tag, definitions) for tag in within]
    _define(defined, table, definitions)
    for tag in tags:
        inline, file = TAG_TABLES
        _filled_elsewhere(definitions[defined])
        definitions[defined]["properties"] |= {
            inline: {"type": "object", "description": "The tags by name.", "additionalProperties": tag},
            file: {"type": "string", "description": "A CSV file with tags: one row a tag, the columns its options."},
        }
    return defined


def _define(name: str, model: type[BaseModel], definitions: Schema) -> Schema:
    """Adds a table type, and those within it under names of their own; returns the reference to it."""
    whole = model.model_json_schema(ref_template="#/definitions/" + name + "-{model}")
    for inner, definition in whole.pop("$defs", {}).items():
        definitions[f"{name}-{inner}"] = _plain(definition)
    definition = _plain(whole)
    for option in options(model):
        if option.default is not None:
            definition["properties"][option.key]["default"] = option.default
    definitions[name] = definition
    return {"$ref": f"#/definitions/{name}"}


def _plain(node: Any) -> Any:
    """A schema in the words of draft 7, without the titles that only repeat the keys. TOML has no null."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    node = {key: _keyed(key, value) for key, value in node.items() if key not in _DROPPED}
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "prefixItems" in node:
        node["items"] = node.pop("prefixItems")
        node["additionalItems"] = False
    return _without_null(node)


def _keyed(key: str, value: Any) -> Any:
    """The value of a schema's word; names of properties are no words of the schema."""
    if key in ("properties", "patternProperties"):
        return {name: _plain(entry) for name, entry in value.items()}
    return value if key in ("enum", "required") else _plain(value)


def _without_null(node: Schema) -> Schema:
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**choices[0], **rest} if len(choices) == 1 and "$ref" not in choices[0] else {**rest, "anyOf": choices}
