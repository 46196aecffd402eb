"""One device that a far side refuses for now, for hours: the others go on, and nothing of it is lost."""

import asyncio
import itertools
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from gateway.core.event import Event
from gateway.core.record import Lane, Record
from gateway.outbox import Outbox, Reader
from gateway.outbox.deliver import redelivery
from gateway.outbox.deliver.redelivery import Redelivery
from tests.outbox.making import Log, block, spec, until

COUNT = 2000
NAMES = ("press-1", "press-2", "press-3")


async def fill(outbox: Outbox, context: object, numbers: Iterable[int]) -> None:
    devices = [outbox.bind(spec(name, tags=1), context) for name in NAMES]
    before = outbox.status().lanes["data"].accepted
    count = 0
    for number in numbers:
        for device in devices:
            outbox.append(block(device, number))
        count += 1
    await until(lambda: outbox.status().lanes["data"].accepted == before + count * len(devices))


class FarSide:
    """Takes what it is given, but for these devices."""

    def __init__(self, reader: Reader, *hated: str) -> None:
        self.reader = reader
        self.hated = set(hated)
        self.taken: dict[str, list[float]] = {name: [] for name in NAMES}
        self.refused = 0

    def answer(self, records: list[Record]) -> None:
        for record in records:
            name = record.readings.device.name
            if name in self.hated:
                self.refused += 1
                self.reader.refused(record, "not authorised", False)
            else:
                self.taken[name] += record.readings.value.tolist()
                self.reader.acknowledged([record])

    async def serve(self, limit: int = 20) -> None:
        while True:
            await self.reader.wait()
            self.answer(await self.reader.take(limit))

    def has(self, count: int, *names: str) -> bool:
        return all(sorted(self.taken[name]) == list(range(count)) for name in names)


@pytest.mark.parametrize("is_history", [True, False], ids=["history", "live"])
async def test_a_device_that_is_refused_stops_no_other_and_comes_whole_once_it_is_taken(
    log: Log, context: object, is_history: bool
) -> None:
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        far = FarSide(reader, "press-2")
        if is_history:
            await fill(outbox, context, range(COUNT))
            log.clock.advance(60)
        serving = asyncio.create_task(far.serve())
        try:
            if not is_history:
                for start in range(0, COUNT, 100):
                    await fill(outbox, context, range(start, start + 100))
            await until(lambda: far.has(COUNT, "press-1", "press-3"), 60)
            assert reader.pending["data"] == COUNT
            assert far.refused < COUNT / 4, "it is not asked again and again for each of them"
            assert reader.redelivery.barred == ["device press-2"]
            assert reader.redelivery.count < 20 + redelivery.IN_A_ROW
            assert reader.status().lanes["data"].under_way <= 2
            far.hated.clear()
            await until(lambda: far.has(COUNT, *NAMES), 60)
            assert reader.pending["data"] == 0
            assert not reader.redelivery
            assert not reader.positions[1].ahead, "nothing is kept in memory that was read in vain"
        finally:
            serving.cancel()


