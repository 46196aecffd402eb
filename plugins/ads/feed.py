"""Values that PLCs report when they change (notifications), and what makes up for those that get lost.

Each second the PLC is asked for its state. Every few seconds all values are read as well, in a sum read: one that is another
one than was reported last, twice in a row, was lost on the way. What a PLC does not report is read at each scan.
"""

import asyncio
import struct
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence

import numpy as np

from gateway.kit.line import NO_ANSWER, UNSENT, Answer
from gateway.plugin import Device, DeviceError, LinkError, Readings, quality

from .device_feed import DeviceFeed, Row, columns
from .frames import (
    READ_STATE,
    AdsRequest,
    samples,
)
from .line import AdsLine
from .program import ChangedError
from .reading import NoSumsError, ReadPlan
from .return_codes import REFUSALS

LOOK = 1.0
"""Seconds between two looks at a PLC's state."""
_KEPT = 1000
"""Packets with notifications that wait to be taken, at most."""


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
                yield columns(part.device, rows)

    async def _begun(self, part: DeviceFeed) -> AsyncGenerator[Readings, None]:
        """Subscribed; what cannot be read is bad from the beginning."""
        await self._plan(part.device)
        await part.subscribe()
        part.check_at = time.monotonic() + min(LOOK, part.period())
        t_ns = time.time_ns()
        if rows := [row for key in part.tags if key not in part.program.items for row in part.rows(key, t_ns)]:
            yield columns(part.device, rows)

    def _reported(self) -> Iterator[Readings]:
        """What has been reported since the last call."""
        rows: dict[int, list[Row]] = {at: [] for at in range(len(self._parts))}
        changed: set[int] = set()
        packets, self._packets = self._packets, deque()
        for packet in packets:
            try:
                for note, t_ns, data in samples(packet):
                    at = next((at for at, part in enumerate(self._parts) if part.has(note)), -1)
                    if at < 0:
                        self._counts["stray_notifications"] += 1
                    elif note == self._parts[at].version_note:
                        if self._parts[at].is_other(data):
                            changed.add(at)
                    else:
                        rows[at] += self._parts[at].reported(note, t_ns, data)
            except (ValueError, struct.error):
                self._counts["damaged_notifications"] += 1
        for at, part in enumerate(self._parts):
            if rows[at] and at not in changed:
                yield columns(part.device, rows[at])

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
                yield columns(part.device, rows)

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
            yield columns(part.device, [row for _, row in found])
        await part.subscribe()
