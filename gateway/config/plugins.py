"""Finds the option types of the plugin that a table names, or says which plugin may be meant."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gateway.config.base import DeviceConfig, SinkConfig, TagConfig
from gateway.config.mistakes import did_you_mean
from gateway.config.model import PluginTypes
from gateway.config.source import Source
from gateway.config.toml_lines import Steps
from gateway.core.errors import PluginError

T = TypeVar("T")


def driver_types(
    source: Source, place: Steps, where: str, table: Mapping[str, Any], plugins: PluginTypes
) -> tuple[type[DeviceConfig], type[TagConfig]] | None:
    """The device and tag options of a device's driver; None, with the mistake noted, when there is no such driver, or it
    does not load."""
    try:
        return _ask(table, "driver", plugins.driver_types, plugins.drivers)
    except PluginError as error:
        source.park((*place, "driver"), where, str(error))
    except _UnknownError as unknown:
        message = str(unknown)
        if table.get("driver") in plugins.sinks():
            message = f'"{table["driver"]}" is a sink: write it under [[sink]], as plugin = "{table["driver"]}"'
        source.wrong((*place, "driver"), f"{where}: driver", message)
    return None


def sink_type(
    source: Source, place: Steps, where: str, table: Mapping[str, Any], plugins: PluginTypes
) -> type[SinkConfig] | None:
    """The options of a sink's plugin; None, with the mistake noted, when there is no such sink, or it does not load."""
    try:
        return _ask(table, "plugin", plugins.sink_type, plugins.sinks)
    except PluginError as error:
        source.park((*place, "plugin"), where, str(error))
    except _UnknownError as unknown:
        message = str(unknown)
        if table.get("plugin") in plugins.drivers():
            message = f'"{table["plugin"]}" is a driver: write it under [[device]], as driver = "{table["plugin"]}"'
        source.wrong((*place, "plugin"), f"{where}: plugin", message)
    return None


class _UnknownError(Exception):
    """No option types can be had; says why."""


def _ask(table: Mapping[str, Any], key: str, types: Callable[[str], T], names: Callable[[], Sequence[str]]) -> T:
    kind = "driver" if key == "driver" else "sink plugin"
    if key not in table:
        raise _UnknownError(f"required key is missing; installed: {', '.join(names())}")
    name = table[key]
    if not isinstance(name, str):
        raise _UnknownError(f"write the name of a {kind} in quotes; installed: {', '.join(names())}")
    try:
        return types(name)
    except KeyError:
        near = did_you_mean(name, names()).replace("; known:", "; installed:")
        raise _UnknownError(f'no {kind} "{name}"{near}') from None
