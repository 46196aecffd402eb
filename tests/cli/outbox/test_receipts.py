"""`edge-gateway receipts` shows what was accepted and delivered, and verifies it against the log."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.outbox import receipts as receipts_module
from gateway.core.context import Context
from gateway.outbox import outbox as outbox_module
from gateway.outbox.format.frames import HEAD_SIZE, scan
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.outbox.receipts.receipt_files import load, packed
from tests.outbox.making import Log, fill, spec, take, until

HOUR = 3600


async def two_hours(log: Log, keep: float) -> None:
    """Of two devices; in the second hour one record is refused for good."""
    async with log.opened(keep=keep) as outbox:
        reader = outbox.reader("central", "strict")
        press, oven = (outbox.bind(spec(name, 2), Context(site="north")) for name in ("press", "oven"))
        for hour in range(2):
            before = reader.status().lanes["data"].accepted
            for device in (press, oven):
                outbox.receipts.read(device, 20)
                await fill(outbox, device, range(10))
            taken = [record for record in await take(reader, 20) if record.lane.word == "data"]
            if hour:
                reader.refused(taken.pop(3), "too large", final=True)
            reader.acknowledged(taken)
            assert reader.status().lanes["data"].accepted == before + 40
            log.clock.advance(HOUR)
            finals = log.directory / "receipts"
            await until(lambda: len(list(finals.glob("*.final"))) == hour + 1, 25)  # noqa: B023


@pytest.fixture(scope="module")
def kept_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    log = Log(tmp_path_factory.mktemp("receipts") / "outbox")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox_module, "_TICK", 0.05)
        asyncio.run(two_hours(log, 1e9))
    return log.directory


@pytest.fixture
def directory(kept_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_GATEWAY_SOCKET", str(tmp_path / "nobody.sock"))
    shutil.copytree(kept_log, tmp_path / "outbox")
    return tmp_path / "outbox"


def receipts(directory: Path, *more: str) -> int:
    return main(["receipts", "--dir", str(directory), *more])


def test_a_table_and_the_reason_of_each_loss(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert receipts(directory) == 1, "readings were lost"
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == ["2027-01-15T08:00Z", "press", "20", "20", "20", "0", "0", "final"]
    assert rows[3] == ["2027-01-15T09:00Z", "press", "20", "20", "18", "0", "2", "final"]
    assert " ".join(rows[5]) == (
        "2027-01-15T09:00Z press: 2 readings will not be delivered to central: refused: too large"
    )


def test_a_row_for_each_of_several_sinks() -> None:
    accounts = {
        "central": {"acknowledged": 20, "pending": 0, "dropped": {}},
        "lake": {"acknowledged": 15, "pending": 2, "dropped": {"outbox full": 3}},
    }
    receipt = {
        "hour": "2027-01-15T08:00Z",
        "device": "press",
        "read": None,
        "readings": 20,
        "final": False,
        "revision": 2,
    }
    header, *rows = [line.split() for line in receipts_module._table([{**receipt, "sinks": accounts}])]
    assert header[4:6] == ["SINK", "DELIVERED"]
    assert rows == [
        ["2027-01-15T08:00Z", "press", "?", "20", "central", "20", "0", "0", "revision", "2"],
        ["2027-01-15T08:00Z", "press", "?", "20", "lake", "15", "2", "3", "revision", "2"],
    ]


def test_devices_and_hours_are_chosen_and_json_is_what_was_published(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert receipts(directory, "--device", "ov*", "--to", "2027-01-15T09:00:00Z", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["device"], told["hour"], told["final"]) == ("oven", "2027-01-15T08:00Z", True)
    assert len(told["hash"]) == 64


def test_verify_finds_what_the_log_still_holds_in_order(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert receipts(directory, "--verify", "--to", "2027-01-15T09:00:00Z") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 receipts match what the log holds"


def test_verify_names_device_and_hour_of_a_record_that_is_damaged(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (directory / "data").glob("*.seg")
    data = bytearray(path.read_bytes())
    places = [at for at, head in scan(bytes(data), HEADER_SIZE) if head.seq == 5 and head.rows]
    data[places[0] + HEAD_SIZE + 2] ^= 1
    path.write_bytes(data)
    assert receipts(directory, "--verify", "--to", "2027-01-15T09:00:00Z") == 1
    assert "2027-01-15T08:00Z press: 1 of its 10 records cannot be read" in capsys.readouterr().out


def test_verify_names_a_receipt_whose_hash_is_another(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = min((directory / "receipts").glob("*.final"))
    found = load(path)
    assert found is not None
    period, told = found
    told[1]["hash"] = "00" * 32
    path.write_bytes(packed(period, told))
    assert receipts(directory, "--verify", "--to", "2027-01-15T09:00:00Z") == 1
    assert "2027-01-15T08:00Z oven: the log does not hold what was accepted" in capsys.readouterr().out


def test_without_history_the_receipts_are_there_and_verify_says_that_the_records_are_gone(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (directory / "data").glob("*.seg"):
        path.unlink()
    assert receipts(directory, "--verify", "--to", "2027-01-15T09:00:00Z") == 0
    assert "of 2 the records are no longer on disk" in capsys.readouterr().out


def test_a_directory_that_is_no_log_is_told_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert receipts(tmp_path) == 1
    assert "edge-gateway receipts --dir DIR" in capsys.readouterr().err
