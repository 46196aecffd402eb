"""Cases of a driver: a folder holds `config.toml` and what must come of it, `plan.txt` or `error.txt`. A bug report about a
configuration becomes a test by two files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.acquire.probe_devices import unbound
from gateway.config.kinds import DRIVER, PluginKind
from gateway.config.load import load
from gateway.core.errors import ConfigError
from gateway.plugin.driver import Driver, option_types


def check_case(folder: Path, name: str, driver: type[Driver[Any, Any]]) -> None:
    """Assert what must come of a case, where the driver's plugin is called `name`. The working directory must be the
    folder, since messages name the file as it was given."""
    wrong = folder / "error.txt"
    try:
        told = planned(Path("config.toml"), name, driver)
    except ConfigError as error:
        assert wrong.exists(), f"not a right configuration: {error}"
        assert f"{error}\n" == wrong.read_text(encoding="utf-8")
    else:
        assert not wrong.exists(), f"a right configuration, though error.txt says otherwise: {told}"
        assert told == (folder / "plan.txt").read_text(encoding="utf-8")


def planned(config: Path, name: str, driver: type[Driver[Any, Any]]) -> str:
    """How the devices of a configuration will be read, as `check` tells it. Raises ConfigError."""
    specs = load(config, lambda _: _OneDriver(name, driver)).devices
    return "".join(f"{line}\n" for spec in specs for line in driver.plan(unbound(spec)))


class _OneDriver:
    """The look-up of an installation with this one plugin."""

    def __init__(self, name: str, driver: type[Driver[Any, Any]]) -> None:
        self._name = name
        self._driver = driver

    def names(self, kind: PluginKind) -> Sequence[str]:
        return [self._name] if kind is DRIVER else []

    def options(self, kind: PluginKind, name: str) -> tuple[type[Any], ...]:
        if name not in self.names(kind):
            raise KeyError(name)
        return option_types(self._driver)
