"""Calling methods of devices: only those that the configuration allows by name, and in the audit trail before it is done."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config.mistakes import did_you_mean
from gateway.core.command import Actor
from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.operate.writes import WriteSurroundings


class Calls:
    """Guards every call. One at a time per device."""

    def __init__(self, around: WriteSurroundings) -> None:
        self._around = around
        self._alone: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def call(
        self, by: Actor, device: str, target: str, method: str, arguments: Sequence[Any], reason: str
    ) -> dict[str, Any]:
        """Call a method of an object of a device; its results as JSON values. Raises GatewayError for what is refused, or
        fails."""
        check_allowed(self._around.devices.methods(device), device, target, method)
        if not self._around.allowed():
            raise GatewayError("calling is switched off: [gateway] writes = true allows it")
        said = {"target": f"{device}/{target}.{method}", "arguments": list(arguments), "why": reason}
        async with self._alone[device], self._around.audit.audited(by, "call", **said) as outcome:
            try:
                results = await self._around.devices.call(device, target, method, arguments)
            except GatewayError as error:
                self._tell(by.name, device, {**said, "result": f"failed: {error}"})
                raise
            given = [{"name": name, "value": value} for name, value in results]
            outcome["results"] = given
            self._tell(by.name, device, {**said, "result": "done", "results": given})
        return {"device": device, "object": target, "method": method, "results": given}

    def _tell(self, who: str, device: str, said: dict[str, Any]) -> None:
        """The result, to the far side. It is done by now, whatever becomes of this."""
        now = self._around.clock.wall_ns()
        arguments = ", ".join(map(str, said["arguments"]))
        message = f"{who} called {said['target']}({arguments}): {said['result']}."
        severity = "info" if said["result"] == "done" else "warning"
        self._around.emit(Event(f"call-{now}", "call", "done", device, now, message, severity, {"who": who, **said}))


def check_allowed(methods: Mapping[str, Sequence[str]], device: str, target: str, method: str) -> None:
    """Raises GatewayError, saying what is allowed, unless this is."""
    if not methods:
        raise GatewayError(
            f"no method of {device} may be called: [device.methods] allows them by name, if its driver can"
        )
    if target not in methods:
        raise GatewayError(f'{device}: [device.methods] has no "{target}"{did_you_mean(target, [*methods])}')
    if method not in methods[target]:
        allowed = ", ".join(methods[target])
        raise GatewayError(f'{device}: "{method}" of {target} may not be called; [device.methods] allows: {allowed}')
