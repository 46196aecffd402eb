"""What happens beneath a running log: its folder or files are removed or replaced, and its process has no descriptor left."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.record import Kind, Lane
from gateway.outbox.write.ground import Spares
from gateway.status import rendered
from tests.outbox.making import Log, block, fill, spec, take, until, values


def test_a_process_without_descriptors_still_writes_rotates_and_syncs(tmp_path: Path) -> None:
    child = [sys.executable, "-m", "tests.outbox.few_descriptors_child", str(tmp_path / "outbox")]
    told = subprocess.run(child, capture_output=True, text=True, timeout=100, check=False)
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-4000:]
    assert "files" in told.stdout


def test_spare_descriptors_are_lent_one_by_one_and_taken_again() -> None:
    spares = Spares(3)
    asked = []

    def action() -> str:
        asked.append(len(spares._held))
        if len(asked) < 3:
            raise OSError(24, "too many")
        return "done"

    assert spares.lending(action) == "done"
    assert asked == [3, 2, 1]
    assert len(spares._held) == 3
    with pytest.raises(OSError, match="no space"):
        spares.lending(lambda: (_ for _ in ()).throw(OSError(28, "no space")))
    spares.close()


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
async def test_a_folder_that_is_removed_or_replaced_is_told_and_nothing_is_written_into_the_void(
    log: Log, context, how
):
    aside = log.directory.with_name("aside")
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        await fill(outbox, device, range(3))
        if how == "removed":
            shutil.rmtree(log.directory)
        else:
            log.directory.rename(aside)
        if how == "replaced":
            log.directory.mkdir()
        outbox._tick()
        await until(lambda: outbox.status().disk != "ok")
        words = "another one was put in its place" if how == "replaced" else "it was removed while the gateway runs"
        assert words in outbox.status().disk
        outbox.append(block(device, 3))
        outbox.flush()
        taken = await take(reader, 4)
        assert values([each for each in taken if not each.unkept]) == [0, 1, 2], "what memory has goes out"
        assert values([each for each in taken if each.unkept]) == [3], "and what is read, at once and marked"
        assert outbox.status().lanes["data"].queued == 1
        if how == "removed":
            return
        if how == "replaced":
            log.directory.rmdir()
        aside.rename(log.directory)
        kept = await take(reader, 1)
        while not values(kept):
            kept += await take(reader, 1)  # after the event that tells of it
        assert values([each for each in kept if not each.unkept]) == [3]
        outbox._tick()
        await until(lambda: outbox.status().disk == "ok")
    async with log.opened() as outbox:
        assert outbox.set_aside is None
        assert outbox.status().lanes["data"].accepted == 12


@pytest.mark.parametrize("how", ["unlinked", "replaced", "folder"])
async def test_a_file_that_is_removed_while_it_is_written_costs_what_is_in_it_and_a_new_one_is_begun(
    log: Log, context, how
):
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        await fill(outbox, device, range(3))
        (path,) = log.files()
        if how == "folder":
            shutil.rmtree(log.directory / "data")
        else:
            path.unlink()
            if how == "replaced":
                path.write_bytes(b"x" * 5000)
        outbox._tick()
        await until(lambda: outbox.status().room.removed == [str(path)])
        await fill(outbox, device, range(3, 5))
        records = await take(reader, 6)
        assert values(records) == [0, 1, 2, 3, 4], "memory has them all"
        (event,) = [record.body for record in records if record.kind is Kind.EVENT]
        assert path.name in event["message"]
        assert log.files()[-1] != path
    async with log.opened() as outbox:
        assert outbox.reader("other").status().lanes["data"].accepted >= 6


async def test_an_older_file_that_somebody_removes_is_told_as_a_loss_within_a_minute(log: Log, context):
    async with log.opened() as outbox:
        outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(4))
    async with log.opened() as outbox:
        reader = outbox.reader("central", "strict")
        await fill(outbox, outbox.bind(spec(), context), range(4, 6))
        log.files()[0].unlink()
        log.clock.advance(60)
        outbox._tick()
        await until(lambda: outbox.status().room.removed)
        outbox._tick()
        records = await take(reader, 4)
        (loss,) = [record.body for record in records if record.kind is Kind.LOSS]
        assert (loss["ranges"], loss["rows"], loss["reason"]) == ([[1, 4]], 12, "its file was removed by somebody else")
        assert values(record for record in records if record.lane is Lane.DATA) == [4, 5]
        lane = rendered(reader.status())["lanes"]["data"]
        assert lane["accepted"] == lane["acknowledged"] + lane["pending"] + sum(lane["dropped"].values())


async def test_a_removed_file_of_numbers_is_made_anew(log: Log, context):
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(3))
        (log.directory / "numbers").unlink()
        outbox._tick()
        await until((log.directory / "numbers").exists)
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(3, 4))
        assert outbox.status().lanes["data"].next == 5
        assert (log.directory / "numbers").stat().st_size == 256