@pytest.mark.parametrize("pause", [redelivery.FIRST_PAUSE, pytest.param(0.05, marks=pytest.mark.slow), 0.01])
async def test_more_refused_devices_than_a_window_has_places_stop_no_other(
    log: Log, context: object, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """With short pauses they end amid the first refusals, as on a machine that stands still for a moment."""
    monkeypatch.setattr(redelivery, "FIRST_PAUSE", pause)
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        many = [outbox.bind(spec(f"other-{number}", tags=1), context) for number in range(150)]
        good = outbox.bind(spec("press-1", tags=1), context)
        for number in range(30):
            for device in (*many, good):
                outbox.append(block(device, number))
        await until(lambda: outbox.status().lanes["data"].accepted == 30 * 151)
        taken = []

        async def serve() -> None:
            while True:
                await reader.wait()
                for record in await reader.take(10):
                    if record.readings.device.name == "press-1":
                        taken.extend(record.readings.value.tolist())
                        reader.acknowledged([record])
                    else:
                        reader.refused(record, "quota exceeded", False)

        serving = asyncio.create_task(serve())
        try:
            await until(lambda: sorted(taken) == list(range(30)), 100)
            assert len(reader.redelivery.barred) == 150
        finally:
            serving.cancel()


async def test_of_a_device_of_which_half_is_refused_the_other_half_arrives(
    log: Log, context: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More records than may rest are refused for a reason of their own."""
    monkeypatch.setattr(redelivery, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(redelivery, "LONGEST_PAUSE", 0.02)
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        device = outbox.bind(spec("press-1", tags=1), context)
        for number in range(200):
            outbox.append(block(device, number))
        await until(lambda: outbox.status().lanes["data"].accepted == 200)
        taken = []

        async def serve() -> None:
            while True:
                await reader.wait()
                for record in await reader.take(10):
                    (number,) = record.readings.value.tolist()
                    if number % 2:
                        taken.append(int(number))
                        reader.acknowledged([record])
                    else:
                        reader.refused(record, "quota exceeded", False)

        serving = asyncio.create_task(serve())
        try:
            await until(lambda: sorted(taken) == list(range(1, 200, 2)), 60)
        finally:
            serving.cancel()


async def test_what_is_refused_again_and_again_rests_longer_and_is_never_lost(
    log: Log, context: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(redelivery, "LONGEST_PAUSE", 0.08)
    pauses: list[float] = []
    begin = Redelivery._start

    def start(self: Redelivery, about: str, refused: Any) -> None:
        begin(self, about, refused)
        if about == "device press-1":
            pauses.append(refused.pause)

    monkeypatch.setattr(Redelivery, "_start", start)
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        far = FarSide(reader, *NAMES)
        await fill(outbox, context, range(3))
        serving = asyncio.create_task(far.serve())
        try:
            await until(lambda: 0.08 in pauses)
            assert pauses[0] == 0.01
            assert all(after <= 2 * before for before, after in itertools.pairwise(pauses))
            assert reader.pending["data"] == 9
            far.hated.clear()
            await until(lambda: far.has(3, *NAMES))
            assert reader.pending["data"] == 0
        finally:
            serving.cancel()


async def test_of_what_waits_altogether_one_more_goes_out_after_each_pause() -> None:
    """That one rests for a reason of its own; else a device would wait for ever for a record that is never taken."""
    position = Mock()
    about = Redelivery("central", asyncio.Event())

    def record(seq: int) -> Any:
        return SimpleNamespace(about="press-1", seq=seq)

    for seq in range(redelivery.IN_A_ROW):
        about.add(position, record(seq), "quota exceeded")
    assert about.barred == ["press-1"]
    for pause in range(2):
        assert about.keeps(position, record(100 + pause))
        about._end("press-1", about._refused["press-1"])
        assert position.send_again.call_count == pause + 1, "the oldest of those that rest"
        assert not about.keeps(position, record(200 + pause)), "and one that is new"
        assert about.keeps(position, record(300 + pause))
    about.forget()


async def test_a_link_that_ends_forgets_what_was_refused_on_it(log: Log, context: object) -> None:
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        far = FarSide(reader, "press-2")
        await fill(outbox, context, range(50))
        for _ in range(20):
            far.answer(await reader.take(20))
        assert reader.redelivery.barred
        reader.rewind()
        assert not reader.redelivery
        far.hated.clear()
        serving = asyncio.create_task(far.serve())
        try:
            await until(lambda: far.has(50, *NAMES))
        finally:
            serving.cancel()


class InOrder:
    """A far side in strict order that refuses these numbers so often, a window at a time."""

    def __init__(self, reader: Reader, refusals: dict[float, int], window: int) -> None:
        self.reader, self.refusals, self.window = reader, refusals, window
        self.sent: list[float] = []
        self.taken: list[float] = []
        self.events: list[str] = []

    async def serve(self) -> None:
        while True:
            await self.reader.wait()
            for record in await self.reader.take(self.window):
                if record.body is not None:
                    self.events.append(record.body["event"])
                    self.reader.acknowledged([record])
                    continue
                number = float(record.readings.value[0])
                self.sent.append(number)
                if self.refusals.get(number, 0) > 0:
                    self.refusals[number] -= 1
                    self.reader.refused(record, "quota exceeded", False)
                else:
                    self.taken.append(number)
                    self.reader.acknowledged([record])


@pytest.mark.parametrize("window", [1, 8])
async def test_in_strict_order_nothing_newer_goes_before_what_was_refused(
    log: Log, context: object, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(redelivery, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(redelivery, "LONGEST_PAUSE", 0.04)
    async with log.opened() as outbox:
        device = outbox.bind(spec(tags=1), context)
        for number in range(40):
            outbox.append(block(device, number))
        await outbox.written_out(25)
        reader = outbox.reader("central", "strict")
        far = InOrder(reader, {2.0: 5, 5.0: 1, 20.0: 1}, window)
        serving = asyncio.create_task(far.serve())
        try:
            await until(lambda: len(far.taken) == 40)
        finally:
            serving.cancel()
        first, last = far.sent.index(2.0), len(far.sent) - far.sent[::-1].index(2.0)
        assert {*far.sent[first:last]} <= {float(number) for number in range(2, 2 + window)}, "what was on its way"
        assert far.sent[first:last].count(2.0) == 6
        newest = [max(far.taken[: place + 1]) - number for place, number in enumerate(far.taken)]
        assert max(newest) < window
        assert sorted(far.taken) == [float(number) for number in range(40)]
        assert reader.pending["data"] == 0
        assert reader.waiting_after_refusal == 0


async def test_what_holds_up_all_in_strict_order_holds_up_no_alarm_and_ends_with_what_is_given_up_or_dead(
    log: Log, context: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(redelivery, "LONGEST_PAUSE", 0.02)
    async with log.opened() as outbox:
        device = outbox.bind(spec(tags=1), context)
        reader = outbox.reader("central", "strict")
        for number in range(4):
            outbox.append(block(device, number))
        await outbox.written_out(25)
        far = InOrder(reader, {0.0: 10**9, 2.0: 10**9}, 1)
        serving = asyncio.create_task(far.serve())
        try:
            await until(lambda: len(far.sent) > 3)
            assert {*far.sent} == {0.0}
            await until(lambda: reader.waiting_after_refusal == 1)
            outbox.append_event(Event("e1", "test", "raised", "", 1, "An alarm.", "alarm"))
            await until(lambda: "e1" in far.events)
            first = reader.settled_below(Lane.DATA)
            reader.lose(Lane.DATA, (first, first + 1), (0, 1), "given up", (0, 0))
            await until(lambda: far.sent[-1] == 2.0)
            assert far.taken == [1.0]
        finally:
            serving.cancel()
        reader.rewind()
        assert reader.waiting_after_refusal == 0
        for record in await reader.take(10):
            number = float(record.readings.value[0]) if record.readings is not None else 0
            reader.refused(record, "never", final=True) if number == 2.0 else reader.acknowledged([record])
        assert reader.pending["data"] == 0
