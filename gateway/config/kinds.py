"""The register of the kinds of plugins: the tables of a configuration that name one, and what their options derive from.

Loading, differences, schema, reference and `check` go through it; `gateway.plugin.kinds` adds the classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.config.base import DeviceConfig, Section, ServiceConfig, SinkConfig, TagConfig, WatchConfig


@dataclass(frozen=True, slots=True)
class PluginKind:
    """One kind of plugins."""

    name: str
    table: str
    """The tables of the configuration that name one."""
    key: str
    """Their key for its name."""
    options: tuple[type[Section], ...]
    """What its option types derive from: of such a table, and of each tag in it."""
    field: str
    """Where Config has what these tables say."""
    among_core: bool = False
    """Whether tables of the core have the same name; those with the key are meant."""


DRIVER = PluginKind("driver", "device", "driver", (DeviceConfig, TagConfig), "devices")
SINK = PluginKind("sink", "sink", "plugin", (SinkConfig,), "sinks")
SERVICE = PluginKind("service", "service", "plugin", (ServiceConfig,), "services")
WATCH = PluginKind("watch", "alarm", "plugin", (WatchConfig,), "watches", among_core=True)
KINDS = (SINK, DRIVER, SERVICE, WATCH)
"""In the order in which one writes a file."""
CONNECTED = (SINK, DRIVER, SERVICE)
"""Those that begin anew when their credentials or certificates have changed."""


class PluginTypes(Protocol):
    """The look-up through which `config` learns the option types of plugins."""

    def names(self, kind: PluginKind) -> Sequence[str]:
        """Names of all plugins of a kind that work."""
        ...

    def options(self, kind: PluginKind, name: str) -> tuple[type[Any], ...]:
        """The option types of a plugin, as many as the kind has. Raises PluginError for a plugin that does not load, or is of
        another kind, and KeyError for a name that no plugin has."""
        ...
