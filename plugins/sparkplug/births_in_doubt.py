"""Births over which a broker ends the connection, as those of MQTT 3.1.1 do with a message that is too large for them: which
device's it is has to be found out, since nothing else tells."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway.plugin import LinkError

TRIALS = 2
"""How often the connection must end over the birth of one device, sent alone."""
LEFT_OUT = 600.0
"""Seconds for which its device is not born then."""
WHY = (
    "the broker ends the connection over its birth: raise the broker's limit of sizes, or spread the device's tags over"
    " several [[device]]"
)

_MEMORY = "births in doubt"


@dataclass(slots=True)
class _Memory:
    careful: bool = False
    strikes: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, float] = field(default_factory=dict)
    """Loop time until which."""


class BirthsInDoubt:
    """Of one session; what it leaves for the next stands in `memory`. After an end with births on their way, each birth of
    the next session is sent alone, and waited for."""

    def __init__(
        self, memory: dict[str, Any], log: structlog.stdlib.BoundLogger, barrier: Callable[[], Awaitable[None]]
    ) -> None:
        """`barrier` returns when the broker has read what was sent."""
        self._memory: _Memory = memory.setdefault(_MEMORY, _Memory())
        self._log = log
        self._barrier = barrier

    @property
    def careful(self) -> bool:
        """Whether births go one by one."""
        return self._memory.careful

    def why_not(self, device: str) -> str:
        """Why it is not to be born; empty when it may."""
        until = self._memory.left_out.get(device)
        if until is None:
            return ""
        if asyncio.get_running_loop().time() < until:
            return WHY
        del self._memory.left_out[device]
        return ""

    async def sent(self, device: str) -> None:
        """The birth of a device, or of the node (empty), was sent: wait until it was read, if that is in doubt. Raises
        LinkError when the connection ends."""
        if not self.careful:
            return
        try:
            await self._barrier()
        except LinkError:
            strikes = self._memory.strikes[device] = self._memory.strikes.get(device, 0) + 1
            if strikes >= TRIALS and device:
                del self._memory.strikes[device]
                self._memory.left_out[device] = asyncio.get_running_loop().time() + LEFT_OUT
                self._log.warning("a device is not born for 10 min", device=device, reason=WHY)
            raise
        self._memory.strikes.pop(device, None)

    def all_sent(self) -> None:
        """All births of this session were read."""
        self._memory.careful = False

    def ended(self) -> None:
        """The connection has ended with births on their way."""
        self._memory.careful = True
