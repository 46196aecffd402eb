"""What a driver may have beside its contract: guessing what an address means, for a protocol that does not tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.readings import Exact
from gateway.core.tag import Device


@dataclass(frozen=True, slots=True)
class Guess:
    """One of the things that an address of a device may mean."""

    options: Mapping[str, str | int]
    """As the config writes a tag that means it, such as {"address": "hr:0", "type": "float32", "order": "CDAB"}."""

    value: Exact | float


class Guessing(Protocol):
    """A driver that has this method is asked by `edge-gateway probe`."""

    async def guesses(self, device: Device, address: str, count: int) -> Sequence[Guess]:
        """What `count` places of the device from `address` on may mean; the most usual first. Raises DeviceError."""
        ...
