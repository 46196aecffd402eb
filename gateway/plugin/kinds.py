"""The kinds of plugins as classes: what each derives from, and what it has to implement."""

from dataclasses import dataclass
from typing import Any

from gateway.config.kinds import DRIVER, SERVICE, SINK, WATCH, PluginKind
from gateway.plugin.driver import Driver
from gateway.plugin.range_sink import RangeSink
from gateway.plugin.service import Service
from gateway.plugin.sink import Sink
from gateway.plugin.watch import Watch

PluginClass = type[Driver[Any, Any]] | type[Sink[Any]] | type[Service[Any]] | type[Watch[Any]]


@dataclass(frozen=True, slots=True)
class PluginContract:
    """What a plugin of a kind has to be."""

    kind: PluginKind
    base: type[Any]
    needs: tuple[tuple[str, ...], ...]
    """Methods that the gateway cannot do without; of several in one place one is enough, the first the usual one."""


CONTRACTS = (
    PluginContract(DRIVER, Driver, (("connect",), ("read", "stream"))),
    PluginContract(SINK, Sink, (("connect",), ("serve", "commit"), ("send", "commit"))),  # the one of a RangeSink
    PluginContract(SERVICE, Service, (("run",),)),
    PluginContract(WATCH, Watch, (("seen",),)),
)
BASES: tuple[PluginClass, ...] = (*(each.base for each in CONTRACTS), RangeSink)
_NAMES = [each.base.__name__ for each in CONTRACTS]
IN_WORDS = f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}"
"""What a plugin can be, for a person."""


def contract_of(cls: type[Any]) -> PluginContract:
    """The one that a plugin's class has to keep."""
    return next(each for each in CONTRACTS if issubclass(cls, each.base))
