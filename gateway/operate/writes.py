"""Writing to devices, and calling their methods: only what the configuration allows, in the audit trail before it is sent.

Two switches must be on: `[gateway] writes`, and the tag's `write`, whose value must keep the tag's min, max and max_rate and
is read back after, or the method's name in [device.methods]. Everything else is refused with the reason. Where the audit
trail cannot be written, nothing is.
"""

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from gateway.acquire.acquirer import Acquirer
from gateway.config.base import TagConfig
from gateway.config.mistakes import did_you_mean
from gateway.core.clock import Clock
from gateway.core.command import Actor
from gateway.core.errors import GatewayError
from gateway.core.event import Event, EventLog
from gateway.core.live import LiveDevice, LiveTable
from gateway.core.plain import plain
from gateway.core.quality import describe
from gateway.core.tag import Tag
from gateway.operate.audit_log import AuditLog
from gateway.operate.device_answers import readings

Value = float | bool | int | str


@dataclass(frozen=True, slots=True)
class WriteSurroundings:
    """What a write, or a call, needs of the gateway."""

    allowed: bool
    """Whether `[gateway] writes` is on."""
    live: LiveTable
    acquirer: Acquirer
    audit: AuditLog
    events: EventLog
    clock: Clock


class WriteAnswer(TypedDict):
    """What came of a write."""

    device: str
    tag: str
    unit: str
    old: Any
    """The value before, or its quality in words."""
    new: Value
    read: Any
    """What was read back; null where that was not to be had."""
    result: str


class Writes:
    """Guards every write. One at a time per device."""

    def __init__(self, around: WriteSurroundings) -> None:
        self._around = around
        self._alone: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._recent: dict[str, deque[float]] = defaultdict(deque)

    async def write(self, by: Actor, device: str, tag: str, value: Value, reason: str) -> WriteAnswer:
        """Write a value in the published unit; what came of it: `result` is "confirmed", "differs" or "not confirmed".
        Raises GatewayError for what is refused, or fails."""
        live, found = self._target(device, tag)
        wanted = allowed(found, value)
        raw = unscaled(found.config, wanted)
        async with self._alone[device]:
            self._within_rate(found)
            old = _present(live, found)
            said = {"target": str(found), "old": old, "new": wanted, "why": reason}
            async with self._around.audit.audited(by, "write", **said) as outcome:
                try:
                    await self._around.acquirer.write(found, raw)
                except GatewayError as error:
                    self._tell(by.name, found, {**said, "result": f"failed: {error}"})
                    raise
                read, result = await self._read_back(found, wanted)
                outcome |= {"read": read, "result": result}
                self._tell(by.name, found, {**said, **outcome})
        return {
            "device": device,
            "tag": tag,
            "unit": found.unit,
            "old": old,
            "new": wanted,
            "read": read,
            "result": result,
        }

    def _target(self, device: str, tag: str) -> tuple[LiveDevice, Tag]:
        live = self._around.live
        if device not in live:
            raise GatewayError(f'no device "{device}"; there are: {", ".join(each.device.name for each in live)}')
        tags = live[device].device.tags
        found = next((each for each in tags if each.name == tag), None)
        if found is None:
            raise GatewayError(f'device "{device}" has no tag "{tag}"; it has: {", ".join(each.name for each in tags)}')
        if not self._around.allowed:
            raise GatewayError("writing is switched off: [gateway] writes = true allows it")
        if not found.config.write:
            raise GatewayError(f"{found} may not be written: only a tag with write = true, min, max and max_rate may")
        return live[device], found

    def _within_rate(self, tag: Tag) -> None:
        """Counts this write, or refuses it. The count begins anew with the gateway."""
        count, seconds = tag.config.max_rate
        recent, now = self._recent[str(tag)], self._around.clock.boot_ns() / 1e9
        while recent and recent[0] <= now - seconds:
            recent.popleft()
        if len(recent) >= count:
            wait = recent[0] + seconds - now
            raise GatewayError(f"{tag} may be written {count} times in {seconds:g} s: try again in {wait:.1f} s")
        recent.append(now)

    async def _read_back(self, tag: Tag, wanted: Value) -> tuple[Any, str]:
        try:
            (row,) = readings(await self._around.acquirer.read(tag.device, [tag.name]))
        except GatewayError as error:
            return None, f"not confirmed: {error}"
        if not row["good"]:
            return None, f"not confirmed: it was read back as {row['quality']}"
        return row["value"], "confirmed" if about(row["value"], wanted, tag.config) else "differs"

    def _tell(self, who: str, tag: Tag, said: Mapping[str, object]) -> None:
        """The result, to the far side. The device has it by now, whatever becomes of this."""
        now = self._around.clock.wall_ns()
        message = (
            f"{who} wrote {said['new']} {tag.unit}".rstrip() + f" to {tag} (before: {said['old']}): {said['result']}."
        )
        severity = "info" if said["result"] == "confirmed" else "warning"
        detail = {"tag": tag.name, "who": who, **said}
        self._around.events.append_event(
            Event(f"write-{now}", "write", "done", tag.device, now, message, severity, detail)
        )


