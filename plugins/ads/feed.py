"""Values that PLCs report when they change (notifications), and what makes up for those that get lost.

Each second the PLC is asked for its state. Every few seconds all values are read as well, in a sum read: one that is another
one than was reported last, twice in a row, was lost on the way. What a PLC does not report is read at each scan.
"""

import asyncio
import struct
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.kit.line import NO_ANSWER, UNSENT, Answer
from gateway.plugin import Device, DeviceError, Exact, LinkError, Readings, Tag, quality

from .config import AdsTag
from .frames import (
    CYCLIC,
    ON_CHANGE,
    READ_STATE,
    VERSION,
    AdsRequest,
    add_note,
    delete_note,
    samples,
)
from .line import AdsLine
from .program import RUN, ChangedError, Item, Key, Program
from .reading import UNCERTAIN_STOPPED, NoSumsError, ReadPlan, refusal
from .return_codes import REFUSALS

LOOK = 1.0
"""Seconds between two looks at a PLC's state."""
CHECK = 5.0
"""Seconds between two reads of all that is reported."""
_KEPT = 1000
"""Packets with notifications that wait to be taken, at most."""
_SAFE = 1 << 53

Row = tuple[int, int, float, int, Exact | None]
"""Source time, tag id, value, quality, and the value where a float64 cannot hold it."""


@dataclass(slots=True)
class DeviceFeed:
    """What is reported of one device."""

    device: Device
    program: Program
    line: AdsLine
    notes: dict[Key, tuple[Item, int]] = field(default_factory=dict)
    """What is reported: as which item, and under which number."""

    last: dict[Key, bytes] = field(default_factory=dict)
    """What was reported last."""

    bad: dict[Key, int] = field(default_factory=dict)
    """What is bad, by its quality."""

    suspected: dict[Key, bytes] = field(default_factory=dict)
    """What was read and not reported."""

    down: bool = False
    """Whether the PLC cannot be asked."""

    state: int = RUN
    version_note: int | None = None
    check_at: float = 0.0
    tags: dict[Key, list[Tag]] = field(init=False)

    def __post_init__(self) -> None:
        self.tags = {}
        for tag in self.device.tags:
            self.tags.setdefault(tag.config.key, []).append(tag)

    def drop(self) -> None:
        """Everything is asked for and subscribed anew."""
        self.program.forget()
        self.notes.clear()
        self.last.clear()
        self.bad.clear()
        self.suspected.clear()
        self.version_note, self.check_at = None, 0.0

    def scan(self, tags: Sequence[Tag]) -> float:
        """How often these are looked at."""
        return float(min(tag.config.scan or self.device.config.scan for tag in tags))

    async def subscribe(self) -> None:
        """Have reported what can be read, and is not reported yet."""
        wanted = [
            (key, item)
            for key, item in self.program.items.items()
            if key in self.tags and self.notes.get(key, (None, 0))[0] is not item
        ]
        gone = [key for key in self.notes if key not in self.program.items]
        old = [self.notes.pop(key)[1] for key in [*gone, *(key for key, _ in wanted)] if key in self.notes]
        requests = [delete_note(self.program.unit, note) for note in old]
        requests += [self._request(key, item) for key, item in wanted]
        if self.version_note is None and self.program.version is not None:
            scan = self.scan(list(self.device.tags))
            requests.append(add_note(self.program.unit, (VERSION, 0, 1), ON_CHANGE, 0, scan))
        answers = (await self.program.ask(requests))[len(old) :]
        for (key, item), answer in zip(wanted, answers, strict=False):
            if isinstance(answer, bytes):
                self.notes[key] = item, int.from_bytes(answer, "little")
                self.last.pop(key, None)
        if len(answers) > len(wanted):
            self.version_note = int.from_bytes(answers[-1], "little") if isinstance(answers[-1], bytes) else -1

    def _request(self, key: Key, item: Item) -> AdsRequest:
        tags = self.tags[key]
        how = CYCLIC if any(tag.config.cyclic for tag in tags) else ON_CHANGE
        return add_note(self.program.unit, item.place, how, self.device.config.max_delay, self.scan(tags))

    def taken(self, key: Key, t_ns: int, answer: Answer) -> Iterator[Row]:
        """The readings of a new value, or of the code in its place."""
        if isinstance(answer, int):
            self.bad[key] = REFUSALS.quality(answer)
            self.last.pop(key, None)
        else:
            self.bad.pop(key, None)
            self.last[key] = answer
        yield from self.rows(key, t_ns)

    def rows(self, key: Key, t_ns: int) -> Iterator[Row]:
        """What is known of a value, as readings."""
        item, data = self.program.items.get(key), self.last.get(key)
        for tag in self.tags[key]:
            if item is None or data is None or self.program.why(tag.config):
                code = self.bad.get(key) or refusal(self.program, key)
                yield t_ns, tag.id, np.nan, code, None
            else:
                yield t_ns, tag.id, *_decoded(tag.config, item, data, self.program.state != RUN)

    def checked(self, parts: dict[Key, Answer], t_ns: int) -> Iterator[tuple[Key, Row]]:
        """What a read has found and nobody has reported."""
        for key, part in parts.items():
            if isinstance(part, int):
                if self.bad.get(key) != REFUSALS.quality(part):
                    yield from ((key, row) for row in self.taken(key, t_ns, part))
            elif part == self.last.get(key):
                self.suspected.pop(key, None)
            elif key not in self.notes or self.suspected.get(key) == part:
                self.suspected.pop(key, None)
                yield from ((key, row) for row in self.taken(key, t_ns, part))
            else:
                self.suspected[key] = part

    def period(self) -> float:
        """Seconds until all is read again."""
        polled = [tag for key, tags in self.tags.items() if key not in self.notes for tag in tags]
        if self.suspected:
            return LOOK + float(self.device.config.max_delay)
        return min(CHECK, self.scan(polled)) if polled else CHECK


