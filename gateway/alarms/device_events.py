"""What devices tell, as events: a burst whole, and so many a second for good.

Beyond that an alarm of a device is told later, as it then stands; of what is over by then, and of other events, it is told
how many are lost. The list of alarms has them all.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import uuid4

import structlog

from gateway.alarms.alarm import CONDITION, Alarm, Key
from gateway.alarms.alarms import Alarms
from gateway.core.clock import Clock
from gateway.core.event import Event, EventLog

BURST = 500
"""Events that a device may tell at once."""
A_SECOND = 20
"""Events that it may tell for good."""
AT_A_TIME = 100
"""Alarms of a device that are told late at once."""
_ENDS = ("cleared", "abandoned")

log = structlog.get_logger()


class _Budget:
    """Of one device, and what was over it. By the boot clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(BURST)
        self._at_ns = clock.boot_ns()
        self.lost = 0
        """Events that nobody was told of, since `taken_stock`."""
        self.late = 0
        """Alarms that are told later, as they then stand, since `taken_stock`."""

    def take(self) -> bool:
        """Whether one more may be told; if so, it is counted."""
        now = self._clock.boot_ns()
        self._left = min(BURST, self._left + (now - self._at_ns) / 1e9 * A_SECOND)
        self._at_ns = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def taken_stock(self) -> tuple[int, int]:
        """How many were lost and are late; counted anew from here."""
        counts = self.lost, self.late
        self.lost = self.late = 0
        return counts


class DeviceEvents:
    """Says what devices tell. Only for one thread, the event loop's."""

    def __init__(self, alarms: Alarms, events: EventLog, clock: Clock) -> None:
        self._alarms = alarms
        self._events = events
        self._clock = clock
        self._budgets: dict[str, _Budget] = {}
        self._open = {alarm.key for alarm in alarms.of_devices() if alarm.active}
        """Alarms whose raise was told, and whose end was not."""
        self._late: defaultdict[str, dict[Key, Mapping[str, Any]]] = defaultdict(dict)
        """Device → alarms that stand otherwise than was told, the oldest first, and details of what came last."""

    def retain(self, devices: Collection[str]) -> None:
        """Others tell nothing from now on."""
        for device in self._budgets.keys() - set(devices):
            self._tell_lost(device)
            del self._budgets[device]
            self._late.pop(device, None)

    async def catch_up(self) -> None:
        """Tell what could not be told at once."""
        for device in tuple(self._budgets):
            if device in self._budgets:  # others may have gone while the next line gave way
                self._tell_late(device)
                self._tell_lost(device)
            await asyncio.sleep(0)

    def tell_lost(self) -> None:
        """Tell how much was lost, of all devices."""
        for device in self._budgets:
            self._tell_lost(device)

    def report(self, device: str, event: Callable[[], Event]) -> None:
        """An event that is no alarm's; only made when it is told, for making its id takes most of the time."""
        budget = self._budget(device)
        if budget.take():
            self._events.append_event(event())
        else:
            budget.lost += 1

    def say(self, alarm: Alarm, events: Sequence[Event]) -> None:
        """The alarm stands as it does now, and this is new of it. The end of what was told is told whatever the budget."""
        key, late, budget = alarm.key, self._late[alarm.key.device], self._budget(alarm.key.device)
        for event in events:
            ends = event.state in _ENDS and key in self._open
            if ends or (key not in late and budget.take()):
                self._tell(alarm, event)
                continue
            self._alarms.changed(alarm, None)
            if alarm.is_over:
                budget.lost += 1
            else:
                budget.late += key not in late
                late[key] = event.detail
        if alarm.is_over:
            budget.lost += key in late
            late.pop(key, None)

    def tell_of(self, device: str, state: str, why: str, **detail: int) -> None:
        """Say something of the device that it did not say itself; this has no budget, for it is told seldom."""
        log.warning("the device tells much", device=device, reason=why)
        told = {"reason": why, **detail}
        now = self._clock.wall_ns()
        self._events.append_event(Event(uuid4().hex, "device", state, device, now, f"{device}: {why}", "warning", told))

    def _budget(self, device: str) -> _Budget:
        if device not in self._budgets:
            self._budgets[device] = _Budget(self._clock)
        return self._budgets[device]

    def _tell(self, alarm: Alarm, event: Event) -> None:
        if event.state == "raised":
            self._open.add(alarm.key)
        elif event.state in _ENDS:
            self._open.discard(alarm.key)
        self._alarms.changed(alarm, event)

    def _tell_late(self, device: str) -> None:
        late = self._late[device]
        for key in list(islice(late, AT_A_TIME)):
            detail = late.pop(key)
            if (alarm := self._alarms.get(key)) is not None:
                for event in _as_it_stands(alarm, detail):
                    self._tell(alarm, event)

    def _tell_lost(self, device: str) -> None:
        lost, late = self._budgets[device].taken_stock()
        if lost or late:
            why = f"it tells more than {A_SECOND} a second: {lost} are lost, {late} alarms are told later"
            self.tell_of(device, "lost", f"events are lost: {why}", lost=lost, late=late)


def _as_it_stands(alarm: Alarm, detail: Mapping[str, Any]) -> list[Event]:
    """What is to be told of an alarm of which something could not be told, with the device's last words."""
    said = alarm.acknowledged
    told = {name: value for name, value in detail.items() if name not in ("by", "comment")} | {"restated": True}

    def event(state: str, t_ns: int, **more: str) -> Event:
        words = alarm.message, alarm.severity
        return Event(alarm.event, CONDITION, state, alarm.key.device, t_ns, *words, {**told, **more})

    events = [event("raised", alarm.raised_ns)]
    if said is not None:
        events.append(event("acknowledged", said.at_ns, by=said.by, comment=said.words))
    if not alarm.active:
        events.append(event("cleared", alarm.cleared_ns))
    return events
