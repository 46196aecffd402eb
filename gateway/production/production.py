"""What devices work for: opened and closed by rules, people and the far sides of sinks; stamped, kept, and told.

A part of a device's work (its batch, its phase, …) has one who has opened it, and is what he says until he closes it. Another
who says something else is contradicted, and told so: nobody's word is changed behind his back.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import structlog

from gateway.config.context_rules import ContextSection
from gateway.core.clock import Clock
from gateway.core.context import WORK, Context
from gateway.core.errors import GatewayError
from gateway.core.event import Event, EventLog
from gateway.core.live import LiveDevice
from gateway.core.readings import Readings
from gateway.core.text import listed
from gateway.core.times import rfc3339
from gateway.core.works import OF_WORK, Works
from gateway.production import open_work
from gateway.production.open_work import ENDED, EndedBatch, Open, OpenPart
from gateway.production.rule_watch import RuleWatch, RuleWatches

log = structlog.get_logger()

WORDS = {name: name.replace("_", " ") for name in WORK}


CHANGES_AT_MOST = 60
"""Of one part of a device, by rules, that are told within a minute."""
_MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Statement:
    """Who says something, and as of when."""

    by: str
    t_ns: int
    """ns since 1970."""
    rule: bool = False


@dataclass(frozen=True, slots=True)
class Correction:
    """What the records of a span of time should have said; ns since 1970, by when they were accepted."""

    from_ns: int
    to_ns: int
    parts: Mapping[str, str]
    """By name; empty for nothing."""
    why: str
    recorded: Mapping[str, str] | None = None
    """What they do say of these parts, where that is known."""


class Production:
    """Of one gateway. All calls from the event loop."""

    def __init__(
        self, works: Works, events: EventLog, clock: Clock, directory: Path, last_ns: int | None = None
    ) -> None:
        """What was open when the gateway stopped is open again. `last_ns`: when it had accepted its last record."""
        self._works = works
        self._events = events
        self._clock = clock
        self._path = directory / "contexts.json"
        self._open: Open
        self._open, ended = open_work.read(self._path)
        self._ended: deque[EndedBatch] = deque(ended, ENDED)
        self._rules = RuleWatches((), (), self._claimed, self._not_understood)
        self._devices: tuple[str, ...] = ()
        self._pace: dict[tuple[str, str], tuple[int, int]] = {}
        """Since when (ns) a part of a device was changed how often by rules, within a minute."""
        self._contradicted: set[tuple[str, ...]] = set()
        """What was told of, so that it is told once."""
        self._untold: list[Event] = []
        """Events of changes that are not on disk yet."""
        self._kept = b""
        """What the file holds, once we have written it."""
        self._changed = asyncio.Event()
        self._saving = asyncio.Lock()
        for device in self._open:
            self._stamp(device)
            self._resume(device, last_ns)

    def seen(self, readings: Readings, boot_ns: int) -> None:
        """See what rules say by a block, before it is kept: it is the first of what it begins."""
        self._rules.seen(readings, boot_ns)

    def follow(self, rules: Sequence[ContextSection], devices: Sequence[str], live: Iterable[LiveDevice]) -> None:
        """From now on these rules, and these devices with their last values. What a rule has opened that is no more, or a
        device that is no more, is closed."""
        self._devices = tuple(devices)
        self._rules = RuleWatches(rules, devices, self._claimed, self._not_understood)
        self._close_what_is_gone()
        for each in live:  # what reports by exception does not say again what it has said
            self._rules.seen(each.snapshot(), 0)

    def _close_what_is_gone(self) -> None:
        by_rule = {watch.rule.name: watch for watch in self._rules.watches}
        now = self._clock.wall_ns()
        for device, parts in list(self._open.items()):
            for name, part in list(parts.items()):
                watch = by_rule.get(part.by)
                if device not in self._devices:
                    self._close(device, name, Statement("the configuration", now), f"{device} is no longer configured")
                elif part.rule and (watch is None or device not in watch.devices or watch.rule.sets != name):
                    self._close(
                        device, name, Statement("the configuration", now), f'there is no rule "{part.by}" for it now'
                    )

    async def run(self) -> None:
        """Keep what changes on disk, and tell it then, until cancelled; also what has changed just before."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self.saved()
        finally:
            await self.saved()

    async def saved(self) -> None:
        """Have all changes on disk, and told."""
        async with self._saving:
            count = len(self._untold)
            data = open_work.content(self._open, self._ended)
            if data != self._kept and await asyncio.to_thread(open_work.write, self._path, data):
                self._kept = data
            events, self._untold = self._untold[:count], self._untold[count:]
            for event in events:
                self._events.append_event(event)

    # What rules say.

    def _claimed(self, watch: RuleWatch, device: str, value: str) -> None:
        name, rule = watch.rule.sets, watch.rule.name
        present = self._open.get(device, {}).get(name)
        said = Statement(rule, self._clock.wall_ns(), rule=True)
        if present is None:
            if value:
                self._put(device, name, value, said)
        elif present.rule and present.by == rule:
            if not value:
                self._close(device, name, said)
                self._next(device, name, said.t_ns)
            elif value != present.value:
                self._close(device, name, said)
                self._put(device, name, value, said)
        elif value and value != present.value:
            self._contradict(device, name, present, value, said)

    def _next(self, device: str, name: str, t_ns: int) -> None:
        """Whether another rule says something of a part that was closed."""
        for watch in self._rules.watches:
            if watch.rule.sets == name and device in watch.devices and (value := watch.claim(device)):
                self._put(device, name, value, Statement(watch.rule.name, t_ns, rule=True))
                return

    def _contradict(self, device: str, name: str, present: OpenPart, value: str, said: Statement) -> None:
        key = (device, name, said.by, value, present.value, present.by)
        if key in self._contradicted:
            return
        if len(self._contradicted) > 10_000:
            self._contradicted.clear()
        self._contradicted.add(key)
        message = (
            f'rule "{said.by}" says {WORDS[name]} {value} of {device}, but {present.value} is open '
            f"({_who(present)}): that one stays"
        )
        self._tell("contradicted", device, said, message, "warning", part=name, value=present.value, says=value)

    def _not_understood(self, watch: RuleWatch, device: str, value: str) -> None:
        rule, said = watch.rule, Statement(watch.rule.name, self._clock.wall_ns(), rule=True)
        message = f'rule "{rule.name}": {rule.tag} of {device} is {value}, and its values do not say what that means'
        self._tell("not_understood", device, said, message, "warning", part=rule.sets, says=value)

    # What people and far sides say.

    def unit(self, patterns: Sequence[str]) -> list[str]:
        """The devices that these patterns describe. Raises GatewayError for none."""
        for pattern in patterns:
            if not any(fnmatchcase(device, pattern) for device in self._devices):
                raise GatewayError(f'no device is named "{pattern}"; there are: {listed(self._devices)}')
        return [device for device in self._devices if any(fnmatchcase(device, each) for each in patterns)]

    def check_free(self, devices: Sequence[str], parts: Mapping[str, str], *, anew: bool) -> None:
        """Whether somebody may say this of all the devices. Raises GatewayError that says what stands in the way. `anew`: a
        batch begins, so none may be open."""
        for device in devices:
            for name, value in parts.items():
                present = self._open.get(device, {}).get(name)
                if present is None or present.value == value:
                    continue
                if present.rule or (anew and name == "batch"):
                    ends = "it ends by its tag" if present.rule else "end it first"
                    raise GatewayError(
                        f"{device} works for {WORDS[name]} {present.value} ({_who(present)}, since "
                        f"{rfc3339(present.since_ns)[:19]}Z): {ends}"
                    )

    def open(self, devices: Sequence[str], parts: Mapping[str, str], said: Statement) -> bool:
        """Have the devices work for this; an empty value closes a part. After `check_free`. Whether that changes anything."""
        changed = False
        for device in devices:
            for name, value in parts.items():
                present = self._open.get(device, {}).get(name)
                if (present.value if present is not None else "") == value:
                    continue
                changed = True
                if present is not None:
                    self._close(device, name, said)
                if value:
                    self._put(device, name, value, said)
                else:
                    self._next(device, name, said.t_ns)
        return changed

    def devices_of(self, batch: str) -> list[str]:
        """The devices that work for this batch."""
        return [name for name, parts in self._open.items() if "batch" in parts and parts["batch"].value == batch]

    def end(self, batch: str, devices: Sequence[str], said: Statement) -> None:
        """The batch ends for these devices, and with it all that people have said of their work, but the order. Raises
        GatewayError for what a rule has opened, and for an end before the begin; then nothing is done."""
        for device in devices:
            present = self._open[device]["batch"]
            if present.rule:
                raise GatewayError(f'rule "{present.by}" has opened batch {batch} for {device}: it ends by its tag')
            if said.t_ns < present.since_ns:
                raise GatewayError(
                    f"batch {batch} of {device} would end ({rfc3339(said.t_ns)[:19]}Z) before it began "
                    f"({rfc3339(present.since_ns)[:19]}Z)"
                )
        for device in devices:
            for name, part in list(self._open[device].items()):
                if not part.rule and name != "order":
                    self._close(device, name, said)
                    self._next(device, name, said.t_ns)

    def correct(self, device: str, correction: Correction, said: Statement) -> None:
        """Tell what the records of a span of time should have said. Nothing is rewritten."""
        low, high, parts, why = correction.from_ns, correction.to_ns, correction.parts, correction.why
        words = ", ".join(f"{WORDS[name]} {value or 'none'}" for name, value in parts.items())
        message = (
            f"what {device} read from {rfc3339(low)[:19]}Z to {rfc3339(high)[:19]}Z belongs to {words} "
            f"({said.by}{': ' + why if why else ''})"
        )
        detail: dict[str, Any] = {
            "from": low // 1_000_000,
            "to": high // 1_000_000,
            "corrected": dict(parts),
            "why": why,
        }
        if correction.recorded is not None:
            detail["recorded"] = dict(correction.recorded)
        self._tell("corrected", device, said, message, "advisory", **detail)

    # What is told.

    def of(self, device: str) -> Mapping[str, OpenPart]:
        """What is open for a device."""
        return self._open.get(device, {})

    @property
    def open_parts(self) -> Mapping[str, Mapping[str, OpenPart]]:
        """What is open, by device and part."""
        return {device: parts for device, parts in self._open.items() if parts}

    @property
    def ended(self) -> Sequence[EndedBatch]:
        """Batches that are over, the last one last."""
        return tuple(self._ended)

    # One part of one device.

    def _chatters(self, device: str, name: str, said: Statement) -> bool:
        """Whether a rule changes a part so often that its changes are told no more: each event goes to the disk at once."""
        since, count = self._pace.get((device, name), (said.t_ns, 0))
        if not 0 <= said.t_ns - since < _MINUTE_NS:
            since, count = said.t_ns, 0
        self._pace[device, name] = since, count + 1
        if said.rule and count == CHANGES_AT_MOST:
            message = (
                f'rule "{said.by}" changes {WORDS[name]} of {device} more than {CHANGES_AT_MOST} times a minute: '
                "readings say it, and the changes of this minute are told no more"
            )
            self._tell("chatters", device, said, message, "warning", part=name)
        return said.rule and count >= CHANGES_AT_MOST

    def _put(self, device: str, name: str, value: str, said: Statement) -> None:
        part = OpenPart(value, said.by, said.rule, said.t_ns)
        self._open.setdefault(device, {})[name] = part
        self._stamp(device)
        message = f"{device} works for {WORDS[name]} {value} ({_who(part)})"
        if not self._chatters(device, name, said):
            self._tell("opened", device, said, message, part=name, value=value)

    def _close(self, device: str, name: str, said: Statement, why: str = "") -> None:
        before = self._works.of(device).said()
        part = self._open[device].pop(name)
        if not self._open[device]:
            del self._open[device]
        self._stamp(device)
        if name == "batch":
            self._ended.append(EndedBatch(part.value, device, part.since_ns, max(said.t_ns, part.since_ns)))
        by = f'rule "{said.by}"' if said.rule else said.by
        message = f"{device} no longer works for {WORDS[name]} {part.value} ({why or by})"
        opened: dict[str, Any] = {
            "part": name,
            "value": part.value,
            "opened_by": part.by,
            "since": part.since_ns // 1_000_000,
        }
        if not self._chatters(device, name, said):
            self._tell("closed", device, said, message, context=before, **opened)

    def _stamp(self, device: str) -> None:
        parts = self._open.get(device, {})
        said: dict[str, Any] = {name: part.value for name, part in parts.items()}
        self._works.set(device, Context(**said, by=tuple((name, part.by) for name, part in parts.items())))
        self._changed.set()

    def _resume(self, device: str, last_ns: int | None) -> None:
        """Tell that what was open is open again, and since when nothing was read."""
        now = self._clock.wall_ns()
        parts = ", ".join(f"{WORDS[name]} {part.value}" for name, part in self._open[device].items())
        gap = {} if last_ns is None else {"from": last_ns // 1_000_000, "to": now // 1_000_000}
        since = "" if last_ns is None else f"; nothing was read from {rfc3339(last_ns)[:19]}Z on"
        message = f"{device} works for {parts}, as before the gateway was started anew{since}"
        self._tell("resumed", device, Statement("system", now), message, gap=gap)

    def _tell(
        self, state: str, device: str, said: Statement, message: str, severity: str = "info", **detail: Any
    ) -> None:
        name = detail.get("part", "")
        context = {} if "context" in detail else {"context": self._works.of(device).said()}
        event = Event(
            f"context-{device}-{name}-{said.t_ns:x}", OF_WORK, state, device, said.t_ns, message, severity,
            {**detail, "by": said.by, "rule": said.rule, **context},
        )  # fmt: skip
        self._untold.append(event)
        self._changed.set()


def _who(part: OpenPart) -> str:
    return f'rule "{part.by}"' if part.rule else part.by
