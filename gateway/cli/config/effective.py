"""Every value that counts in a configuration, and where it is from."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.base import Secret, Section
from gateway.config.config_file import ConfigFile
from gateway.config.kinds import DRIVER, KINDS
from gateway.config.model import Config, CoreSections
from gateway.config.options import is_single, options
from gateway.config.secrets import resolve
from gateway.config.text import Steps
from gateway.core.errors import RefusedError
from gateway.places.state_dir import state_dir


@dataclass(frozen=True, slots=True)
class Value:
    """One option that counts."""

    table: str
    """As in [gateway], [[device]] press-1, or [[device]] press-1 tags.speed."""
    key: str
    value: Any
    """As TOML writes it. A secret is never here, only where it is kept."""
    origin: str
    """For people: `config.toml:12`, `template "meter", config.toml:4`, `default`, `environment STATE_DIRECTORY`."""
    source: str
    """file, template, default, environment or credential."""
    file: str = ""
    line: int = 0


def effective(source: ConfigFile, config: Config) -> Iterator[Value]:
    """All options, those that nobody wrote with their defaults; of tags, those that say something."""
    for option in options(CoreSections):
        if is_single(option.type):
            yield from _values(source, f"[{option.key}]", (option.key,), getattr(config, option.key), config)
    for kind in KINDS:
        parts: list[tuple[Any, Any]] = [(part, part.config) for part in config.devices] if kind is DRIVER else []
        parts = parts or [(part, part) for part in config.of_kind(kind)]
        for part, own in parts:
            place, where = _place(source, kind.table, own.name), f"[[{kind.table}]] {own.name}"
            yield from _values(source, where, place, own, config)
            for name, tag in part.tags.items() if kind is DRIVER else ():
                yield from _tag(source, f"{where} tags.{name}", place, name, tag)
    for table, sections in (("model", config.models), ("alarm", config.alarms)):
        for section in sections:
            named = section.name or str(getattr(section, "file", ""))
            yield from _values(source, f"[[{table}]] {named}", _place(source, table, named), section, config)
    for table, name in config.disabled:
        if table == "tag":
            device, _, tag = name.partition("/")
            steps = (*_place(source, "device", device), "tags", tag, "enabled")
            yield _value(source, f"[[device]] {device} tags.{tag}", steps, "enabled", False)
            continue
        yield _value(source, f"[[{table}]] {name}", (*_place(source, table, name), "enabled"), "enabled", False)


def _place(source: ConfigFile, table: str, name: str) -> Steps:
    for index, each in enumerate(source.table[table]):
        file = each.get("file")
        if name in (each.get("name"), str(source.base_of((table, index)) / str(file)) if file else ""):
            return (table, index)
    return (table,)


def _written(source: ConfigFile, place: Steps) -> bool:
    here: Any = source.table
    for step in place:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _values(source: ConfigFile, table: str, place: Steps, section: Section, config: Config) -> Iterator[Value]:
    said = section.model_dump(mode="json")
    for key, given in section:
        here = (*place, key)
        if isinstance(given, Secret):
            yield _secret(source, table, here, key, given)
        elif isinstance(given, Section):
            inner = _values(source, table, here, given, config)
            yield from (Value(table, f"{key}.{each.key}", *_rest(each)) for each in inner)
        elif _written(source, here):
            yield _value(source, table, here, key, said[key])
        elif key == "state_dir" and place == ("gateway",):
            variable = os.environ.get("STATE_DIRECTORY")
            origin = ("environment STATE_DIRECTORY", "environment") if variable else ("default", "default")
            yield Value(table, key, str(state_dir(config.path, None, config.gateway.name)), *origin)
        elif given is not None:
            yield Value(table, key, said[key], "default", "default")


def _rest(value: Value) -> tuple[Any, str, str, str, int]:
    return value.value, value.origin, value.source, value.file, value.line


def _value(source: ConfigFile, table: str, place: Steps, key: str, value: Any) -> Value:
    spot = source.spot(place)
    kind = "template" if spot.called.startswith("template ") else "file"
    origin = f"{spot.called}, {spot}" if spot.called else str(spot)
    return Value(table, key, value, origin, kind, str(spot.file.path), spot.line)


def _secret(source: ConfigFile, table: str, place: Steps, key: str, secret: Secret) -> Value:
    written = _value(source, table, place, key, secret.model_dump(mode="json", exclude_none=True))
    try:
        resolve(secret)
        found = "is there"
    except RefusedError as error:
        found = f"is not to be had: {error}"
    kind = "environment" if secret.env else "credential" if secret.credential else "file"
    named = secret.env or secret.credential or Path(str(secret.file)).name
    return Value(
        table, key, written.value, f"{written.origin}; {kind} {named} {found}", kind, written.file, written.line
    )


def _tag(source: ConfigFile, table: str, place: Steps, name: str, tag: Section) -> Iterator[Value]:
    """What it says; of a file of tags no line is known here."""
    inline = (*place, "tags", name)
    defaults: Mapping[str, Any] = {key: field.default for key, field in type(tag).model_fields.items()}
    said = tag.model_dump(mode="json")
    for key, given in tag:
        if _written(source, (*inline, key)):
            yield _value(source, table, (*inline, key), key, said[key])
        elif given != defaults[key] and not _written(source, inline):
            spot = source.spot((*place, "tags_file"))
            yield Value(table, key, said[key], f"tags_file, {spot}", "file", str(spot.file.path), spot.line)
