"""Which plugins there are. Looking costs a directory listing; a plugin is imported only when it is asked for.

Three places, in this order: the shipped plugins, the directories of `[gateway] plugin_dirs`, and entry points of the
group `edge_gateway.plugins` in pip-installed packages. In a directory each `name.py`, and each folder with an
`__init__.py`, is the plugin `name`; what starts with "_" or "." is none.

A plugin that cannot be used is parked: `all()` names it with the reason, asking for it raises PluginError with the same
words, and everything else works.
"""

import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, cast

import gateway
from gateway.config.kinds import DRIVER, SERVICE, SINK, WATCH, PluginKind
from gateway.config.model import GatewaySection
from gateway.core.errors import PluginError
from gateway.core.text import cleaned
from gateway.plugin.content import content_hash
from gateway.plugin.driver import Driver, option_types
from gateway.plugin.kinds import PluginClass, contract_of
from gateway.plugin.loading import Loaded, load, load_installed
from gateway.plugin.ownership import refuse_untrusted, refuse_untrusted_directory
from gateway.plugin.service import Service
from gateway.plugin.sink import Sink
from gateway.plugin.watch import Watch

ENTRY_POINTS = "edge_gateway.plugins"
NAME = re.compile(r"[a-z][a-z0-9_]*")

Source = Literal["shipped", "directory", "installed"]
_THE_SOURCE = {"shipped": "a shipped plugin", "directory": "one in plugin_dirs", "installed": "an installed package"}


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One plugin, as `plugin list` shows it."""

    name: str
    kind: str
    """The name of its kind; empty while parked."""
    source: Source
    origin: str
    """Its file or folder, or the object that an installed package names."""
    version: str = ""
    doc: str = ""
    """First line of its docstring."""
    error: str = ""
    """Why it is parked; empty for a plugin that works."""


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    source: Source
    origin: str
    load: Callable[[], Loaded]
    version: str = ""
    error: str = ""


def shipped_plugins() -> Path:
    """The directory of the plugins that come with the gateway: inside the package, or beside it in a checkout."""
    package = Path(gateway.__file__).parent
    inside = package / "_plugins"
    return inside if inside.is_dir() else package.parent / "plugins"


class Plugins:
    """All plugins that this gateway can use. A `gateway.config.kinds.PluginTypes`.

    What takes a name raises KeyError for a name that no plugin has, and PluginError for one that is parked, or that is a
    plugin of the other kind.
    """

    def __init__(self, plugin_dirs: Sequence[Path] = (), replaces: Sequence[str] = ()) -> None:
        self._usable: dict[str, _Found] = {}
        self._parked: list[_Found] = []
        self._loaded: dict[str, Loaded | PluginError] = {}
        for found in _in_directory(shipped_plugins(), "shipped"):
            self._add(found, replaces)
        for directory in plugin_dirs:
            for found in _in_plugin_dir(directory):
                self._add(found, replaces)
        for point in sorted(entry_points(group=ENTRY_POINTS)):
            self._add(_installed(point), replaces)

    @classmethod
    def for_config(cls, section: GatewaySection) -> "Plugins":
        """Those that a configuration may name."""
        return cls(section.plugin_dirs, section.replaces)

    def _add(self, found: _Found, replaces: Sequence[str]) -> None:
        first = self._usable.get(found.name)
        if not found.error and first is not None and not (first.source == "shipped" and found.name in replaces):
            found = replace(found, error=_taken(found, first))
        if found.error:
            self._parked.append(found)
        else:
            self._usable[found.name] = found

    def driver(self, name: str) -> type[Driver[Any, Any]]:
        """The driver of this name."""
        return cast(type[Driver[Any, Any]], self._of_kind(name, DRIVER))

    def sink(self, name: str) -> type[Sink[Any]]:
        """The sink of this name."""
        return cast(type[Sink[Any]], self._of_kind(name, SINK))

    def service(self, name: str) -> type[Service[Any]]:
        """The service of this name."""
        return cast(type[Service[Any]], self._of_kind(name, SERVICE))

    def watch(self, name: str) -> type[Watch[Any]]:
        """The watch of this name."""
        return cast(type[Watch[Any]], self._of_kind(name, WATCH))

    def names(self, kind: PluginKind) -> Sequence[str]:
        """Names of all plugins of a kind that work; imports every plugin."""
        return [info.name for info in self.all() if info.kind == kind.name]

    def options(self, kind: PluginKind, name: str) -> tuple[type[Any], ...]:
        """The option types of a plugin of this kind."""
        return option_types(self._of_kind(name, kind))

    def all(self) -> list[PluginInfo]:
        """Every plugin by name, parked ones with their error; imports every plugin."""
        found = [*self._usable.values(), *self._parked]
        return sorted(map(self._info, found), key=lambda info: (info.name, bool(info.error)))

    def parked(self) -> list[str]:
        """Why plugins were refused without importing them, such as a name that is taken; to be logged at a start."""
        return [found.error for found in self._parked]

    def hashes(self, names: Sequence[str]) -> dict[str, str]:
        """SHA-256, in hex, over the files of these plugins, for the audit trail; of an installed one its version."""
        return {name: _hash(self._usable[name]) for name in names if name in self._usable}

    def of(self, file: str) -> str:
        """The name of the plugin that a file of code belongs to; empty for the gateway's own, and a library's."""
        return next(
            (
                found.name
                for found in self._usable.values()
                if file == found.origin or file.startswith(f"{found.origin}/")
            ),
            "",
        )

    def _info(self, found: _Found) -> PluginInfo:
        info = PluginInfo(found.name, "", found.source, found.origin, found.version, error=found.error)
        if found.error:
            return info
        try:
            loaded = self._load(found.name)
        except PluginError as error:
            return replace(info, error=str(error))
        own = gateway.__version__ if found.source == "shipped" else ""
        return replace(
            info, kind=contract_of(loaded.cls).kind.name, version=found.version or loaded.version or own, doc=loaded.doc
        )

    def _of_kind(self, name: str, kind: PluginKind) -> PluginClass:
        cls = self._load(name).cls
        own = contract_of(cls).kind
        if own is not kind:
            raise PluginError(f'plugin "{name}" is a {own.name}, not a {kind.name}: name it in a [[{own.table}]] table')
        return cls

    def _load(self, name: str) -> Loaded:
        if name not in self._loaded:
            self._loaded[name] = self._attempt(name)
        loaded = self._loaded[name]
        if isinstance(loaded, PluginError):
            raise PluginError(str(loaded)) from loaded.__cause__
        return loaded

    def _attempt(self, name: str) -> Loaded | PluginError:
        if name not in self._usable:
            parked = [found.error for found in self._parked if found.name == name]
            if not parked:
                raise KeyError(name)
            return PluginError(parked[0])
        try:
            return self._usable[name].load()
        except PluginError as error:
            return error


def _taken(found: _Found, first: _Found) -> str:
    told = f'plugin "{found.name}": {found.origin} has the name of {_THE_SOURCE[first.source]} ({first.origin})'
    remedy = f' or allow it with replaces = ["{found.name}"] in [gateway]' if first.source == "shipped" else ""
    return f"{told}: rename it{remedy}"


def _in_plugin_dir(directory: Path) -> Iterator[_Found]:
    """The plugins of a directory that somebody else may have filled."""
    try:
        refuse_untrusted_directory(directory)
        yield from map(_if_trusted, _in_directory(directory, "directory"))
    except OSError as error:
        yield _unreadable(directory, f"plugin directory {directory}: {error.strerror}")
    except PluginError as error:
        yield _unreadable(directory, f"plugin directory refused: {error}")


def _unreadable(directory: Path, error: str) -> _Found:
    return _Found(directory.name, "directory", str(directory), _never, error=error)


def _in_directory(directory: Path, source: Source) -> Iterator[_Found]:
    for path in sorted(directory.iterdir()):
        if path.name.startswith(("_", ".")) or not _is_plugin(path):
            continue
        error = ""
        if not NAME.fullmatch(path.stem):
            error = f"plugin {path}: a plugin's name is made of a-z, 0-9 and _: rename it"
        yield _Found(path.stem, source, str(path), partial(load, path), error=error)


def _is_plugin(path: Path) -> bool:
    return (path / "__init__.py").is_file() if path.is_dir() else path.suffix == ".py"


def _if_trusted(found: _Found) -> _Found:
    try:
        refuse_untrusted(Path(found.origin))
    except PluginError as error:
        return replace(found, error=f'plugin "{found.name}" refused: {error}')
    except OSError as error:
        return replace(found, error=f'plugin "{found.name}": {error.filename}: {error.strerror}')
    return found


def _installed(point: EntryPoint) -> _Found:
    version = point.dist.version if point.dist else ""
    found = _Found(point.name, "installed", point.value, partial(load_installed, point), version)
    spec = importlib.util.find_spec(point.module.partition(".")[0])
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    if not places or places[0] is None:
        return replace(found, error=f'plugin "{point.name}": its package has no module {point.module}')
    return replace(_if_trusted(replace(found, origin=places[0])), origin=point.value)


def _never() -> Loaded:
    raise AssertionError("a parked plugin is never loaded")


def _hash(found: _Found) -> str:
    if found.source == "installed":
        return found.version
    try:
        return content_hash(Path(found.origin))
    except (OSError, PluginError) as error:
        return f"not known: {cleaned(error)}"
