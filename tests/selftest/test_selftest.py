"""`selftest outbox` passes on a sound gateway, fails on every broken promise, and leaves nothing behind."""

import asyncio
import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.core.record import Lane
from gateway.outbox.deliver import reader
from gateway.outbox.format import identity, scanning
from gateway.outbox.start import state
from gateway.publish.in_flight import InFlight
from gateway.selftest import damage, frozen, tortured
from gateway.selftest.before import Before, prepare, valued
from gateway.selftest.check import Check
from gateway.selftest.damage import FLIPS, GONE, torn
from gateway.selftest.frozen import frozen_broker
from gateway.selftest.killing import Ledger, kill_loop
from gateway.selftest.logs import ROWS, SINKS, bind, block, event, opened, silence
from gateway.selftest.runs import Named, runs
from tests.peers.broker import wait_until


@pytest.fixture
def before(tmp_path: Path) -> Before:
    with silence():
        return asyncio.run(valued(prepare(tmp_path / "log")))


def tried(before: Before, doing: damage.Doing, trials: int = 20) -> Check:
    with silence():
        return damage._tried("check", {"check": doing}, before, trials, random.Random(1), lambda *_: None)


@pytest.mark.timeout(400)
def test_a_sound_gateway_passes_and_the_report_says_on_what(tmp_path, capsys):
    report = tmp_path / "report.txt"
    options = ["--dir", str(tmp_path / "disk"), "--cycles", "2", "--report", str(report)]
    code = main(["selftest", "outbox", "--json", *options])
    told = json.loads(capsys.readouterr().out)
    assert [failure for check in told["checks"] for failure in check["failures"]] == []
    assert (code, told["passed"]) == (0, True)
    assert {"date", "gateway", "machine", "kernel", "disk", "sync", "seed"} < set(told)
    kill = told["checks"][0]["figures"]
    assert (kill["accepted records lost"], kill["numbers reused"], kill["starts refused"]) == (0, 0, 0)
    assert kill["records accepted"] > 40
    assert kill["balances exact to the reading"] == 4
    assert list((tmp_path / "disk").iterdir()) == []
    text = report.read_text()
    assert "pass  kill -9 under load" in text
    assert f"{len(told['checks'])} of {len(told['checks'])} checks passed" in text