class ResultAnswer(TypedDict):
    """One result of a method."""

    name: str
    value: Any


class CallAnswer(TypedDict):
    """What came of a call."""

    device: str
    object: str
    method: str
    results: list[ResultAnswer]


class Calls:
    """Guards every call. One at a time per device."""

    def __init__(self, around: WriteSurroundings) -> None:
        self._around = around
        self._alone: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def call(
        self, by: Actor, device: str, target: str, method: str, arguments: Sequence[Any], reason: str
    ) -> CallAnswer:
        """Call a method of an object of a device; its results as JSON values. Raises GatewayError for what is refused, or
        fails."""
        check_allowed(self._around.acquirer.methods(device), device, target, method)
        if not self._around.allowed:
            raise GatewayError("calling is switched off: [gateway] writes = true allows it")
        said = {"target": f"{device}/{target}.{method}", "arguments": list(arguments), "why": reason}
        async with self._alone[device], self._around.audit.audited(by, "call", **said) as outcome:
            try:
                results = await self._around.acquirer.call(device, target, method, arguments)
            except GatewayError as error:
                self._tell(by.name, device, {**said, "result": f"failed: {error}"})
                raise
            given: list[ResultAnswer] = [{"name": name, "value": value} for name, value in results]
            outcome["results"] = given
            self._tell(by.name, device, {**said, "result": "done", "results": given})
        return {"device": device, "object": target, "method": method, "results": given}

    def _tell(self, who: str, device: str, said: Mapping[str, Any]) -> None:
        """The result, to the far side. It is done by now, whatever becomes of this."""
        now = self._around.clock.wall_ns()
        arguments = ", ".join(map(str, said["arguments"]))
        message = f"{who} called {said['target']}({arguments}): {said['result']}."
        severity = "info" if said["result"] == "done" else "warning"
        self._around.events.append_event(
            Event(f"call-{now}", "call", "done", device, now, message, severity, {"who": who, **said})
        )


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


def allowed(tag: Tag, value: Value) -> Value:
    """The value as it will be written. Raises GatewayError for one of the wrong type, or beyond the tag's limits."""
    config: TagConfig = tag.config
    if tag.type == "bytes":
        raise GatewayError(f"{tag} holds bytes, which cannot be written")
    if isinstance(value, str) != (tag.type == "string") or isinstance(value, bool) != (tag.type == "bool"):
        raise GatewayError(f"{tag} is a {tag.type or 'number'}; {value!r} is none")
    if isinstance(value, str | bool):
        return value
    if not math.isfinite(value):
        raise GatewayError(f"{tag}: {value} is no number to write")
    if config.min is None or config.max is None:
        raise GatewayError(f"{tag} is a number: give it min and max in the configuration before it can be written")
    if not config.min <= float(value) <= config.max:
        raise GatewayError(f"{tag}: {value} is outside {config.min:g} to {config.max:g} {tag.unit}".rstrip())
    if "int" in tag.type and value != int(value):
        raise GatewayError(f"{tag} is a whole number; {value} is none")
    if not _holds(tag.type, value):
        raise GatewayError(f"{tag} is a {tag.type}, which does not hold {value:g}: mend its min and max")
    return int(value) if "int" in tag.type else float(value)


def _holds(type_: str, value: float) -> bool:
    """Whether a number can be one of this type at all: what a driver could not put into its request."""
    if "int" in type_:
        return int(np.iinfo(type_).min) <= value <= int(np.iinfo(type_).max)
    return type_ != "float32" or abs(value) <= float(np.finfo(np.float32).max)


def unscaled(config: TagConfig, value: Value) -> Value:
    """The value in the device's own unit; what misses a whole number by rounding alone becomes one."""
    if not config.scaled or isinstance(value, str):
        return value
    raw = (value - config.offset) / config.scale
    return float(round(raw)) if math.isclose(raw, round(raw), rel_tol=1e-9, abs_tol=1e-9) else raw


def about(read: Any, wanted: Value, config: TagConfig) -> bool:
    """Whether the device has taken the value: exactly, or as nearly as its float32 or its steps can hold it."""
    if isinstance(wanted, bool | str) or not isinstance(read, int | float):
        return bool(read == wanted)
    step = abs(config.scale) / 2 if config.scaled else 0.0
    return math.isclose(read, wanted, rel_tol=1e-6, abs_tol=step + 1e-12)


def _present(live: LiveDevice, tag: Tag) -> Any:
    """The last value that was read, or its quality in words."""
    row = next(row for row in live if row.tag.id == tag.id)
    return plain(row.value, tag.type) if row.quality < 0x4000_0000 else describe(row.quality)
