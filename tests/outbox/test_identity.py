"""A log that stands where it was not made must not give out its original's numbers."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from gateway.core.record import Kind, Lane, Record
from gateway.outbox.format import identity
from gateway.outbox.format.identity import identify
from gateway.outbox.inspect.log_files import LogFiles
from gateway.outbox.inspect.verification import verify
from tests.outbox.making import Log, fill, spec, take, values


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Sets this machine's id."""
    path = tmp_path / "machine-id"
    monkeypatch.setattr(identity, "MACHINE_ID", path)

    def is_now(name: str) -> None:
        path.write_text(name)

    is_now("1" * 32)
    return is_now


def events(records: list[Record]) -> list[Mapping[str, Any]]:
    return [record.body for record in records if record.kind is Kind.EVENT and record.body["kind"] == "outbox"]


async def written(log: Log, context) -> str:
    """Five records that no sink has had."""
    async with log.opened() as outbox:
        outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(5))
        return outbox.log_id


async def test_a_cloned_pc_begins_a_new_log_and_says_so_and_sends_nothing_of_the_old(log, context, machine):
    original = await written(log, context)
    machine("2" * 32)
    async with log.opened() as outbox:
        reader = outbox.reader("central", "strict")
        await fill(outbox, outbox.bind(spec(), context), range(5, 7))
        records: list[Record] = []
        while len(values(records)) < 2 or not events(records):
            records += await take(reader, 1)
        assert {record.log for record in records} == {outbox.log_id} != {original}
        assert values(records) == [5, 6]
        assert [record.seq for record in records if record.lane is Lane.DATA] == [1, 2]
        (event,) = events(records)
        assert (event["kind"], event["state"], event["old"]) == ("outbox", "begun", original)
        assert "this PC is a clone" in event["message"]
        assert f"edge-gateway outbox export --dir {event['directory']}" in event["message"]
        assert outbox.set_aside.log == original
        assert outbox.status().set_aside == [event["directory"]]
    async with log.opened() as outbox:
        assert outbox.set_aside is None, "told once"
        assert outbox.status().set_aside == [event["directory"]], "but shown as long as it is there"


async def test_what_was_set_aside_is_a_whole_log_that_can_be_looked_at(log, context, machine):
    original = await written(log, context)
    machine("2" * 32)
    async with log.opened() as outbox:
        old = LogFiles(outbox.set_aside.directory)
    assert old.log_id == original
    assert verify(old).ok
    read = [old.record(*each) for each in old.heads(old.segments(Lane.DATA))]
    assert values(read) == [0, 1, 2, 3, 4]
    assert not (old.directory / "ballast").exists()


async def test_back_on_its_own_machine_a_clones_log_is_a_stranger_too(log, context, machine):
    names = {await written(log, context)}
    for name in "213":
        machine(name * 32)
        async with log.opened() as outbox:
            names.add(outbox.log_id)
    assert len(names) == 4


@pytest.mark.parametrize("content", [None, b"", b"rubbish", b"{}", b'{"log": "x", "place": {}, "check": "0"}'])
async def test_without_its_identity_old_data_is_set_aside_whole_and_nothing_is_deleted(log, context, content):
    await written(log, context)
    before = {path.name: path.read_bytes() for path in log.directory.rglob("*.seg")}
    path = log.directory / "log.json"
    path.unlink() if content is None else path.write_bytes(content)
    async with log.opened() as outbox:
        assert outbox.set_aside.log == "unknown"
        kept = {path.name: path.read_bytes() for path in outbox.set_aside.directory.rglob("*.seg")}
        assert before.items() <= kept.items()
        assert not (log.directory / "quarantine").exists()


async def test_deleting_the_identity_begins_a_new_log_though_all_was_delivered(log, context):
    """What docs/clocks.md advises after a snapshot: the numbers of the old log must not be given out once more."""
    name = await written(log, context)
    for path in log.directory.rglob("*.seg"):
        path.unlink()
    (log.directory / "log.json").unlink()
    async with log.opened() as outbox:
        assert outbox.log_id != name
        assert outbox.set_aside is not None
    async with log.opened() as outbox:
        assert outbox.set_aside is None


async def test_setting_aside_can_be_cut_off_at_any_place(log, context, machine, monkeypatch, tmp_path):
    """Each rename in turn is the last one before the power goes."""
    await written(log, context)
    names = {path.name for path in log.directory.rglob("*.seg")}
    for renames in range(12):
        copy = tmp_path / f"copy{renames}"
        shutil.copytree(log.directory, copy)
        with monkeypatch.context() as patched:
            _cut_after(renames, patched)
            with suppress(InterruptedError):
                identify(copy)
        name = identify(copy).log
        assert identify(copy).log == name
        assert {path.name for path in (copy / "set-aside").rglob("*.seg")} == names
        assert not list(copy.glob("*/*.seg"))


def _cut_after(renames: int, patched: pytest.MonkeyPatch) -> None:
    left = [renames]
    rename = identity.Path.rename

    def cut(path, target):
        if not left[0]:
            raise InterruptedError
        left[0] -= 1
        return rename(path, target)

    patched.setattr(identity.Path, "rename", cut)
