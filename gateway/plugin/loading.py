"""From a plugin's file or folder to its one class, of one of the kinds (`gateway.plugin.kinds`)."""

import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from gateway.core.errors import PluginError
from gateway.plugin.driver import option_types
from gateway.plugin.kinds import BASES, IN_WORDS, PluginClass, contract_of

PACKAGE = "edge_gateway_plugins"
"""Plugins that are loaded by path are modules of this package, whatever their directory is."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin that works."""

    cls: PluginClass
    doc: str
    """First line of the module's docstring."""
    version: str
    """The module's `__version__`, or empty."""


def load_plugin(path: Path) -> PluginClass:
    """The class that a plugin's file or folder holds, as `load` finds it; its owner is not checked."""
    return load(path).cls


def load(path: Path) -> Loaded:
    """Import a plugin's file or folder. Within a process a path is imported once, so that its option types stay the same
    types when the configuration is read again.

    Raises PluginError with file:line and the cause when it cannot be imported, when it holds no or several classes, when
    the class names no option types, or when it implements too little.
    """

    def find() -> Loaded:
        module = _import(path)
        return _loaded(_choose(module, path), module)

    found: Loaded = _attempt(path.stem, path, find)
    return found


def load_installed(point: EntryPoint) -> Loaded:
    """The same for a plugin that a pip-installed package announces, as `module` or as `module:Class`."""
    origin = Path(point.value)

    def find() -> Loaded:
        found = point.load()
        if isinstance(found, ModuleType):
            return _loaded(_choose(found, origin), found)
        if isinstance(found, type) and issubclass(found, BASES):
            return _loaded(_complete(found, origin), sys.modules[found.__module__])
        raise PluginError(f'plugin "{point.name}": {point.value} is neither a module nor a {IN_WORDS} class')

    loaded: Loaded = _attempt(point.name, origin, find)
    return loaded


def _loaded(cls: PluginClass, module: ModuleType) -> Loaded:
    first_line = (module.__doc__ or "").strip().partition("\n")[0]
    return Loaded(cls, first_line, str(getattr(module, "__version__", "")))


def _import(path: Path) -> ModuleType:
    name = f"{PACKAGE}.{path.stem}"
    code = path / "__init__.py" if path.is_dir() else path
    known = _imported(code)
    if known is not None:
        return known
    _forget(name)
    sys.modules.setdefault(PACKAGE, ModuleType(PACKAGE)).__path__ = []
    spec = importlib.util.spec_from_file_location(
        name, code, submodule_search_locations=[str(path)] if path.is_dir() else None
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with warnings.catch_warnings():
            # Every class has it from abc; as an option it is a number of a register, and works.
            warnings.filterwarnings("ignore", 'Field name "register" in ".*" shadows an attribute', UserWarning)
            spec.loader.exec_module(module)
    except BaseException:
        _forget(name)
        raise
    return module


def _imported(code: Path) -> ModuleType | None:
    """The module of this file, also when a test imported it under another name: two copies of a type are two types."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and module.__dict__.get("__file__") == str(code):
            return module
    return None


def _forget(name: str) -> None:
    for known in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[known]


def _attempt(name: str, origin: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except PluginError:
        raise
    except BaseException as error:  # a plugin's top level, and what it does as a class is looked at, can raise anything
        raise PluginError(f'plugin "{name}": {_place(error, origin)}: {_cause(error)}') from error


def _place(error: BaseException, origin: Path) -> str:
    """file:line of what went wrong: of the syntax error, or of the plugin's innermost line on the way to it."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(str(origin))]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else str(origin)


def _cause(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}".rstrip(": ")
    if isinstance(error, ModuleNotFoundError):
        return f"{text}; install it into the Python of the gateway: {sys.executable} -m pip install {error.name}"
    return text


def _choose(module: ModuleType, origin: Path) -> PluginClass:
    found = list(_classes(module))
    if len(found) == 1:
        return _complete(found[0], origin)
    if not found:
        raise PluginError(
            f'plugin "{origin.stem}": {module.__file__} holds no {IN_WORDS} class: '
            "write class Name(Driver[MyDevice, MyTag]), or import it there"
        )
    names = " and ".join(sorted(f"{cls.__name__} ({_line(cls)})" for cls in found))
    raise PluginError(
        f'plugin "{origin.stem}": holds {names}, but a plugin is one {IN_WORDS}: '
        "make two plugins of it, or start the name of a common base with an underscore"
    )


def _classes(module: ModuleType) -> Iterator[PluginClass]:
    """The plugin classes of a plugin's own, without bases that start with an underscore."""
    for name, value in vars(module).items():
        if (
            isinstance(value, type)
            and issubclass(value, BASES)
            and not name.startswith("_")
            and re.match(rf"{re.escape(module.__name__)}(\.|$)", value.__module__)
        ):
            yield value


def _complete(cls: PluginClass, origin: Path) -> PluginClass:
    """The class, if it names its option types and implements what the gateway cannot do without."""
    try:
        types = option_types(cls)
    except TypeError as error:
        raise PluginError(f'plugin "{origin.stem}": {_line(cls)}: {error}') from error
    contract = contract_of(cls)
    for base, given in zip(contract.kind.options, types, strict=False):
        if not (isinstance(given, type) and issubclass(given, base)):
            raise PluginError(
                f'plugin "{origin.stem}": {_line(cls)}: {cls.__name__} is given {given} for its options: derive a class '
                f"from {base.__name__}, or name {base.__name__} itself"
            )
    implemented = _implemented(cls)
    missing = [needed[0] for needed in contract.needs if not implemented.intersection(needed)]
    if missing:
        raise PluginError(f'plugin "{origin.stem}": {_line(cls)}: {cls.__name__} lacks {" and ".join(missing)}')
    return cls


def _implemented(cls: PluginClass) -> set[str]:
    return {name for base in cls.__mro__ if base not in (*BASES, object) for name in vars(base)}


def _line(cls: type) -> str:
    """file:line of a class."""
    module = sys.modules[cls.__module__]
    source = Path(str(module.__file__)).read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(source, 1):
        if re.match(rf"\s*class\s+{cls.__name__}\b", line):
            return f"{module.__file__}:{number}"
    return str(module.__file__)
