"""A disk that takes nothing: alarms and live data go out from memory, marked, and nothing of it counts as accepted."""

import asyncio
import errno
import os
import threading

import pytest
from structlog.testing import capture_logs

from gateway.core.event import Event
from gateway.core.record import Kind, Lane
from gateway.outbox import outbox as module
from gateway.outbox import start, substitute
from gateway.outbox.deliver import unkept as unkept_module
from gateway.outbox.deliver.unkept_queue import UNKEPT_AT_MOST
from gateway.outbox.substitute import open_outbox
from gateway.outbox.write.writer import Writer
from gateway.status import rendered
from tests.outbox.making import Log, block, fill, spec, take, until, values
from tests.outbox.test_wild import encoder


class Listening:
    """Keeps what the log says of the disk."""

    def __init__(self, told: list[str]) -> None:
        self.keeping = told.append

    def heard(self, event: object) -> None:
        """Of no interest here."""


class Disk:
    """Refuses every write while it is broken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broken = False
        for name in ("pwrite", "fdatasync", "fsync"):
            monkeypatch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, real):
        def call(*arguments):
            if self.broken:
                raise OSError(errno.EROFS, "Read-only file system")
            return real(*arguments)

        return call


@pytest.fixture
def disk(monkeypatch) -> Disk:
    monkeypatch.setattr(unkept_module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "_TICK", 0.02)
    return Disk(monkeypatch)


async def kinds(reader, wanted: int) -> list:
    """Records without a number, this many."""
    found = []
    async with asyncio.timeout(25):
        while len(found) < wanted:
            await reader.wait()
            records = await reader.take(100)
            reader.acknowledged(records)
            found += [record for record in records if record.unkept]
    return found


async def test_what_is_read_while_the_disk_takes_nothing_goes_out_marked_and_is_accepted_if_it_comes_back(
    log: Log, context, disk
):
    told = []
    async with log.opened() as outbox:
        outbox.listen(Listening(told))
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        await fill(outbox, device, range(3))
        reader.acknowledged(await take(reader, 3))
        disk.broken = True
        outbox.append(block(device, 3))
        await until(lambda: outbox.not_kept)
        outbox.append_event(Event("fire", "alarm", "raised", "press-1", 1, "fire", "alarm"))
        outbox.append(block(device, 4))
        records = await kinds(reader, 4)
        assert values(records) == [3, 4]
        said = [record.body["event"] for record in records if record.kind is Kind.EVENT]
        assert said[0].startswith("outbox-not-kept")
        assert said[1] == "fire"
        for record in records:
            assert b'"kept":false' in encoder().messages(record)[0].payload
            assert ":unkept-" in record.id
        assert len({record.id for record in records}) == 4
        lane = rendered(reader.status())["lanes"]["data"]
        assert (lane["accepted"], lane["acknowledged"]) == (9, 9), "nothing of it is accepted"
        assert "Read-only" in outbox.status().disk
        assert outbox.status().kept is False
        disk.broken = False
        again = [record for record in await take(reader, 5) if not record.unkept]
        assert sorted(values(again)) == [3, 4]
        await until(lambda: not outbox.not_kept)
        assert [bool(why) for why in told] == [True, False]
        assert all(b'"kept":false' not in encoder().messages(record)[0].payload for record in again)
    async with log.opened() as outbox:
        assert outbox.status().lanes["data"].accepted == 15


async def test_what_waits_for_a_sink_that_is_away_is_bounded_and_alarms_outlast_data(log: Log, context, disk):
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central", "strict")
        await fill(outbox, device, range(1))
        reader.acknowledged(await take(reader, 1))
        disk.broken = True
        outbox.append(block(device, 1))
        outbox.append_event(Event("fire", "alarm", "raised", "press-1", 1, "fire", "alarm"))
        await until(lambda: outbox.not_kept)
        for number in range(2 * UNKEPT_AT_MOST[Lane.DATA]):
            outbox.append(block(device, number))
        records = await kinds(reader, 2 + UNKEPT_AT_MOST[Lane.DATA])
        assert [record.lane for record in records[:2]] == [Lane.ALARM, Lane.ALARM]
        assert values(records)[-1] == 2 * UNKEPT_AT_MOST[Lane.DATA] - 1
        disk.broken = False


async def test_alarms_that_a_full_disk_still_takes_are_sent_once_and_as_kept(log: Log, context, disk, monkeypatch):
    """As of a disk whose last room is kept for events: only readings wait."""
    append, full = Writer._append, threading.Event()

    def refusing(writer: Writer, lane: Lane, entries: object) -> object:
        if lane is Lane.DATA and full.is_set():
            raise OSError(errno.EROFS, "Read-only file system")
        return append(writer, lane, entries)

    monkeypatch.setattr(Writer, "_append", refusing)
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central", "strict")
        await fill(outbox, device, range(1))
        reader.acknowledged(await take(reader, 1))
        full.set()
        outbox.append(block(device, 1))
        await until(lambda: outbox.not_kept)
        outbox.append_event(Event("fire", "alarm", "raised", "press-1", 1, "fire", "alarm"))
        await until(lambda: not outbox.status().lanes["alarm"].queued)
        full.clear()
        await until(lambda: not outbox.not_kept)
        records = await take(reader, 5)
    events = [record for record in records if record.lane is Lane.ALARM]
    assert [record.unkept for record in events] == [""] * len(events)
    assert [record.body["message"] for record in events].count("fire") == 1


async def test_a_start_on_a_disk_that_takes_nothing_works_in_memory_and_says_so(log: Log, context, monkeypatch):
    real = start.load

    def load(directory, *clocks):
        if directory == log.directory:
            raise OSError(errno.EROFS, "Read-only file system", str(directory / "numbers"))
        return real(directory, *clocks)

    monkeypatch.setattr(start, "load", load)
    section = log.section.model_copy(update={"min_free": 1 << 60, "mode": "spill"})
    with capture_logs() as logs:
        outbox = open_outbox(log.directory, section, clock=log.clock, config_hash="c0ffee00")
    assert any("sent from memory, and not kept" in each["event"] for each in logs)
    run = asyncio.create_task(outbox.run())
    device, reader = outbox.bind(spec(), context), outbox.reader("central")
    await fill(outbox, device, range(3))
    outbox.append_event(Event("fire", "alarm", "raised", "press-1", 1, "fire", "alarm"))
    records = await take(reader, 4)
    assert all(b'"kept":false' in encoder().messages(record)[0].payload for record in records)
    reader.acknowledged(records)
    assert reader.status().lanes["data"].pending == 0
    assert "Read-only file system" in outbox.not_kept
    assert outbox.status().disk == outbox.not_kept
    place = outbox._directory
    assert place != log.directory
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await outbox.close()
    assert not place.exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOENT])
def test_a_folder_that_this_user_may_not_write_to_still_refuses_the_start(log: Log, number, monkeypatch):
    def load(*_):
        raise OSError(number, "no")

    monkeypatch.setattr(start, "load", load)
    with pytest.raises(OSError):
        open_outbox(log.directory, log.section, clock=log.clock, config_hash="")
    assert number not in substitute.BROKEN


async def test_a_disk_that_hangs_without_an_error_is_one_that_takes_nothing(log: Log, context, monkeypatch):
    monkeypatch.setattr(module, "_TICK", 0.02)
    held, real = threading.Event(), os.pwrite
    held.set()

    def hangs(*arguments):
        held.wait(25)
        return real(*arguments)

    monkeypatch.setattr(os, "pwrite", hangs)
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        await fill(outbox, device, range(1))
        held.clear()
        # Only now: on a machine that stands still for a moment the first record, too, would take longer.
        monkeypatch.setattr(unkept_module, "PATIENCE", 0.05)
        monkeypatch.setattr("gateway.outbox.write.disk.HANGS", 0.1)
        outbox.append(block(device, 1))
        await until(lambda: outbox.not_kept == "it does not answer")
        assert values(await kinds(reader, 2)) == [1]
        held.set()
        await until(lambda: not outbox.not_kept)


async def test_a_stop_does_not_wait_for_a_disk_that_takes_nothing(log: Log, context, disk, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 1000.0)
    async with asyncio.timeout(60), log.opened() as outbox:
        device = outbox.bind(spec(), context)
        disk.broken = True
        outbox.append(block(device, 3))
        await until(lambda: outbox.not_kept)
        await outbox.written_out(1000.0)
