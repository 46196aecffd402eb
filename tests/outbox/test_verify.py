"""`verify` finds whatever is not as it was written, names the place, and takes nothing else for damage."""

import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.context import Context
from gateway.core.errors import GatewayError
from gateway.core.record import Kind, Lane
from gateway.outbox.format.frames import DEFINITION, HEAD_SIZE, scan
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.outbox.inspect.log_files import LogFiles
from gateway.outbox.inspect.report import LogReport
from gateway.outbox.inspect.verification import verify
from tests.outbox.making import Log, fill, spec, take, until


async def filled(log: Log, context, *, clean: bool = True) -> None:
    """Two finished files of data, and one that an unclean stop has left open unless `clean`; events and a cursor beside."""
    for events, start in ((1, 0), (2, 5)):
        async with log.opened() as outbox:
            outbox.reader("central")
            await fill(outbox, outbox.bind(spec(), context), range(start, start + 5))
            outbox._intake.body(Kind.EVENT, {"message": "x"})
            await until(lambda outbox=outbox, n=events: outbox.status().lanes["alarm"].accepted == n)
    if not clean:
        async with log.opened() as outbox:
            await fill(outbox, outbox.bind(spec(), context), range(10, 15))
            kept = {path: path.read_bytes() for path in log.directory.rglob("*") if path.is_file()}
        for path, data in kept.items():
            path.write_bytes(data)


def report(log: Log) -> LogReport:
    return verify(LogFiles(log.directory))


def places(path: Path, kind: int) -> list[int]:
    return [offset for offset, head in scan(path.read_bytes(), HEADER_SIZE) if head.kind == kind]


def flip(path: Path, at: int, bits: int = 0x41) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("clean", [True, False])
async def test_a_sound_log_is_sound_and_counted(log, context, clean):
    await filled(log, context, clean=clean)
    found = report(log)
    assert (found.problems, found.remarks) == ([], [])
    data = found.lanes[Lane.DATA]
    files = 2 if clean else 3
    assert (data.files, data.records, data.readings, data.first, data.last) == (
        files,
        5 * files,
        15 * files,
        1,
        5 * files,
    )


async def test_a_log_that_was_killed_and_began_again_is_sound_for_its_skip_is_told(log, context):
    await filled(log, context, clean=False)
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(15, 16))
    found = report(log)
    assert (found.problems, found.remarks) == ([], [])
    assert found.lanes[Lane.DATA].last > 65_536


async def test_a_skip_that_was_delivered_and_removed_is_seen_by_the_running_count(log, context):
    await filled(log, context, clean=False)
    async with log.opened() as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(15, 16))
    for path in log.files("alarm"):
        path.unlink()
    found = report(log)
    assert [remark.text for remark in found.remarks] == [
        f"data numbers 16 to {found.lanes[Lane.DATA].last - 1} are unused: the running count goes on without a gap"
    ]
    assert [str(problem) for problem in found.problems] == [
        "numbers: alarm numbers 1 to 1028 are missing with 4 readings, and no skip or loss names them"
    ]


@pytest.mark.parametrize("where", [4, 8, 16, 24, 40, HEAD_SIZE - 1, HEAD_SIZE + 2])
async def test_a_flipped_byte_of_a_record_is_named_with_its_place_and_its_hole(log, context, where):
    await filled(log, context)
    path = log.files()[0]
    third = places(path, Kind.READINGS)[2]
    flip(path, third + where)
    found = report(log)
    name = f"data/{path.name}"
    assert {(problem.file, problem.offset) for problem in found.problems[:1]} == {(name, third)}
    assert "are damaged" in found.problems[0].text
    assert "data number 3 is missing with 3 readings" in found.problems[1].text


async def test_damage_that_a_loss_record_names_is_still_damage_but_no_unexplained_hole(log, context):
    await filled(log, context)
    flip(log.files()[0], places(log.files()[0], Kind.READINGS)[2] + HEAD_SIZE)
    async with log.opened() as outbox:
        await take(outbox.reader("central", "strict"), 12)
    found = report(log)
    assert ["are damaged" in problem.text for problem in found.problems] == [True]


