"""What people ask of devices, by the control socket: last values, a read now, what a register may mean, what there is."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from gateway.acquire.acquirer import Acquirer
from gateway.acquire.plausible import several
from gateway.core.clock import Clock
from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
from gateway.core.live import LiveDevice, LiveTable
from gateway.operate import device_answers


class DeviceCommands:
    """All of them look only."""

    def __init__(self, live: LiveTable, acquirer: Acquirer, clock: Clock) -> None:
        self._live = live
        self._acquirer = acquirer
        self._clock = clock

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {"tags": self.tags, "read": self.read, "probe": self.probe, "browse": self.browse}

    async def tags(self, by: Actor, device: str | None = None) -> Iterator[device_answers.TagAnswer]:
        """Last values of all tags, or of one device's."""
        chosen = [self._device(device)] if device is not None else list(self._live)
        return (row for live in chosen for row in device_answers.tags(live, self._clock))

    async def read(self, by: Actor, device: str, tags: Sequence[str]) -> list[device_answers.ReadAnswer]:
        """Read tags of a device now."""
        known = {tag.name for tag in self._device(device).device.tags}
        for tag in tags:
            if tag not in known:
                raise GatewayError(f'device "{device}" has no tag "{tag}"; it has: {", ".join(sorted(known))}')
        return device_answers.readings(await self._acquirer.read(device, tags))

    async def probe(self, by: Actor, device: str, address: str, count: int) -> list[list[device_answers.GuessAnswer]]:
        """What stands at an address under every type and order, several times."""
        reads = await several(lambda: self._acquirer.guesses(device, address, count))
        return [[{"options": dict(guess.options), "value": guess.value} for guess in read] for read in reads]

    async def browse(self, by: Actor, device: str, types: int = 0) -> list[dict[str, str]] | None:
        """What a device offers, or what of it has a type that is known; null when the gateway has no connection to it."""
        if device not in self._live:
            return None
        offers = await self._acquirer.browse(device, types=bool(types))
        return None if offers is None else [{"address": address, **asdict(found)} for address, found in offers]

    def _device(self, name: str) -> LiveDevice:
        if name not in self._live:
            raise GatewayError(f'no device "{name}"; there are: {", ".join(live.device.name for live in self._live)}')
        return self._live[name]
