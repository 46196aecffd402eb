"""All alarms of the gateway: what is raised, who has seen it, what is shelved. Kept on disk, so a restart changes nothing.

What changes is written to a file first and said as an event then. A gateway that was killed in between says at its next
start what is raised, under the same ids; so the far side may hear a raise twice, and never misses one.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog

from gateway.alarms import alarm_file
from gateway.alarms.alarm import CONDITION, UNHEARD, Alarm, Key, Said
from gateway.alarms.announcements import Announcements
from gateway.alarms.chatter import Chatter
from gateway.alarms.deadline import Deadline
from gateway.alarms.evidence import Evidence, EvidenceStore
from gateway.config.mistakes import did_you_mean
from gateway.core.amounts import format_duration
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.event import Event, EventLog
from gateway.outbox.format import boot_number
from gateway.status import AlarmStatus

LOOK_SECONDS = 5.0
"""How often the time of shelved alarms is looked at."""
KEEP_LEFT_NS = 60_000_000_000
"""How often what is left of shelvings is written down, by the boot clock."""
LONGEST_SHELF = 30 * 86_400.0
"""Seconds; nothing is shelved for ever."""
SHORTEST_PREFIX = 4
_WATCHERS = {"anomaly": "model", "drift": "model"}
"""By kind, what events call the source; that of any other kind is called as the kind is."""
_ORDER = ("raised", "latched", "cleared", "acknowledged", "normal")

log = structlog.get_logger()


class Alarms:
    """The alarms that are raised, wait to be acknowledged, or are shelved. Only for one thread, the event loop's."""

    def __init__(
        self,
        events: EventLog,
        clock: Clock,
        path: Path | None = None,
        store: EvidenceStore | None = None,
    ) -> None:
        """Reads `path`, where there is one; without, nothing is kept and events are said at once. `store` is where the
        windows of anomalies are kept."""
        self._clock = clock
        self._chatter = Chatter(clock)
        self._alarms: dict[Key, Alarm] = {}
        self._announcements = Announcements(events, self._alarms, path, store)
        self._watched: frozenset[Key] = frozenset()
        self._boot = boot_number()
        self._keep_left_ns = clock.boot_ns() + KEEP_LEFT_NS
        if path is not None:
            self._alarms.update((alarm.key, alarm) for alarm in alarm_file.read(path))
        for alarm in self._alarms.values():
            if alarm.shelved_until is not None:  # from now on by the clock of this boot
                alarm.shelved_until = alarm.shelved_until.kept(clock, self._boot)
        self._of_before = tuple(self._alarms.values())

    def get(self, key: Key) -> Alarm | None:
        """The alarm, if there is anything to be said of it."""
        return self._alarms.get(key)

    def of_device(self, device: str) -> list[Alarm]:
        """What the device itself has raised."""
        return [alarm for alarm in self.of_devices() if alarm.key.device == device]

    def of_devices(self) -> list[Alarm]:
        """What devices themselves have raised."""
        return [alarm for key, alarm in self._alarms.items() if key.kind == CONDITION]

    # What models and limits say.

    def raised(self, key: Key, event: Event, latch: bool = False, evidence: Evidence | None = None) -> None:
        """A condition has begun. One that latched and is still active goes on under its first event."""
        alarm = self._alarms.setdefault(key, Alarm(key))
        alarm.latch = latch
        if alarm.active:
            alarm.condition = True
            self._announcements.alarms_changed()
            return
        event = self._with_chatter(key, event)
        alarm.raise_(event)
        self._say(alarm, event, evidence)

    def cleared(self, key: Key, event: Event, evidence: Evidence | None = None) -> None:
        """The condition has ended; `event` bears the id that it was raised under."""
        alarm = self._alarms.get(key)
        if alarm is None or not alarm.active:
            return
        if alarm.condition_gone():
            alarm.clear(event.t_ns)
            self._say(alarm, event, evidence)
        else:
            self._announcements.alarms_changed()

    def changed(self, alarm: Alarm, event: Event | None) -> None:
        """Keep the alarm as it now is, and say this of it, if anything; for conditions, whose state is the device's to
        decide."""
        self._alarms.setdefault(alarm.key, alarm)
        if event is None:
            self._settle(alarm)
        else:
            self._say(alarm, self._with_chatter(alarm.key, event) if event.state == "raised" else event)

    def _with_chatter(self, key: Key, event: Event) -> Event:
        """What is raised, marked if that happens again and again."""
        before = key in self._chatter
        if not self._chatter.raised(key):
            return event
        if not before:
            log.warning("an alarm chatters: give it hysteresis or on_delay, or mend what it watches", alarm=key.name)
        return replace(event, detail={**event.detail, "chattering": True})

    def holding(self, kind: str, source: str) -> dict[str, Alarm]:
        """By device, the alarms of one model or limit whose condition still holds, as far as is known."""
        return {
            key.device: alarm
            for key, alarm in self._alarms.items()
            if (key.kind, key.source) == (kind, source) and alarm.condition
        }

    def retain(self, watched: Collection[Key]) -> None:
        """From now on these are watched. What is raised of others ends, apart from devices' own: nobody would see its end."""
        self._watched = frozenset(watched)
        for key in [key for key in self._alarms if key not in self._watched and key.kind != CONDITION]:
            self.abandon(key)

    def abandon(self, key: Key) -> None:
        """End one that is no longer watched."""
        alarm = self._alarms.get(key)
        if alarm is None or not alarm.active:
            return
        now = self._clock.wall_ns()
        alarm.clear(now)
        watcher = _WATCHERS.get(key.kind, key.kind)
        message = f'{key.device} is no longer watched by {watcher} "{key.source}"; what it had raised had not ended'
        self._say(alarm, _of(alarm, "abandoned", now, message))

    # What people say.

    def find(self, which: str) -> Alarm:
        """The alarm of this name ("model/device") or whose event's id begins so, also one that is normal. Raises GatewayError
        for none or several."""
        found = [
            alarm
            for alarm in self._alarms.values()
            if which == alarm.key.name or (len(which) >= SHORTEST_PREFIX and alarm.event.startswith(which.lower()))
        ]
        found += [Alarm(key) for key in self._watched - self._alarms.keys() if key.name == which]
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(alarm.event or f"{alarm.key.kind} {which}" for alarm in found)
            raise GatewayError(f'"{which}" means several alarms: {named}; write the id of one, or its first characters')
        names = sorted({key.name for key in self._alarms.keys() | self._watched})
        known = did_you_mean(which, names) or "; nothing is watched: there is no [[alarm]], and no [[model]] runs"
        raise GatewayError(f'no alarm "{which}"{known}')

    def acknowledge(self, alarm: Alarm, who: str, comment: str) -> None:
        """Somebody has seen it. Raises GatewayError when nothing waits for that."""
        self.check_waits(alarm)
        now = self._clock.wall_ns()
        ends = alarm.acknowledge(Said(who, now, comment))
        message = f"{who} has acknowledged: {alarm.message}"
        self._say(alarm, _of(alarm, "acknowledged", now, message, by=who, comment=comment))
        if ends:
            alarm.clear(now)
            self._say(alarm, _of(alarm, "cleared", now, f"{alarm.key.name} is over, and was acknowledged"))

    def check_waits(self, alarm: Alarm) -> None:
        """Raises GatewayError when nobody has to acknowledge it."""
        if not alarm.waits:
            told = f"{alarm.acknowledged.by} has acknowledged it" if alarm.acknowledged else f"it is {alarm.state}"
            raise GatewayError(f"{alarm.key.name}: nothing to acknowledge: {told}")

    def shelve(self, alarm: Alarm, who: str, seconds: float, reason: str) -> None:
        """Make it unheard for a time. Raises GatewayError for too long."""
        self.check_shelf(seconds)
        now = self._clock.wall_ns()
        self._alarms[alarm.key] = alarm
        alarm.shelved = Said(who, now, reason)
        alarm.shelved_until = Deadline.in_(seconds, self._clock, self._boot)
        message = f"{who} has shelved {alarm.key.name} for {format_duration(seconds)}: {reason}"
        until = self._until(alarm) // 1_000_000
        alarm.event = alarm.event or uuid4().hex
        self._say(alarm, _of(alarm, "shelved", now, message, by=who, reason=reason, until=until))

    def check_shelf(self, seconds: float) -> None:
        """Raises GatewayError for a time that nothing is shelved for."""
        if not 0 < seconds <= LONGEST_SHELF:
            raise GatewayError(f"an alarm is shelved for {format_duration(LONGEST_SHELF)} at most")

    def check_shelved(self, alarm: Alarm) -> None:
        """Raises GatewayError when it is not shelved."""
        if alarm.shelved is None:
            raise GatewayError(f"{alarm.key.name} is not shelved")

    def unshelve(self, alarm: Alarm, who: str) -> None:
        """Make it heard again, before its time. Raises GatewayError when it is not shelved."""
        self.check_shelved(alarm)
        alarm.shelved = alarm.shelved_until = None
        self._say(alarm, _of(alarm, "unshelved", self._clock.wall_ns(), f"{alarm.key.name} is heard again", by=who))
        self._restate(alarm)

    def listed(self) -> list[AlarmStatus]:
        """All of them, those that need somebody first."""
        ordered = sorted(self._alarms.values(), key=lambda alarm: (_ORDER.index(alarm.state), -alarm.raised_ns))
        return [alarm.status(self._until(alarm), alarm.key in self._chatter) for alarm in ordered]

    def _until(self, alarm: Alarm) -> int:
        """When its shelving ends, as the wall clock goes now, ns since 1970."""
        until = alarm.shelved_until
        return self._clock.wall_ns() + (until.left(self._clock, self._boot) if until else 0)

    # What lasts.

    async def run(self) -> None:
        """Say what is raised since before the start, then save and say what changes, until cancelled."""
        for alarm in self._of_before:
            self._restate(alarm)
        try:
            while True:
                await self._announcements.save()
                await self._announcements.next_change(LOOK_SECONDS)
                self._end_shelving()
                self._chatter.forget_quiet()
        finally:
            await self._announcements.finish()

    def _end_shelving(self) -> None:
        now, boot = self._clock.boot_ns(), self._boot
        keep = now >= self._keep_left_ns
        for alarm in tuple(self._alarms.values()):
            until = alarm.shelved_until
            if alarm.shelved is not None and (until is None or not until.left(self._clock, boot)):
                self.unshelve(alarm, "system")
            elif until is not None and keep:
                alarm.shelved_until = until.kept(self._clock, boot)
                self._announcements.save_along()
        if keep:
            self._keep_left_ns = now + KEEP_LEFT_NS

    def _restate(self, alarm: Alarm) -> None:
        if alarm.active and alarm.shelved is None and not alarm.acknowledged:
            self._say(alarm, _of(alarm, "raised", alarm.raised_ns, alarm.message, restated=True))

    def _say(self, alarm: Alarm, event: Event, evidence: Evidence | None = None) -> None:
        if alarm.shelved is not None and event.state in ("raised", "cleared"):
            event = replace(event, severity=UNHEARD, detail={**event.detail, "shelved": True})
        self._announcements.add(event, evidence)
        self._settle(alarm)

    def _settle(self, alarm: Alarm) -> None:
        if alarm.is_over:
            self._alarms.pop(alarm.key, None)
        self._announcements.alarms_changed()


def _of(alarm: Alarm, state: str, t_ns: int, message: str, **detail: Any) -> Event:
    source = {_WATCHERS.get(alarm.key.kind, alarm.key.kind): alarm.key.source}
    return Event(
        alarm.event, alarm.key.kind, state, alarm.key.device, t_ns, message, alarm.severity, {**source, **detail}
    )
