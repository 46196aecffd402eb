"""What a stop without warning, a torn write, a flipped bit or a copied directory leaves behind."""

import shutil

import pytest

from gateway.core.record import Kind, Lane
from gateway.outbox import Outbox
from gateway.outbox.format.frames import HEAD_SIZE, scan
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.status import rendered
from tests.outbox.making import Log, block, fill, spec, take, until, values


async def unclean(log: Log, context, count: int = 5) -> bytes:
    """Fill a log, and leave its files as they were before the orderly end; returns the data segment."""
    async with log.opened() as outbox:
        outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(count))
        kept = {path: path.read_bytes() for path in log.directory.rglob("*") if path.is_file()}
    for path in log.directory.rglob("*.seg"):
        path.unlink()
    for path, data in kept.items():
        path.write_bytes(data)
    return log.files()[0].read_bytes()


async def test_after_an_unclean_stop_numbers_go_on_above_the_reserved_ones_and_the_skip_is_told(log, context):
    await unclean(log, context)
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(5, 6))
        records = await take(reader, 8)
        skips = [record.body for record in records if record.kind is Kind.SKIP]
        data = [record for record in records if record.lane is Lane.DATA]
        assert sorted(values(data)) == list(range(6))
        newest = max(record.seq for record in data)
        assert newest >= 65_536
        assert {"lane": "data", "ranges": [[6, newest - 1]]}.items() <= next(
            skip for skip in skips if skip["lane"] == "data"
        ).items()
        status = rendered(reader.status())["lanes"]["data"]
        assert (status["accepted"], status["pending"], status["dropped"]) == (18, 18, {})


async def test_after_an_orderly_stop_numbers_follow_each_other(log, context):
    for start in (0, 5):
        async with log.opened() as outbox:
            await fill(outbox, outbox.bind(spec(), context), range(start, start + 5))
    async with log.opened() as outbox:
        records = await take(outbox.reader("central"), 10)
        assert [record.seq for record in records] == list(range(1, 11))
        assert outbox.status().recovered.skipped == {}


async def test_a_tail_torn_at_any_byte_costs_its_own_record_only(log, context):
    data = await unclean(log, context)
    places = [offset for offset, _ in scan(data, HEADER_SIZE)]
    path = log.files()[0]
    saved = {file: file.read_bytes() for file in log.directory.rglob("*") if file.is_file()}
    for cut in range(places[-1], len(data)):
        for file in log.directory.rglob("*.seg"):
            file.unlink()
        for file, content in saved.items():
            file.write_bytes(content)
        path.write_bytes(data[:cut])
        outbox = Outbox.open(log.directory, log.section, clock=log.clock, config_hash="c0ffee00")
        records = await take(outbox.reader("central", "strict"), 4)
        assert [record.seq for record in records if record.lane is Lane.DATA] == [1, 2, 3, 4]
        assert outbox.status().recovered.torn_bytes == cut - places[-1]
        await outbox.close()


@pytest.mark.parametrize("where", ["magic", "length", "number", "crc", "payload"])
async def test_a_flipped_byte_costs_one_record_and_is_told(log, context, where):
    await unclean(log, context)
    path = log.files()[0]
    data = bytearray(path.read_bytes())
    record = [offset for offset, head in scan(bytes(data), HEADER_SIZE) if head.kind == Kind.READINGS][2]
    data[record + {"magic": 0, "length": 5, "number": 9, "crc": HEAD_SIZE - 1, "payload": HEAD_SIZE + 3}[where]] ^= 0x41
    path.write_bytes(bytes(data))
    async with log.opened() as outbox:
        reader = outbox.reader("central", "strict")
        assert outbox.status().recovered.damaged == [str(path)]
        assert (log.directory / "quarantine" / f"data-{path.name}").exists()
        records = await take(reader, 7)
        assert [record.seq for record in records if record.lane is Lane.DATA] == [1, 2, 4, 5]
        loss = next(record.body for record in records if record.kind is Kind.LOSS)
        assert (loss["ranges"], loss["rows"], loss["reason"]) == ([[3, 3]], 3, "damaged on disk")
        around = [record.wall_ns for record in records if record.lane is Lane.DATA and record.seq in (2, 4)]
        assert [loss["from_ns"], loss["to_ns"]] == around
        status = rendered(reader.status())["lanes"]["data"]
        assert status["dropped"] == {"damaged on disk": 3}
        assert status["accepted"] == status["pending"] + 3 == 15


async def test_damage_in_a_finished_file_is_met_when_it_is_read(log, context):
    async with log.opened() as outbox:
        outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(5))
    path = log.files()[0]
    data = bytearray(path.read_bytes())
    last = [offset for offset, head in scan(bytes(data), HEADER_SIZE) if head.kind == Kind.READINGS][-1]
    data[last + HEAD_SIZE + 1] ^= 1
    path.write_bytes(bytes(data))
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        records = await take(reader, 5)
        assert [record.seq for record in records if record.lane is Lane.DATA] == [1, 2, 3, 4]
        assert reader.status().lanes["data"].dropped == {"damaged on disk": 3}


