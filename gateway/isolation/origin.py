"""Where a driver's class comes from, so that another process can load it."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.errors import PluginError, RefusedError
from gateway.plugin.content import content_hash, first_content_hash
from gateway.plugin.driver import Driver
from gateway.plugin.loading import PACKAGE, load_plugin


@dataclass(frozen=True, slots=True)
class DriverOrigin:
    """A class of a plugin."""

    path: str
    """The plugin's file or folder; empty for one that is installed, and imported by its name."""
    module: str
    name: str
    """Of the class within its module."""
    content: str
    """The hash of its files as the audit trail says that they run."""

    @classmethod
    def of(cls, driver_type: type[Driver[Any, Any]]) -> "DriverOrigin":
        """Raises PluginError for a class that can be had in no other process."""
        module, name = driver_type.__module__, driver_type.__qualname__
        if "<locals>" in name or module == "__main__":
            raise PluginError(f"{name} is no class of a plugin's file, which another process could load")
        path = ""
        if module.startswith(f"{PACKAGE}."):
            file = Path(str(sys.modules[".".join(module.split(".")[:2])].__file__))
            path = str(file.parent if file.name == "__init__.py" else file)
        try:
            return cls(path, module, name, first_content_hash(_files(path, module)))
        except OSError as error:
            raise PluginError(f"{error.filename} cannot be read: {error.strerror}") from error

    @property
    def places(self) -> tuple[str, ...]:
        """Where its files are."""
        if self.path:
            return (self.path,)
        file = getattr(sys.modules.get(self.module), "__file__", None)
        return (str(Path(file).parent),) if file else ()

    def load(self) -> type[Driver[Any, Any]]:
        """The class, in the process that is to run it. Raises PluginError, and RefusedError when its files are not those that
        the gateway loaded."""
        files = _files(self.path, self.module)
        if content_hash(files) != self.content:
            raise RefusedError(f"{files} has changed since the gateway loaded it: restart the gateway")
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


def _files(path: str, module: str) -> Path:
    """The plugin's file or folder; of an installed one the package that it is part of. Imports nothing of it."""
    if path:
        return Path(path)
    parts = module.split(".")
    for count in range(1, len(parts) + 1):  # the first of them may be folders without code of their own
        spec = importlib.util.find_spec(".".join(parts[:count]))
        if spec is not None and spec.origin:
            file = Path(spec.origin)
            return file.parent if file.name == "__init__.py" else file
    raise PluginError(f"{module} is in no package that is made of files")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process is told before anything else."""

    path: Sequence[str]
    """Where Python looks for modules."""
    origin: DriverOrigin
    memory: int
    """Bytes that it may take."""
    log_level: int
