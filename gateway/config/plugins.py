"""Finds the option types of the plugin that a table names, or says which plugin may be meant."""

from collections.abc import Mapping
from typing import Any

from gateway.config.config_file import ConfigFile
from gateway.config.kinds import KINDS, PluginKind, PluginTypes
from gateway.config.mistakes import did_you_mean
from gateway.config.text import Steps
from gateway.core.errors import PluginError


def option_types(
    kind: PluginKind, source: ConfigFile, place: Steps, where: str, table: Mapping[str, Any], plugins: PluginTypes
) -> tuple[type[Any], ...] | None:
    """The option types of the plugin that a table names; None, with the mistake noted, when there is no such plugin of this
    kind, or it does not load."""
    try:
        return _ask(kind, table, plugins)
    except PluginError as error:
        source.park((*place, kind.key), where, str(error))
    except _UnknownError as unknown:
        message, name = str(unknown), table.get(kind.key)
        for other in KINDS:
            if other is not kind and name in plugins.names(other):
                message = f'"{name}" is a {other.name}: write it under [[{other.table}]], as {other.key} = "{name}"'
        source.wrong((*place, kind.key), f"{where}: {kind.key}", message)
    return None


class _UnknownError(Exception):
    """No option types can be had; says why."""


def _ask(kind: PluginKind, table: Mapping[str, Any], plugins: PluginTypes) -> tuple[type[Any], ...]:
    called = kind.name if kind.key == kind.name else f"{kind.name} plugin"
    if kind.key not in table:
        raise _UnknownError(f"required key is missing; installed: {', '.join(plugins.names(kind))}")
    name = table[kind.key]
    if not isinstance(name, str):
        raise _UnknownError(f"write the name of a {called} in quotes; installed: {', '.join(plugins.names(kind))}")
    try:
        return plugins.options(kind, name)
    except KeyError:
        near = did_you_mean(name, plugins.names(kind)).replace("; known:", "; installed:")
        raise _UnknownError(f'no {called} "{name}"{near}') from None
