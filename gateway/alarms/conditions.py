"""The conditions that devices raise themselves, as alarms beside the gateway's own.

The device decides how its conditions stand, and says so with each event. Here that becomes an alarm under one id from raise
to clear, and an event for each thing that is new; what is told once more, as after a lost connection, is recognised.

A device may tell as much as it likes: how its conditions stand is always taken over, of so many at a time; what is said of
that has a budget (`device_events.py`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

from gateway.alarms.alarm import CONDITION, Alarm, Key, Origin, Said
from gateway.alarms.alarms import Alarms
from gateway.alarms.device_events import DeviceEvents
from gateway.core.clock import Clock
from gateway.core.device_event import Condition, DeviceEvent, Retained, Told
from gateway.core.event import Event, EventLog

MOST = 10_000
"""Conditions that are kept as alarms; what devices raise beyond it is said, and not kept."""
MOST_OF_DEVICE = 500
"""Conditions of one device that are kept as alarms."""
ROOM_AGAIN = 450
"""A device that had more conditions is told to have few enough again once it has no more than these."""
LOOK_SECONDS = 5.0
"""How often it is told what could not be told at once."""
PATIENCE = 5.0
"""Seconds in which a device that took an acknowledgement is expected to say so by an event."""


class Conditions:
    """Takes what devices tell. Only for one thread, the event loop's."""

    def __init__(self, alarms: Alarms, events: EventLog, clock: Clock) -> None:
        self._alarms = alarms
        self._events = DeviceEvents(alarms, events, clock)
        self._clock = clock
        self._news = asyncio.Event()
        self._acknowledging: dict[Key, Said] = {}
        self._keys: defaultdict[str, dict[str, Key]] = defaultdict(dict)
        """Device → id of its condition → alarm."""
        self._full: set[str] = set()
        """Devices of which it was told that they have too many conditions."""
        for alarm in alarms.of_devices():
            if alarm.origin:
                self._keys[alarm.key.device][alarm.origin.condition] = alarm.key

    def told(self, told: Told) -> None:
        """What a driver hands up."""
        if isinstance(told, Retained):
            self._ended(told)
        elif told.condition is None:
            self._events.report(told.device, lambda: _plain(told, told.kind, told.state))
        else:
            self._stands(told, told.condition)
        self._news.set()

    def retain(self, devices: Collection[str]) -> None:
        """Only these devices tell conditions from now on. What others had raised ends: nobody would see its end."""
        now = self._clock.wall_ns()
        for alarm in self._alarms.of_devices():
            if alarm.key.device not in devices:
                message = f"{alarm.key.device} no longer tells its conditions; {alarm.key.source} had not ended"
                self._end(alarm, "abandoned", now, message)
        for device in self._keys.keys() - set(devices):
            del self._keys[device]
        self._full.intersection_update(devices)
        self._events.retain(devices)

    async def run(self) -> None:
        """Tell what could not be told at once, until cancelled; what is lost then too."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await self._events.catch_up()
                for device in tuple(self._keys):
                    self.look(device)
        finally:
            self._events.tell_lost()

    def look(self, device: str) -> None:
        """Whether the device has few enough conditions again; also people end some."""
        keys = self._keys[device]
        for condition in [condition for condition, key in keys.items() if self._alarms.get(key) is None]:
            del keys[condition]
        if device in self._full and len(keys) <= ROOM_AGAIN:
            self._full.discard(device)
            why = "its new conditions are alarms again; those that were none will be when it tells them anew"
            self._events.tell_of(device, "reported", why)

    # An acknowledgement that a person has given.

    @contextmanager
    def acknowledging(self, alarm: Alarm, who: str, comment: str) -> Iterator[None]:
        """While the device is told that somebody acknowledges: when it says that this is done, it was this person."""
        self._acknowledging[alarm.key] = Said(who, self._clock.wall_ns(), comment)
        try:
            yield
        finally:
            del self._acknowledging[alarm.key]

    async def acknowledged(self, alarm: Alarm, who: str, comment: str) -> None:
        """The device has taken the acknowledgement: wait until it says so by an event, or take it as said."""
        event = alarm.event
        try:
            async with asyncio.timeout(PATIENCE):
                while alarm.waits and alarm.event == event:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            if alarm.waits and alarm.event == event:
                self._alarms.acknowledge(alarm, who, comment)
                self._forget_if_over(alarm)

    # What devices say.

    def _stands(self, event: DeviceEvent, condition: Condition) -> None:
        keys = self._keys[event.device]
        alarm = self._alarms.get(keys[condition.id]) if condition.id in keys else None
        if alarm is None:
            matters = condition.active or (condition.retained and condition.acknowledged is False)
            if not matters or not self._has_room(event.device):
                if matters or not event.restated:
                    self._events.report(event.device, lambda: _plain(event, CONDITION, "reported"))
                return
            alarm = Alarm(self._new_key(event.device, condition))
        if _is_repeat(alarm, event, condition):
            return
        states = _advance(alarm, event, condition, self._acknowledging.get(alarm.key))
        keys[condition.id] = alarm.key
        self._events.say(alarm, [_of(alarm, state, event) for state in states])
        self._forget_if_over(alarm)

    def _has_room(self, device: str) -> bool:
        """Whether one more condition of it can be kept; that it has too many is told once."""
        if len(self._keys[device]) < MOST_OF_DEVICE:
            return sum(map(len, self._keys.values())) < MOST
        if device not in self._full:
            self._full.add(device)
            why = f"it has {MOST_OF_DEVICE} conditions at a time: further ones are told as events and are no alarms"
            self._events.tell_of(device, "reported", why)
        return False

    def _new_key(self, device: str, condition: Condition) -> Key:
        """By the condition's name; by its id too where the device has raised another of that name."""
        key = Key(CONDITION, condition.name, device)
        return key if self._alarms.get(key) is None else Key(CONDITION, f"{condition.name} {condition.id}", device)

    def _ended(self, retained: Retained) -> None:
        """Conditions that are over though nobody has seen their end. Those that the device had given up before, though they
        were active, are not among what it retains: of them this says nothing."""
        now = self._clock.wall_ns()
        for alarm in self._alarms.of_device(retained.device):
            if alarm.origin and alarm.origin.retained and alarm.origin.condition not in retained.conditions:
                message = f"{alarm.key.source} is over; its end was not seen"
                self._end(alarm, "cleared" if alarm.active else "acknowledged", now, message)

    def _end(self, alarm: Alarm, state: str, now: int, message: str) -> None:
        alarm.asks = False
        alarm.clear(now)
        event = Event(alarm.event, CONDITION, state, alarm.key.device, now, message, alarm.severity)
        self._events.say(alarm, [replace(event, detail={CONDITION: alarm.key.source, "unseen": True})])
        self._forget_if_over(alarm)

    def _forget_if_over(self, alarm: Alarm) -> None:
        if alarm.is_over and alarm.origin:
            self._keys[alarm.key.device].pop(alarm.origin.condition, None)