@pytest.mark.parametrize("content", [b"", b"rubbish", bytes(4096), None])
async def test_an_unreadable_file_of_any_kind_never_stops_the_start(log, context, content):
    async with log.opened() as outbox:
        outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(5))
        outbox._intake.body(Kind.EVENT, {"message": "x"})
        await until(lambda: outbox.status().lanes["alarm"].accepted)
    for victim in sorted(path for path in log.directory.rglob("*") if path.is_file() and path.name != "log.json"):
        if content is None:
            victim.unlink(missing_ok=True)
        else:
            victim.write_bytes(content)
        async with log.opened() as outbox:
            device = outbox.bind(spec(), context)
            reader = outbox.reader("central", "strict")
            before = {record.seq for record in await reader.take(1000) if record.lane is Lane.DATA}
            await fill(outbox, device, range(1))
            new = [record for record in await take(reader, 1) if record.lane is Lane.DATA]
            assert not before & {record.seq for record in new}
            for lane in rendered(reader.status())["lanes"].values():
                assert lane["accepted"] == lane["acknowledged"] + lane["pending"] + sum(lane["dropped"].values())


async def test_lost_numbers_are_never_guessed_too_low(log, context):
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(5))
    (log.directory / "numbers").write_bytes(b"\xff" * 256)
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(5, 6))
        assert outbox.status().lanes["data"].next > 1 << 20


async def test_records_that_a_power_cut_took_after_they_were_delivered_leave_the_balance_right(log, context):
    """The cursor has seen more than the log still has."""
    async with log.opened() as outbox:
        outbox.reader("behind")
        reader = outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(10))
        reader.acknowledged(await take(reader, 10))
        kept = {path: path.read_bytes() for path in log.directory.rglob("*.seg")}
        numbers = (log.directory / "numbers").read_bytes()
    path, data = next(iter(kept.items()))
    places = [offset for offset, head in scan(data, HEADER_SIZE) if head.kind == Kind.READINGS]
    path.write_bytes(data[: places[6]])
    (log.directory / "numbers").write_bytes(numbers)
    async with log.opened() as outbox:
        central, behind = outbox.reader("central"), outbox.reader("behind")
        assert central.status().lanes["data"].pending == 0
        assert central.status().lanes["data"].acknowledged == 30
        lane = rendered(behind.status())["lanes"]["data"]
        assert (lane["accepted"], lane["pending"], lane["dropped"]) == (30, 18, {"not on disk": 12})
        assert values(await take(behind, 6)) == list(range(6))


async def test_of_files_that_are_gone_the_loss_tells_between_which_times_it_lies(log, context):
    """The records around it tell; where none is left, it lies between the making of the log and its loading."""
    for number in range(4):
        async with log.opened() as outbox:
            outbox.reader("central")
            await fill(outbox, outbox.bind(spec(), context), range(number, number + 1))
        log.clock.advance(60)
    files = log.files()
    files[1].unlink()
    lost = await _losses(log)
    assert [(loss["ranges"], loss["rows"]) for loss in lost] == [([[2, 2]], 3)]
    assert (lost[0]["to_ns"] - lost[0]["from_ns"]) / 1e9 == pytest.approx(120)
    for file in log.files():
        file.unlink()
    born = (log.directory / "log.json").stat().st_mtime_ns
    (loss,) = await _losses(log)
    assert loss["ranges"] == [[1, 1], [3, 4]]
    assert (loss["from_ns"], loss["to_ns"]) == (min(born, log.clock.wall_ns()), log.clock.wall_ns())


async def _losses(log: Log) -> list[dict]:
    """The bodies of the loss records that the next start writes."""
    losses: list[dict] = []
    async with log.opened() as outbox:
        reader = outbox.reader("central", "strict")
        while not losses:
            records = await take(reader, 1)
            reader.acknowledged(record for record in records if record.lane is Lane.ALARM)
            losses = [record.body for record in records if record.kind is Kind.LOSS]
    return losses


async def test_a_copied_log_is_a_new_log(log, context, tmp_path):
    async with log.opened() as outbox:
        name = outbox.log_id
        await fill(outbox, outbox.bind(spec(), context), range(5))
    clone = Log(tmp_path / "clone")
    shutil.copytree(log.directory, clone.directory)
    async with clone.opened() as outbox:
        assert outbox.log_id != name
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(1))
        records = await take(reader, 1)
        while not values(records):
            records += await take(reader, 1)
        assert [record.seq for record in records if record.lane is Lane.DATA] == [1]
        (aside,) = (clone.directory / "set-aside").iterdir()
        assert list((aside / "data").glob("*.seg"))
    async with log.opened() as outbox:
        assert outbox.log_id == name


async def test_a_step_of_the_wall_clock_opens_an_epoch_and_is_told(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(1))
        log.clock.step(-3600)
        await fill(outbox, device, range(1, 2))
        await until(lambda: reader.pending["alarm"])
        records = await take(reader, 3)
        assert [(record.seq, record.epoch) for record in records if record.lane is Lane.DATA] == [(1, 0), (2, 1)]
        event = next(record.body for record in records if record.kind is Kind.EVENT)
        assert (event["kind"], event["message"]) == ("clock", "The clock was set back by 3600.0 s.")
    async with log.opened() as outbox:
        outbox.append(block(device, 3))
        assert max(record.epoch for record in await take(outbox.reader("other", "strict"), 4)) == 1


async def test_what_is_free_on_the_disk_is_known_from_the_first_moment(log):
    async with log.opened() as outbox:
        assert outbox.status().room.free > 0
