"""A sync that fails: the kernel tells it once, and says that all is well the next time, without the data being on the disk.
What was not durable before is written anew into another file (the lesson of PostgreSQL's fsyncgate, 2018)."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.core.event import Event
from gateway.core.record import Lane
from gateway.status import rendered
from tests.outbox.making import Log, fill, spec, take, until, values


class Kernel:
    """Forgets, at a sync of a segment that fails, what the file was given since the last one that did not: so does Linux,
    once its pages are evicted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lane: str) -> None:
        self.fails = 0
        """How many of the next syncs fail."""
        self.forgotten: dict[Path, bytes] = {}
        """What the files held before."""
        self._lane = lane
        self._durable: dict[int, int] = {}
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)

    def fdatasync(self, file: int) -> None:
        path, found = Path(f"/proc/self/fd/{file}").readlink(), os.fstat(file)
        if path.parent.name == self._lane and self.fails:
            self.fails -= 1
            content = path.read_bytes()
            begin = self._durable.get(found.st_ino, 0)
            os.pwrite(file, bytes(found.st_size - begin), begin)
            self.forgotten[path] = content
            raise OSError(errno.EIO, "Input/output error")
        self._real(file)
        self._durable[found.st_ino] = found.st_size


def copy(log: Log, place: Path) -> Log:
    """The log's files as a power cut would leave them now."""
    shutil.copytree(log.directory, place)
    other = Log(place)
    other.clock = log.clock
    return other


async def everything(outbox: Any, count: int) -> list[float]:
    reader = outbox.reader("another")
    records = [record for record in await take(reader, count, 50) if record.lane is Lane.DATA]
    return sorted(values(records))


@pytest.mark.parametrize("before", [0, 3], ids=["whole file", "its end"])
async def test_readings_that_a_failed_sync_left_in_doubt_are_written_anew(
    log: Log, context: Any, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    kernel = Kernel(monkeypatch, "data")
    async with log.opened(commit_interval=0.05) as outbox:
        device = outbox.bind(spec(), context)
        if before:
            syncs = outbox.status().room.syncs
            await fill(outbox, device, range(before))
            await until(
                lambda: outbox.status().room.syncs > syncs + 1 and not outbox._writer._files[Lane.DATA]._unsynced
            )
        kernel.fails = 2
        await fill(outbox, device, range(before, 10))
        await until(lambda: kernel.forgotten and not kernel.fails and outbox.status().disk == "ok")
        await fill(outbox, device, range(10, 15))
        await until(lambda: len(outbox._lanes[Lane.DATA].segments) == (2 if before else 1))
        for lane in outbox._lanes.values():
            lane.tail.clear()
            lane._tail_bytes = 0
        assert await everything(outbox, 15) == list(range(15)), "read from the disk"
        balance = rendered(outbox.status())["lanes"]["data"]
        assert (balance["accepted"], balance["queued"]) == (45, 0)
        await until(lambda: not outbox._writer._files[Lane.DATA]._unsynced)
    async with log.opened() as outbox:
        assert await everything(outbox, 15) == list(range(15)), "after the next start"
        assert outbox.status().recovered.damaged == []


async def test_a_power_cut_right_after_leaves_all_that_was_said_to_be_kept(
    log: Log, context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The old file still has its old length then, and other bytes, or the same ones, at its end."""
    kernel = Kernel(monkeypatch, "data")
    monkeypatch.setattr(os, "truncate", lambda *_: None)
    async with log.opened(commit_interval=0.05) as outbox:
        device = outbox.bind(spec(), context)
        await fill(outbox, device, range(3))
        await until(lambda: not outbox._writer._files[Lane.DATA]._unsynced)
        kernel.fails = 1
        await fill(outbox, device, range(3, 10))
        await until(lambda: len(log.files()) == 2 and outbox.status().disk == "ok")
        cut, whole = copy(log, tmp_path / "cut"), copy(log, tmp_path / "whole")
        ((old, content),) = kernel.forgotten.items()
        (whole.directory / "data" / old.name).write_bytes(content)
    for name, other in (("cut", cut), ("whole", whole)):
        monkeypatch.setattr("gateway.outbox.format.identity._place", lambda _: {})
        async with other.opened() as outbox:
            assert await everything(outbox, 10) == list(range(10)), name
            assert outbox.status().lanes["data"].accepted == 30


async def test_an_event_is_told_once_and_only_when_it_is_durable(
    log: Log, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(monkeypatch, "alarm")
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        outbox.append_event(Event("one", "alarm", "raised", "press-1", 1, "one", "alarm"))
        reader.acknowledged(await take(reader, 1))
        kernel.fails = 1
        outbox.append_event(Event("two", "alarm", "raised", "press-1", 1, "two", "alarm"))
        (record,) = await take(reader, 1)
        assert record.body["event"] == "two"
        assert len(kernel.forgotten) == 1
        assert len(outbox._lanes[Lane.ALARM].segments) == 2
        assert not await reader.take(10)
    async with log.opened() as outbox:
        records = await take(outbox.reader("another"), 2)
        assert [record.body["event"] for record in records] == ["one", "two"]


async def test_a_file_that_cannot_be_finished_is_written_anew_too(
    log: Log, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(monkeypatch, "data")
    async with log.opened(commit_interval=60.0) as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(5))
        kernel.fails = 1
    assert kernel.forgotten
    async with log.opened() as outbox:
        assert await everything(outbox, 5) == list(range(5))
        assert outbox.status().recovered.damaged == []
