"""What people and far sides of sinks say of batches, and what they ask of them; what changes something is audited."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.clock import Clock
from gateway.core.command import Actor, Body
from gateway.core.context import WORK
from gateway.core.errors import GatewayError
from gateway.core.text import cleaned, listed
from gateway.core.times import EARLIEST, LATEST, rfc3339
from gateway.operate.audit_log import AuditLog
from gateway.outbox import Outbox
from gateway.production import LONGEST, Correction, Production, Statement

MILLISECOND = 1_000_000
AHEAD_NS = 2_000_000_000
"""How far in the future a begin or an end may lie: what two clocks that are kept right may differ by."""

WRITTEN_WITHIN = 5.0
"""Seconds that the disk is waited for, so that all that came in before is counted."""
LONG_AGO_NS = 366 * 86_400 * 1_000_000_000


class BatchCommands:
    """Begin, end, and phases of batches; each answer is what is open then."""

    def __init__(self, production: Production, outbox: Outbox, audit: AuditLog, clock: Clock) -> None:
        self._production = production
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    def commands(self) -> dict[str, Body]:
        """By their names on the control socket."""
        return {
            "batches": self.listed,
            "batch_start": self.start,
            "batch_set": self.set,
            "batch_end": self.end,
            "batch_correct": self.correct,
            "batch": self.shown,
        }

    async def listed(self, by: Actor) -> Mapping[str, Any]:
        """What is open, by device, and the batches that are over; times in ms since 1970."""
        return {
            "open": {
                device: {
                    name: {"value": part.value, "by": part.by, "rule": part.rule, "since": part.since_ns // MILLISECOND}
                    for name, part in parts.items()
                }
                for device, parts in self._production.open_parts.items()
            },
            "ended": [
                {
                    "batch": each.batch, "device": each.device,
                    "from": each.from_ns // MILLISECOND, "to": each.to_ns // MILLISECOND,
                }
                for each in self._production.ended
            ],
        }  # fmt: skip

    async def start(
        self,
        by: Actor,
        batch: str,
        devices: Sequence[str],
        at_ns: int | None = None,
        reason: str = "",
        **parts: str | None,
    ) -> Mapping[str, Any]:
        """A batch begins for these devices. The same once more changes nothing. A begin in the past is open from now on, and
        a correction tells of the time before. Raises GatewayError."""
        said = self._said(by, at_ns)
        wanted = {"batch": _name("batch", batch), **_given(parts)}
        unit = self._unit(devices)
        self._production.check_free(unit, wanted, anew=True)
        repeated = all(self._says(device, wanted) for device in unit)
        if not repeated:
            async with self._audit.audited(by, "batch.start", target=batch, devices=unit, why=reason, **_at(said)):
                self._production.check_free(unit, wanted, anew=True)
                self._open(unit, wanted, said, reason)
                await self._production.saved()
        return {**await self.listed(by), "repeated": repeated}

    async def set(
        self, by: Actor, devices: Sequence[str], at_ns: int | None = None, reason: str = "", **parts: str | None
    ) -> Mapping[str, Any]:
        """Another part of what these devices work for, such as the phase. Raises GatewayError."""
        said, wanted = self._said(by, at_ns), _given(parts)
        if not wanted:
            raise GatewayError(f"say what they work for: {', '.join(name for name in WORK if name != 'batch')}")
        unit = self._unit(devices)
        self._production.check_free(unit, wanted, anew=False)
        repeated = all(self._says(device, wanted) for device in unit)
        if not repeated:
            async with self._audit.audited(by, "batch.set", devices=unit, why=reason, **_at(said), **wanted):
                self._production.check_free(unit, wanted, anew=False)
                self._open(unit, wanted, said, reason)
                await self._production.saved()
        return {**await self.listed(by), "repeated": repeated}

    async def end(
        self, by: Actor, batch: str, devices: Sequence[str] = (), at_ns: int | None = None, reason: str = ""
    ) -> Mapping[str, Any]:
        """A batch ends. Raises GatewayError, also for one that is open nowhere."""
        said = self._said(by, at_ns)
        unit = self._working_for(batch, devices)
        async with self._audit.audited(by, "batch.end", target=batch, devices=unit, why=reason, **_at(said)):
            unit = self._working_for(batch, devices)
            self._production.end(batch, unit, said)
            for device in unit:
                self._tell_late(device, said, {"batch": ""}, {"batch": batch}, reason)
            await self._production.saved()
        return await self.listed(by)

    async def correct(
        self, by: Actor, devices: Sequence[str], from_ns: int, to_ns: int, reason: str, **parts: str | None
    ) -> Mapping[str, Any]:
        """An event that tells what the readings of a past time belonged to. Raises GatewayError."""
        wanted, now = _given(parts), self._clock.wall_ns()
        if not wanted:
            raise GatewayError(f"say what they worked for: {', '.join(WORK)}")
        if not EARLIEST <= from_ns < to_ns or to_ns > now + AHEAD_NS:
            raise GatewayError("a correction is of a time that is over: from before to, and neither in the future")
        unit = self._unit(devices)
        times = {"from": rfc3339(from_ns), "to": rfc3339(to_ns)}
        async with self._audit.audited(by, "batch.correct", devices=unit, why=reason, **times, **wanted):
            for device in unit:
                self._production.correct(device, Correction(from_ns, to_ns, wanted, reason), Statement(by.name, now))
            await self._production.saved()
        return {"devices": unit, "corrected": wanted}

    async def shown(
        self, by: Actor, batch: str, from_ns: int | None = None, to_ns: int | None = None
    ) -> Mapping[str, Any]:
        """What a batch gave, with when it began and ended for each device, as far as that is known. Raises GatewayError for
        one of which nothing is known."""
        low, high = EARLIEST if from_ns is None else from_ns, LATEST if to_ns is None else to_ns
        written = self._outbox.written_out(WRITTEN_WITHIN)
        return {**await self._outbox.batches.of(batch, (low, high), written), "times": self._times(batch)}

    def _times(self, batch: str) -> list[Mapping[str, Any]]:
        """When devices worked for it, oldest first; ms since 1970."""
        found: list[tuple[int, int | None, str]] = [
            (each.from_ns, each.to_ns, each.device) for each in self._production.ended if each.batch == batch
        ]
        found += [
            (self._production.of(device)["batch"].since_ns, None, device)
            for device in self._production.devices_of(batch)
        ]
        return [
            {"device": device, "from": low // MILLISECOND, "to": None if high is None else high // MILLISECOND}
            for low, high, device in sorted(found, key=lambda each: each[0])
        ]

    def _said(self, by: Actor, at_ns: int | None) -> Statement:
        now = self._clock.wall_ns()
        if at_ns is None:
            return Statement(by.name, now)
        if at_ns > now + AHEAD_NS:
            raise GatewayError(
                f"{rfc3339(at_ns)[:19]}Z lies {(at_ns - now) / 1e9:.0f} s ahead of this gateway's clock: set the clocks "
                "right, or say it when it is so"
            )
        if at_ns < now - LONG_AGO_NS:
            raise GatewayError(
                f"{rfc3339(max(at_ns, 0))[:19]}Z is more than a year ago: what that was, a correction can tell"
            )
        return Statement(by.name, min(at_ns, now))

    def _unit(self, devices: Sequence[str]) -> list[str]:
        if not devices:
            raise GatewayError("say for which devices")
        return self._production.unit(devices)

    def _working_for(self, batch: str, patterns: Sequence[str]) -> list[str]:
        working = self._production.devices_of(batch)
        if not working:
            raise GatewayError(f"batch {cleaned(batch, LONGEST)} is open nowhere{self._when_it_was(batch)}")
        if not patterns:
            return working
        unit = self._production.unit(patterns)
        if others := [device for device in unit if device not in working]:
            raise GatewayError(f"{listed(others)} do not work for batch {batch}")
        return unit

    def _when_it_was(self, batch: str) -> str:
        ended = [each for each in self._production.ended if each.batch == batch]
        if ended:
            return f": it ended at {rfc3339(ended[-1].to_ns)[:19]}Z"
        open_ones = sorted({parts["batch"].value for parts in self._production.open_parts.values() if "batch" in parts})
        return f"; open are: {listed(open_ones)}" if open_ones else ", and no other is"

    def _says(self, device: str, wanted: Mapping[str, str]) -> bool:
        return all(self._value(device, name) == value for name, value in wanted.items())

    def _value(self, device: str, name: str) -> str:
        part = self._production.of(device).get(name)
        return part.value if part is not None else ""

    def _open(self, unit: Sequence[str], wanted: Mapping[str, str], said: Statement, reason: str) -> None:
        before = {device: {name: self._value(device, name) for name in wanted} for device in unit}
        self._production.open(unit, wanted, said)
        for device, recorded in before.items():
            changed = {name: value for name, value in wanted.items() if recorded[name] != value}
            if changed:
                self._tell_late(device, said, changed, {name: recorded[name] for name in changed}, reason)

    def _tell_late(
        self, device: str, said: Statement, parts: Mapping[str, str], recorded: Mapping[str, str], reason: str
    ) -> None:
        """What was said late was so already: the records of the time before it was said are corrected by an event."""
        now = self._clock.wall_ns()
        if now - said.t_ns > AHEAD_NS:
            why = reason or "it was said late"
            self._production.correct(device, Correction(said.t_ns, now, parts, why, recorded), said)


def _given(parts: Mapping[str, str | None]) -> dict[str, str]:
    return {name: _name(name, value) if value else "" for name, value in parts.items() if value is not None}


def _name(part: str, value: str) -> str:
    said = cleaned(value, LONGEST).strip()
    if not said:
        raise GatewayError(f"{part} must have a name")
    return said


def _at(said: Statement) -> dict[str, str]:
    return {"at": rfc3339(said.t_ns)}