@pytest.mark.timeout(400)
def test_kill_9_at_random_moments_loses_no_accepted_record_and_reuses_no_number(tmp_path, new_seed):
    check = kill_loop(tmp_path, 12, random.Random(new_seed), lambda *_: None)
    assert check.failures == []
    assert check.figures["records accepted"] > 200


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_every_child_and_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-m", "gateway", "selftest", "outbox", "--dir", str(tmp_path), "--cycles", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: bool(list(tmp_path.glob("selftest-*/killed/data/*.seg"))), "a child writes", 100)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(100) == 130
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
    assert [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in content(path)] == []


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_folder_that_cannot_be_written_is_said_with_what_to_do(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["selftest", "outbox", "--dir", str(tmp_path / "file" / "disk")]) == 1
    assert "edge-gateway selftest outbox --dir DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    "doing", [torn, *FLIPS.values(), *GONE.values()], ids=["torn", *FLIPS, *(f"no {n}" for n in GONE)]
)
def test_damage_of_every_kind_is_survived(before, doing):
    check = tried(before, doing, 5)
    assert check.failures == []


@pytest.mark.timeout(400)
def test_a_frozen_far_side_is_named_and_costs_nothing(tmp_path):
    with silence():
        check = frozen_broker(tmp_path, lambda *_: None)
    assert check.failures == []
    assert (check.figures["freezes"], check.figures["lost"]) == (3, 0)


# A check that cannot fail proves nothing: each promise is broken once.


@pytest.mark.timeout(400)
def test_a_watchdog_that_sleeps_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(InFlight, "look", lambda self, timeout: "")
    monkeypatch.setattr(frozen, "NAMED_WITHIN", 1.0)
    monkeypatch.setattr(frozen, "FREEZES", 1)
    with silence():
        check = frozen_broker(tmp_path, lambda *_: None)
    assert "was not named" in check.failures[0]


@pytest.mark.timeout(400)
def test_a_sink_that_forgets_what_was_on_its_way_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(reader.Reader, "rewind", lambda self: None)
    monkeypatch.setattr(frozen, "DELIVERED_WITHIN", 3.0)
    monkeypatch.setattr(frozen, "FREEZES", 1)
    with silence():
        check = frozen_broker(tmp_path, lambda *_: None)
    assert any("not everything was acknowledged" in failure for failure in check.failures)


def test_a_start_that_is_refused_is_told(before, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(state, "recover", refuse)
    check = tried(before, FLIPS["payload"], 2)
    assert check.figures["starts refused"] == 2
    assert "the start was refused: OSError: no" in check.failures[0]


def test_a_log_that_trusts_damaged_bytes_is_found_out(before, monkeypatch):
    monkeypatch.setattr(scanning, "is_whole", lambda *_: True)
    assert not tried(before, FLIPS["payload"]).passed


def test_a_log_that_does_not_name_its_losses_is_found_out(before, monkeypatch):
    monkeypatch.setattr(reader.Reader, "take_losses", lambda self: [])
    check = tried(before, FLIPS["payload"])
    assert check.figures["of them not named"] > 0


def test_a_log_that_gives_numbers_out_twice_is_found_out(before, monkeypatch):
    def unreserved(path: Path) -> identity.NumbersFile:
        file = identity.NumbersFile(path)
        if file.numbers is not None:
            file.numbers = identity.replace(file.numbers, reserved=(0, 0))
        return file

    monkeypatch.setattr(state, "NumbersFile", unreserved)
    check = tried(before, torn)
    assert check.figures["numbers reused"] > 0


def test_a_log_that_loses_whole_records_is_found_out(before, monkeypatch):
    monkeypatch.setattr(state, "_load_cursors", lambda *_: {})
    check = tried(before, lambda before, _: _without_the_last_data_file(before), 1)
    assert check.figures["whole records lost"] > 0


def _without_the_last_data_file(before: Before) -> damage.InjectedFault:
    (before.directory / before.last_file(Lane.DATA)).unlink()
    return damage.InjectedFault("removed")


def ledger(*said: dict[str, object]) -> Check:
    subject, check = Ledger(), Check("kill")
    for each in said:
        subject.take(each)
    subject.judge(check)
    return check


def balances(records: int) -> dict[str, object]:
    def lane(count: int) -> dict[str, object]:
        return {"accepted": count, "acknowledged": count, "pending": 0, "dropped": {}}

    return {"balances": {sink: {"data": lane(records * ROWS), "alarm": lane(0)} for sink in SINKS}}


def got(*data: tuple[int, int, int]) -> list[dict[str, object]]:
    return [{"sink": sink, word: {"data": data}} for sink in SINKS for word in ("got", "done")]


def test_the_ledger_of_the_kills_finds_what_is_lost_reused_and_wrongly_counted():
    sound = [{"started": "a"}, *got((1, 0, 10), (70, 10, 5)), balances(15)]
    assert ledger(*sound).passed
    lost = ledger({"started": "a"}, *got((1, 0, 10), (70, 12, 3)), balances(13))
    assert lost.figures["accepted records lost"] == 4
    reused = ledger(*sound, *got((8, 20, 2)))
    assert reused.figures["numbers reused"] == 4
    assert not ledger(*sound[:-1], balances(14)).passed
    assert not ledger({"started": "b"}, *sound).passed


def test_runs_hold_what_each_number_names():
    assert list(runs([(1, 5), (2, 6), (4, 7), (5, 9)])) == [(1, 5, 2), (4, 7, 1), (5, 9, 1)]
    named = Named()
    chance = random.Random(3)
    truth: dict[int, int] = {}
    for _ in range(2000):
        seq, count, shift = chance.randrange(300), chance.randrange(1, 20), chance.choice([0, 0, 0, 5])
        before = named.reused
        named.add((seq, seq + shift, count))
        clashes = sum(truth.setdefault(each, shift) != shift for each in range(seq, seq + count))
        assert named.reused - before == clashes
        assert named.count == len(truth)


def test_no_sink_loses_what_another_one_has_while_the_rest_is_drained(tmp_path, monkeypatch):
    """The log's upkeep removes what all sinks have; the examiner must be there with all of them."""
    told: dict[str, object] = {}
    monkeypatch.setattr(tortured, "say", told.update)

    async def leave_a_log() -> None:
        async with opened(tmp_path) as outbox:
            for name in SINKS:
                outbox.reader(name)
            device = bind(outbox)
            for number in range(3000):
                outbox.append(block(device, number))
                if number % 500 == 499:
                    await outbox.written_out(10)

    async def look_after_every_turn(sink: tortured.Consumer, kept: int) -> bool:
        found = await turn(sink, kept)
        sink.outbox._tick()
        return found

    turn = tortured.Consumer.turn
    monkeypatch.setattr(tortured.Consumer, "turn", look_after_every_turn)
    with silence():
        asyncio.run(leave_a_log())
        asyncio.run(tortured.drain(tmp_path))
    data = [told["balances"][sink]["data"] for sink in SINKS]
    assert [(lane["acknowledged"], lane["dropped"]) for lane in data] == [(3000 * ROWS, {})] * 2


def test_what_comes_while_the_log_is_drained_is_drained_for_all_sinks(tmp_path, monkeypatch):
    """Receipts are issued meanwhile: when one sink has all, another one may get more."""
    told: dict[str, object] = {}
    monkeypatch.setattr(tortured, "say", told.update)

    async def leave_a_log() -> None:
        async with opened(tmp_path) as outbox:
            for name in SINKS:
                outbox.reader(name)
            device = bind(outbox)
            for number in range(10):
                outbox.append(block(device, number))
            await outbox.written_out(30)

    async def say_more(sink: tortured.Consumer, kept: int) -> bool:
        found = await turn(sink, kept)
        if sink.name == SINKS[-1] and not more:
            more.append(True)
            sink.outbox.append_event(event(0))
            await sink.outbox.written_out(30)
        return found

    turn, more = tortured.Consumer.turn, []
    monkeypatch.setattr(tortured.Consumer, "turn", say_more)
    with silence():
        asyncio.run(leave_a_log())
        asyncio.run(tortured.drain(tmp_path))
    assert [told["balances"][sink]["alarm"]["pending"] for sink in SINKS] == [0, 0]