def _is_repeat(alarm: Alarm, event: DeviceEvent, condition: Condition) -> bool:
    """Whether this was told before. A device that is asked how it stands may give its word another id."""
    last = alarm.origin
    if last is None or (last.event != event.id and not (event.restated and last.t_ns == event.t_ns)):
        return False
    if (alarm.active, alarm.waits) != (condition.active, condition.acknowledged is False):
        return False
    alarm.origin = Origin(condition.id, event.id, event.t_ns, condition.retained)
    return True


def _advance(alarm: Alarm, event: DeviceEvent, condition: Condition, said: Said | None) -> list[str]:
    """Take over what the device says. Returns what is new, in the words of events; "changed" for all that has none."""
    states: list[str] = []
    alarm.asks = condition.acknowledged is not None
    alarm.origin = Origin(condition.id, event.id, event.t_ns, condition.retained)
    waited = alarm.waits
    if condition.active and not alarm.active:
        alarm.raise_(Event(uuid4().hex, CONDITION, "raised", event.device, event.t_ns, event.message, event.severity))
        states.append("raised")
    elif condition.acknowledged is False and not waited:
        states += _raised_again(alarm, event)
    if condition.active or not alarm.message:
        alarm.severity, alarm.message = event.severity, event.message
    if condition.acknowledged and alarm.waits:
        alarm.acknowledge(said or Said(event.by or event.device, event.t_ns, str(event.detail.get("comment") or "")))
        states.append("acknowledged")
    if alarm.active and not condition.active:
        alarm.clear(event.t_ns)
        states.append("cleared")
    if not condition.active and not condition.retained:
        alarm.asks = False
    return states or ["changed"]


def _raised_again(alarm: Alarm, event: DeviceEvent) -> list[str]:
    """It wants to be acknowledged once more, such as for a worse limit; or it was over before it was first seen."""
    alarm.event = alarm.event or uuid4().hex
    alarm.acknowledged = None
    alarm.occurrences += 1
    if alarm.active:
        return ["raised"]
    alarm.raised_ns, alarm.cleared_ns = alarm.raised_ns or event.t_ns, event.t_ns
    return ["raised", "cleared"]


def _plain(event: DeviceEvent, kind: str, state: str) -> Event:
    detail: dict[str, object] = {**event.detail}
    if event.condition is not None:
        detail = {CONDITION: event.condition.name, **detail}
    return Event(uuid4().hex, kind, state, event.device, event.t_ns, event.message, event.severity, detail)


def _of(alarm: Alarm, state: str, event: DeviceEvent) -> Event:
    detail: dict[str, object] = {CONDITION: alarm.key.source, **event.detail}
    if event.restated:
        detail["restated"] = True
    if state == "acknowledged" and alarm.acknowledged is not None:
        detail |= {"by": alarm.acknowledged.by, "comment": alarm.acknowledged.words}
    return Event(alarm.event, CONDITION, state, event.device, event.t_ns, event.message, alarm.severity, detail)
