"""What a driver was written for that goes with the next version, each with the line to write instead."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from gateway.plugin.driver import Driver

_OLD_NAMES = re.compile(r"\bself\.(alive|tell|state_dir)\b")
"""Of version 0.1; they are `self.host.alive` and so on."""


def outdated(driver: type[Driver[Any, Any]]) -> Iterator[str]:
    """A sentence for each; nothing for a driver of today."""
    if driver.__init__ is not Driver.__init__:
        given = [*inspect.signature(driver.__init__).parameters][1:]
        if given[1:2] != ["host"]:
            yield (
                f"{driver.__name__}.__init__({', '.join(['self', *given])}) is of version 0.1, and works until the next one: "
                "write  def __init__(self, devices: Sequence[Device], host: LineHost) -> None:  and in it  "
                "super().__init__(devices, host)"
            )
    if not inspect.signature(driver.subscribes).parameters:
        yield (
            f"{driver.__name__}.subscribes() without the configuration works until the next version: write  "
            "def subscribes(cls, config: MyDevice) -> bool:  under @classmethod"
        )
    for name in sorted({name for cls in _own(driver) for name in _OLD_NAMES.findall(_source(cls))}):
        yield f"{driver.__name__}: self.{name} is of version 0.1, and works until the next one: write  self.host.{name}"


def _own(driver: type[Driver[Any, Any]]) -> Iterator[type]:
    """The plugin's own classes."""
    return (cls for cls in driver.__mro__ if not cls.__module__.startswith(("gateway.", "builtins", "typing")))


def _source(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):  # made by a call, as in a test
        return ""
