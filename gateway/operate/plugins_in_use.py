"""The plugins that parts are made of: those of the configuration that runs, less what has blocked the gateway before."""

from pathlib import Path
from typing import Any

from gateway.config.base import DeviceConfig, SinkConfig
from gateway.operate.stalls import StallWatch
from gateway.plugin.discovery import Plugins
from gateway.plugin.driver import Driver
from gateway.plugin.service import Service
from gateway.plugin.sink import Sink
from gateway.plugin.watch import Watch


class PluginsInUse:
    """Parts ask it whenever they make something, so they follow a reload by themselves. What takes a plugin's name raises
    PluginError for one that is of another kind, or does not load."""

    def __init__(self, present: Plugins, directory: Path) -> None:
        """`directory` keeps what is known of stalls."""
        self.present = present
        self.stalls = StallWatch(directory, self)

    def use(self, present: Plugins) -> None:
        """These are those of the configuration that runs from now on."""
        self.present = present

    def driver(self, name: str) -> type[Driver[Any, Any]]:
        """The driver of this name."""
        return self.present.driver(name)

    def sink(self, name: str) -> type[Sink[Any]]:
        """The sink of this name."""
        return self.present.sink(name)

    def service(self, name: str) -> type[Service[Any]]:
        """The service of this name."""
        return self.present.service(name)

    def watch(self, name: str) -> type[Watch[Any]]:
        """The watch of this name."""
        return self.present.watch(name)

    def hash_of(self, name: str) -> str:
        """Of a plugin's files; empty for one that is not there."""
        return self.present.hashes([name]).get(name, "")

    def of(self, file: str) -> str:
        """The name of the plugin that a file of code belongs to, or nothing."""
        return self.present.of(file)

    def barred(self, part: str, plugin: str) -> str:
        """Why a part, such as "device press-1", must not be started; empty when it may."""
        return self.stalls.barred(part, plugin)

    def barred_device(self, device: DeviceConfig) -> str:
        """The same of a device."""
        return self.barred(f"device {device.name}", device.driver)

    def barred_sink(self, sink: SinkConfig) -> str:
        """The same of a sink."""
        return self.barred(f"sink {sink.name}", sink.plugin)