class Feed:
    """What the PLCs of one connection report."""

    def __init__(
        self,
        line: AdsLine,
        parts: Sequence[DeviceFeed],
        plan: Callable[[Device], Awaitable[ReadPlan]],
        alive: Callable[[], None],
        counts: Counter[str],
    ) -> None:
        self._line, self._parts, self._plan, self._alive, self._counts = line, parts, plan, alive, counts
        self._packets: deque[bytes] = deque()
        self._woken = asyncio.Event()
        line.noted, line.ended = self._noted, self._woken.set

    def _noted(self, packet: bytes) -> None:
        if len(self._packets) >= _KEPT:
            self._packets.popleft()
            self._counts["dropped_notifications"] += 1
        self._packets.append(packet)
        self._woken.set()

    async def blocks(self) -> AsyncGenerator[Readings, None]:
        """All that is reported, in order, and what made up for the rest. Ends by raising LinkError, also where nothing can be
        had of any PLC."""
        for part in self._parts:
            async for block in self._bearing(part, self._begun(part)):
                yield block
        look_at = time.monotonic() + LOOK
        while True:
            await self._wait(look_at - time.monotonic())
            for block in self._reported():
                yield block
            if not self._line.usable or time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK
                for part in self._parts:
                    async for block in self._bearing(part, self._looked(part)):
                        yield block

    async def _wait(self, seconds: float) -> None:
        """For a report, or the end of the connection; so long at most."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _bearing(
        self, part: DeviceFeed, blocks: AsyncGenerator[Readings, None]
    ) -> AsyncGenerator[Readings, None]:
        """The same; where a PLC cannot be asked, its values are bad, and those of others go on."""
        try:
            async for block in blocks:
                yield block
            part.down = False
        except DeviceError as error:
            begins, part.down = not part.down, True
            if all(each.down for each in self._parts):
                raise LinkError(str(error)) from error
            part.drop()
            if begins:
                t_ns = time.time_ns()
                rows = [(t_ns, tag.id, np.nan, quality.BAD_DEVICE_FAILURE, None) for tag in part.device.tags]
                yield _block(part.device, rows)

    async def _begun(self, part: DeviceFeed) -> AsyncGenerator[Readings, None]:
        """Subscribed; what cannot be read is bad from the beginning."""
        await self._plan(part.device)
        await part.subscribe()
        part.check_at = time.monotonic() + min(LOOK, part.period())
        t_ns = time.time_ns()
        if rows := [row for key in part.tags if key not in part.program.items for row in part.rows(key, t_ns)]:
            yield _block(part.device, rows)

    def _reported(self) -> Iterator[Readings]:
        """What has been reported since the last call."""
        owners = {note: (part, key) for part in self._parts for key, (_, note) in part.notes.items()}
        versions = {part.version_note: part for part in self._parts}
        rows: dict[int, list[Row]] = {id(part): [] for part in self._parts}
        changed: set[int] = set()
        packets, self._packets = self._packets, deque()
        for packet in packets:
            try:
                for note, t_ns, data in samples(packet):
                    if note in versions:
                        part = versions[note]
                        if data != bytes([part.program.version or 0]):
                            changed.add(id(part))
                            part.check_at = 0.0
                    elif note in owners:
                        part, key = owners[note]
                        item = part.program.items.get(key)
                        if item is not None and len(data) == item.place[2]:
                            rows[id(part)] += part.taken(key, t_ns, data)
                        else:  # so says a PLC that it reports it no more
                            part.check_at = 0.0
                    else:
                        self._counts["stray_notifications"] += 1
            except (ValueError, struct.error):
                self._counts["damaged_notifications"] += 1
        for part in self._parts:
            if rows[id(part)] and id(part) not in changed:
                yield _block(part.device, rows[id(part)])

    async def _looked(self, part: DeviceFeed) -> AsyncGenerator[Readings, None]:
        """The state of a PLC, and now and then all its values."""
        checks = time.monotonic() >= part.check_at
        plan = await self._plan(part.device) if checks else None
        requests = [AdsRequest(part.program.unit, READ_STATE, size=4), *(plan.requests if plan else [])]
        answers = await self._line.exchange(requests, part.program.pace)
        state = answers.pop(0)
        if all(isinstance(answer, int) for answer in (state, *answers)):
            if state in (NO_ANSWER, UNSENT):
                raise TimeoutError(f"{part.device.name}: no answer within {part.program.pace.patience:g} s")
            raise DeviceError(f"{part.device.name}: {REFUSALS.words(int(state))}")
        self._alive()
        for block in self._reported():
            yield block
        if plan is not None:
            async for block in self._checked(part, plan, answers):
                yield block
        if isinstance(state, bytes) and (now := int.from_bytes(state[:2], "little")) != part.state:
            part.program.state = part.state = now
            if rows := [row for key in part.tags for row in part.rows(key, time.time_ns())]:
                yield _block(part.device, rows)

    async def _checked(
        self, part: DeviceFeed, plan: ReadPlan, answers: Sequence[Answer]
    ) -> AsyncGenerator[Readings, None]:
        part.check_at = time.monotonic() + part.period()
        try:
            found = list(part.checked(plan.parts(answers), time.time_ns()))
        except ChangedError:
            part.drop()
            async for block in self._begun(part):
                yield block
            return
        except NoSumsError:
            part.program.sums = False
            part.program.generation += 1
            part.check_at = 0.0
            return
        self._counts["lost_notifications"] += len({key for key, _ in found if key in part.notes})
        if found:
            yield _block(part.device, [row for _, row in found])
        await part.subscribe()


def _decoded(tag: AdsTag, item: Item, data: bytes, stopped: bool) -> tuple[float, int, Exact | None]:
    """Value, quality, and the value where a float64 cannot hold it."""
    code = UNCERTAIN_STOPPED if stopped else quality.GOOD
    if tag.at.bit is not None:
        return float(int.from_bytes(data, "little") >> tag.at.bit & 1), code, None
    try:
        value = item.type.decode(data)
    except ValueError:
        return np.nan, quality.BAD_DECODING, None
    if isinstance(value, float):
        return value, quality.BAD_DECODING if np.isnan(value) else code, None
    if isinstance(value, int) and abs(value) <= _SAFE:
        return float(value), code, None
    return np.nan, code, value


def _block(device: Device, rows: Sequence[Row]) -> Readings:
    times, ids, values, codes, exact = zip(*rows, strict=True)
    return Readings(
        device,
        np.array(times, np.int64),
        np.array(ids, np.uint32),
        np.array(values, np.float64),
        np.array(codes, np.uint32),
        {row: value for row, value in enumerate(exact) if value is not None},
    )
