"""A configuration, with the plugins that it names."""

from pathlib import Path

from gateway.config.load import load
from gateway.config.model import Config, GatewaySection
from gateway.plugin.discovery import Plugins


def loaded(path: Path) -> tuple[Config, Plugins]:
    """Both. Raises ConfigError."""
    found: list[Plugins] = []

    def look_up(section: GatewaySection) -> Plugins:
        found.append(Plugins.for_config(section))
        return found[0]

    return load(path, look_up), found[0]
