"""Several brokers for one session: which one is tried next, and when it is time to go back to one that stands before it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.core.errors import LinkError, RefusedError, UnreachableError
from gateway.mqtt.broker_options import MqttOptions

RECENTLY = 60.0
"""Seconds for which a broker that failed is tried after the others, if `return_after` is less."""

_MEMORY = "brokers"


class Brokers:
    """Those of one destination, the preferred one first. What failed when, and why, outlives a session in `memory`."""

    def __init__(self, options: MqttOptions, memory: dict[str, Any]) -> None:
        hosts = ((options.host, options.port), *options.standby)
        self._all = [replace(options, host=host, port=port, standby=()) for host, port in hosts]
        self._patience = max(RECENTLY, options.return_after)
        self.return_after = options.return_after
        self._failed: dict[str, tuple[float, str]] = memory.setdefault(_MEMORY, {})

    @property
    def several(self) -> bool:
        """Whether there is a choice."""
        return len(self._all) > 1

    def in_turn(self) -> list[MqttOptions]:
        """In their order; those that failed lately come last, so that a lost connection is not made anew over them."""
        now = asyncio.get_running_loop().time()
        return sorted(self._all, key=lambda each: now - self._failed.get(each.address, (-1e9, ""))[0] < self._patience)

    def before(self, options: MqttOptions) -> list[MqttOptions]:
        """Those that are preferred to this one."""
        return self._all[: [each.address for each in self._all].index(options.address)]

    def failed(self, options: MqttOptions, error: LinkError) -> None:
        """It could not be used now."""
        self._failed[options.address] = asyncio.get_running_loop().time(), str(error)

    def took_us(self, options: MqttOptions) -> None:
        """It can be used."""
        self._failed.pop(options.address, None)

    def why_not_better(self, options: MqttOptions) -> str:
        """Why it is this one, and none before it; empty for the first."""
        reasons = [self._failed[each.address][1] for each in self.before(options) if each.address in self._failed]
        return f"at standby broker {options.address}: {'; '.join(reasons)}" if self.before(options) else ""


def none_of(errors: Sequence[LinkError]) -> LinkError:
    """The error for brokers of which none could be used: a person must act where all say so."""
    if len(errors) == 1:
        return errors[0]
    kind = next(
        (kind for kind in (UnreachableError, RefusedError) if all(isinstance(e, kind) for e in errors)), LinkError
    )
    return kind("; ".join(map(str, errors)))
