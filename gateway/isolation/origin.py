"""Where a driver's class comes from, so that another process can load it."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.errors import PluginError
from gateway.plugin.driver import Driver
from gateway.plugin.loading import PACKAGE, load_plugin


@dataclass(frozen=True, slots=True)
class Origin:
    """A class of a plugin."""

    path: str
    """The plugin's file or folder; empty for one that is installed, and imported by its name."""
    module: str
    name: str
    """Of the class within its module."""

    @classmethod
    def of(cls, driver_type: type[Driver[Any, Any]]) -> "Origin":
        """Raises PluginError for a class that can be had in no other process."""
        module, name = driver_type.__module__, driver_type.__qualname__
        if "<locals>" in name or module == "__main__":
            raise PluginError(f"{name} is no class of a plugin's file, which another process could load")
        path = ""
        if module.startswith(f"{PACKAGE}."):
            file = Path(str(sys.modules[".".join(module.split(".")[:2])].__file__))
            path = str(file.parent if file.name == "__init__.py" else file)
        return cls(path, module, name)

    @property
    def places(self) -> tuple[str, ...]:
        """Where its files are."""
        if self.path:
            return (self.path,)
        file = getattr(sys.modules.get(self.module), "__file__", None)
        return (str(Path(file).parent),) if file else ()

    def load(self) -> type[Driver[Any, Any]]:
        """The class, in the process that is to run it. Raises PluginError."""
        if self.path:
            load_plugin(Path(self.path))
        try:
            found: Any = importlib.import_module(self.module)
            for part in self.name.split("."):
                found = getattr(found, part)
        except Exception as error:
            raise PluginError(f"{self.module} cannot be loaded: {type(error).__name__}: {error}") from error
        if not (isinstance(found, type) and issubclass(found, Driver)):
            raise PluginError(f"{self.module}.{self.name} is no driver any more; restart the gateway")
        return found