async def test_a_missing_file_is_a_hole_with_its_readings(log, context):
    await filled(log, context, clean=False)
    log.files()[1].unlink()
    (problem,) = report(log).problems
    assert problem.text == "data numbers 6 to 10 are missing with 15 readings, and no skip or loss names them"


async def test_a_missing_file_whose_records_every_sink_has_is_only_remarked(log, context):
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(5))
    async with log.opened(keep=1e9) as outbox:
        reader = outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(5, 10))
        reader.acknowledged(await take(reader, 10))
    async with log.opened(keep=1e9) as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(10, 15))
    log.files()[1].unlink()
    found = report(log)
    assert found.problems == []
    assert [remark.text for remark in found.remarks] == [
        "data numbers 6 to 10 are missing, and every sink is done with them"
    ]


async def test_a_half_written_end_is_remarked_and_a_damaged_one_a_problem(log, context):
    await filled(log, context, clean=False)
    path = log.files()[-1]
    data = path.read_bytes()
    last = places(path, Kind.READINGS)[-1]
    for cut in range(last + 1, len(data)):
        path.write_bytes(data[:cut])
        found = report(log)
        assert [(remark.offset, remark.text.split()[0]) for remark in found.remarks] == [(last, str(cut - last))]
        assert found.problems == []
    path.write_bytes(data)
    flip(path, last + HEAD_SIZE)
    assert [problem.offset for problem in report(log).problems] == [last]


@pytest.mark.parametrize("name", ["numbers", "tags", "cursors/central.json"])
async def test_the_small_files_are_looked_at(log, context, name):
    await filled(log, context)
    (log.directory / name).write_bytes(b"rubbish")
    assert name in {problem.file for problem in report(log).problems}


async def test_definitions_are_looked_for_in_the_segment_and_in_the_file_of_tags(log, context):
    await filled(log, context)
    (log.directory / "tags").unlink()
    assert report(log).ok
    flip(log.files()[0], places(log.files()[0], DEFINITION)[0] + HEAD_SIZE + 4)
    assert "source 1 is not defined" in report(log).problems[1].text


async def test_a_file_of_another_log_and_one_that_repeats_numbers_are_named(log, context, tmp_path):
    await filled(log, context)
    other = Log(tmp_path / "other")
    await filled(other, context)
    shutil.copy(other.files()[0], log.files()[0].with_name("0000000000000100.seg"))
    shutil.copy(log.files()[0], log.files()[0].with_name("0000000000000101.seg"))
    texts = [problem.text for problem in report(log).problems]
    assert f"it belongs to lane data of log {LogFiles(other.directory).log_id}" in texts
    assert "it begins with number 1, and the file before it ends with 10" in texts


async def test_a_directory_that_is_no_log_is_refused_in_words(tmp_path):
    with pytest.raises(GatewayError, match="is no outbox"):
        LogFiles(tmp_path)


async def test_a_copy_of_the_directory_is_verified_as_well(log, context, tmp_path):
    await filled(log, context)
    shutil.copytree(log.directory, tmp_path / "copy")
    assert verify(LogFiles(tmp_path / "copy")).ok


async def test_a_log_that_is_being_written_and_delivered_is_never_called_damaged(log, context):
    async with log.opened(segment_size=64 * 1024) as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")

        async def busy() -> None:
            number = 0
            while True:
                await fill(outbox, device, range(number, number + 100))
                number += 100
                reader.acknowledged(await reader.take(100))

        task = asyncio.create_task(busy())
        looks = records = 0
        while looks < 30 or not records:
            found = await asyncio.to_thread(report, log)
            assert found.problems == []
            looks, records = looks + 1, records + found.lanes[Lane.DATA].records
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_byte_of_a_finished_file_goes_unseen(tmp_path, data):
    log = Log(tmp_path / "outbox")
    if not log.directory.exists():
        asyncio.run(filled(log, Context(site="north")))
    path = data.draw(st.sampled_from([*log.files(), *log.files("alarm")]))
    at = data.draw(st.integers(0, path.stat().st_size - 1))
    bits = data.draw(st.integers(1, 255))
    flip(path, at, bits)
    try:
        assert not report(log).ok
    finally:
        flip(path, at, bits)
