"""`edge-gateway outbox` tells what stands in a log, of a running gateway or of none, and changes nothing."""

import asyncio
import csv
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow.parquet import ParquetFile, read_table

from gateway.cli import main
from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec
from gateway.core.context import Context
from gateway.core.quality import BAD_NO_COMMUNICATION, HISTORICAL
from gateway.core.record import Kind
from gateway.core.times import parse_time, rfc3339
from gateway.outbox.format.frames import HEAD_SIZE, scan
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.outbox.inspect import export_parquet
from gateway.outbox.inspect.export import COLUMNS, exact_text
from tests.outbox.making import Log, block, fill, spec, take, until

T0 = 1_800_000_000_123_456_789


def options(kind: str) -> TagConfig:
    class Typed(TagConfig):
        def value_type(self) -> str:
            return kind

    return Typed()


async def write(log: Log) -> None:
    """Six blocks of two devices, half of them delivered; one event."""
    kinds = {"temp": "float32", "on": "bool", "count": "uint64", "recipe": "string", "level": "float64"}
    press = DeviceSpec(DeviceConfig(name="press-1", driver="fake"), {name: options(kinds[name]) for name in kinds})
    async with log.opened(keep=1e9) as outbox:
        reader = outbox.reader("central", "strict")
        context = Context(site="north", line="coating", batch="B-7")
        device = outbox.bind(press, context)
        exact = {2: 2**63 + 1, 3: 'A "17", b'}
        columns = {
            "t_ns": np.full(5, T0, np.int64),
            "value": np.array([21.3, 1.0, math.nan, math.nan, 0.1]),
            "quality": np.array([0, HISTORICAL, 0, 0, BAD_NO_COMMUNICATION], np.uint32),
            "exact": exact,
        }
        outbox.append(block(device, 0, **columns))
        await fill_one(outbox, 5)
        oven = outbox.bind(spec("oven-1", 1), context)
        await fill(outbox, oven, range(1, 6))
        outbox._intake.body(Kind.EVENT, {"device": "oven-1", "message": "too hot"})
        await until(lambda: outbox.status().lanes["alarm"].accepted == 1)
        reader.acknowledged((await take(reader, 7))[:4])


async def fill_one(outbox, rows: int) -> None:
    await until(lambda: outbox.status().lanes["data"].accepted == rows)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_GATEWAY_SOCKET", str(tmp_path / "nobody.sock"))
    log = Log(tmp_path / "state" / "outbox")
    asyncio.run(write(log))
    return log.directory


def content(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def exported(directory: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    capsys.readouterr()
    assert main(["outbox", "export", "--dir", str(directory), *arguments]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_export_gives_times_values_and_qualities_exactly(directory, capsys):
    rows = exported(directory, capsys, "--device", "press-1")
    assert {row["time"] for row in rows} == {"2027-01-15T08:00:00.123456789Z"}
    assert {row["tag"]: (row["value"], row["type"]) for row in rows} == {
        "temp": ("21.3", "float32"),
        "on": ("true", "bool"),
        "count": (str(2**63 + 1), "uint64"),
        "recipe": ('A "17", b', "string"),
        "level": ("0.1", "float64"),
    }
    assert [(row["quality"], row["code"]) for row in rows] == [
        ("good", "0x00000000"),
        ("good, historical", "0x00000000"),
        ("good", "0x00000000"),
        ("good", "0x00000000"),
        ("bad no communication", "0x80310000"),
    ]
    assert {(row["site"], row["line"], row["batch"], row["order"], row["config"]) for row in rows} == {
        ("north", "coating", "B-7", "", "c0ffee00")
    }
    assert {row["id"].split(":", 1)[1] for row in rows} == {"data:1"}


def test_export_takes_a_span_of_time_and_patterns_of_devices(directory, capsys):
    oven = [1_800_000_000_000_000_000 + number for number in range(1, 6)]
    rows = exported(directory, capsys, "--from", rfc3339(oven[1]), "--to", rfc3339(oven[3]))
    assert [row["time"] for row in rows] == [rfc3339(oven[1]), rfc3339(oven[2])]
    assert {row["device"] for row in exported(directory, capsys, "--device", "o*")} == {"oven-1"}
    assert len(exported(directory, capsys)) == 10


def test_export_to_a_file_says_what_is_in_it(directory, tmp_path, capsys):
    out = tmp_path / "readings.csv"
    assert main(["outbox", "export", "--dir", str(directory), "-o", str(out)]) == 0
    assert f"{out}: 10 readings, 2027-01-15T08:00:00.000000001Z to" in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").count("\n") == 11
    assert [path.name for path in tmp_path.glob("readings*")] == ["readings.csv"]
    assert main(["outbox", "export", "--json", "--dir", str(directory), "-o", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"readings": 10, "first_ns": 1_800_000_000_000_000_001, "last_ns": T0, "missing": 0}


def parquet(directory: Path, out: Path, *arguments: str) -> pa.Table:
    assert main(["outbox", "export", "--format", "parquet", "-o", str(out), "--dir", str(directory), *arguments]) == 0
    return read_table(out)


def test_parquet_holds_the_same_readings_as_the_csv_with_exact_types(directory, tmp_path, capsys):
    table = parquet(directory, tmp_path / "readings.parquet")
    columns = table.drop_columns(["time", "accepted"]).to_pydict()
    rows = exported(directory, capsys)
    for name in set(COLUMNS) - {"time", "accepted", "value", "code"}:
        assert columns[name] == [row[name] for row in rows], name
    for name in ("time", "accepted"):
        assert table.schema.field(name).type == pa.timestamp("ns", tz="UTC")
        assert table[name].cast(pa.int64()).to_pylist() == [parse_time(row[name]) for row in rows]
    assert columns["code"] == [int(row["code"], 16) for row in rows]
    values = dict(zip(columns["tag"][:5], zip(columns["value"][:5], columns["exact"][:5], strict=True), strict=True))
    assert values == {
        "temp": (21.3, None),
        "on": (1.0, None),
        "count": (None, str(2**63 + 1)),
        "recipe": (None, 'A "17", b'),
        "level": (0.1, None),
    }
    assert table.schema.metadata[b"log"].decode() == columns["id"][0].split(":")[0]


def test_parquet_is_written_in_row_groups_as_the_log_is_read(directory, tmp_path, monkeypatch):
    monkeypatch.setattr(export_parquet, "ROW_GROUP", 3)
    table = parquet(directory, tmp_path / "groups.parquet")
    file = ParquetFile(tmp_path / "groups.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [5, 3, 2]
    assert table["id"].to_pylist()[-1].endswith(":data:6")


def test_parquet_of_nothing_has_all_columns_and_no_rows(directory, tmp_path):
    table = parquet(directory, tmp_path / "none.parquet", "--device", "nobody")
    assert (table.num_rows, set(COLUMNS) - set(table.column_names)) == (0, set())


def test_parquet_of_an_outbox_that_is_being_written(tmp_path):
    async def export_while_open() -> pa.Table:
        log = Log(tmp_path / "outbox")
        async with log.opened(keep=1e9) as outbox:
            device = outbox.bind(spec("oven-1", 2), Context())
            await fill(outbox, device, range(1, 4))
            return await asyncio.to_thread(parquet, log.directory, tmp_path / "running.parquet")

    assert asyncio.run(export_while_open())["value"].to_pylist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


def test_without_pyarrow_it_is_said_what_to_install(directory, tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "gateway.outbox.inspect.export_parquet", raising=False)
    monkeypatch.delattr("gateway.outbox.inspect.export_parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = tmp_path / "readings.parquet"
    assert main(["outbox", "export", "--format", "parquet", "-o", str(out), "--dir", str(directory)]) == 1
    assert "pip install pyarrow" in capsys.readouterr().err
    assert not list(tmp_path.glob("readings*"))


def test_parquet_wants_a_file(directory, capsys):
    assert main(["outbox", "export", "--format", "parquet", "--dir", str(directory)]) == 2
    assert "-o FILE" in capsys.readouterr().err


def test_half_a_character_is_escaped(tmp_path):
    assert exact_text("A\ud800") == "A\\ud800"
    assert exact_text(["A\ud800", b"\x00"]) == '["A\\ud800", "AA=="]'


def test_a_span_of_time_that_is_none_is_wrong_usage(directory, capsys):
    assert main(["outbox", "export", "--dir", str(directory), "--from", "now", "--to", "2h ago"]) == 2
    assert "is not before --to" in capsys.readouterr().err


def damage(directory: Path) -> tuple[Path, int]:
    (path,) = (directory / "data").glob("*.seg")
    data = bytearray(path.read_bytes())
    at = [offset for offset, head in scan(bytes(data), HEADER_SIZE) if head.kind == Kind.READINGS][2]
    data[at + HEAD_SIZE] ^= 1
    path.write_bytes(bytes(data))
    return path, at


def test_what_cannot_be_exported_is_counted_and_the_exit_code_tells(directory, capsys):
    damage(directory)
    assert main(["outbox", "export", "--dir", str(directory)]) == 1
    told = capsys.readouterr()
    assert told.out.count("\n") == 10
    assert "1 reading between them cannot be read" in told.err


def test_verify_names_what_is_wrong_with_file_and_offset(directory, capsys):
    assert main(["outbox", "verify", "--dir", str(directory)]) == 0
    assert "all as it was written" in capsys.readouterr().out
    path, at = damage(directory)
    assert main(["outbox", "verify", "--dir", str(directory)]) == 1
    assert f"data/{path.name}: byte {at}: " in capsys.readouterr().out
    assert main(["outbox", "verify", "--json", "--dir", str(directory)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["problems"][0]["offset"]) == (False, at)


def test_peek_shows_the_newest_or_from_a_number_on(directory, capsys):
    def seqs(*arguments: str) -> list[int]:
        assert main(["outbox", "peek", "--json", "--dir", str(directory), *arguments]) == 0
        return [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()]

    assert seqs("-n", "2") == [5, 6]
    assert seqs("-n", "2", "--from", "3") == [3, 4]
    assert seqs() == [1, 2, 3, 4, 5, 6]
    assert seqs("--lane", "alarm") == [1]
    assert seqs("-n", "0") == []


def test_peek_is_readable(directory, capsys):
    assert main(["outbox", "peek", "--dir", str(directory), "--from", "1", "-n", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("data 1  2027-01-15T08:00:00.000000000Z  readings  press-1")
    assert lines[5].split() == ["level", "0.1", "bad", "no", "communication", "2027-01-15T08:00:00.123456789Z"]
    assert main(["outbox", "peek", "--dir", str(directory), "--lane", "alarm"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "  too hot"


def test_status_reads_the_balance_off_the_files_when_no_gateway_answers(directory, tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text('[gateway]\nname = "gw"\nstate_dir = "state"\n')
    assert main(["outbox", "status", "--json", "--config", str(config)]) == 0
    told = json.loads(capsys.readouterr().out)
    (reader,) = told["readers"]
    assert (reader["sink"], told["clean"], told["source"]) == ("central", True, str(directory))
    assert reader["lanes"]["data"] == {"accepted": 10, "acknowledged": 7, "pending": 3, "dropped": {}}
    assert (told["lanes"]["data"]["first"], told["lanes"]["data"]["last"]) == (1, 6)
    assert main(["outbox", "status", "--dir", str(directory)]) == 0
    assert "SINK     LANE   ACCEPTED  ACKNOWLEDGED  PENDING  DROPPED" in capsys.readouterr().out


def test_status_asks_the_running_gateway_first(gateway, directory, monkeypatch, capsys):
    monkeypatch.setenv("EDGE_GATEWAY_SOCKET", str(gateway.path))
    lane = {"accepted": 10, "acknowledged": 6, "pending": 1, "dropped": {"disk full": 3}}
    outbox = {
        "log": "0123456789abcdef",
        "size": 4096,
        "max_size": 2**30,
        "disk": "ok",
        "not_accepted": 0,
        "lanes": {"data": {"accepted": 10, "files": 1}},
        "readers": [{"sink": "central", "lanes": {"data": lane}}],
    }
    gateway.answers = {"status": {"gateway": "line3-gw1", "outbox": outbox}}
    assert main(["outbox", "status"]) == 1
    told = capsys.readouterr().out
    assert "log 0123456789abcdef, 4.0 KiB of 1.0 GiB, as told by gateway line3-gw1" in told
    assert "central: 3 readings of data will not be delivered: disk full" in told
    assert main(["outbox", "status", "--dir", str(directory)]) == 0


@pytest.mark.parametrize("command", [["status"], ["verify"], ["peek"], ["export"]])
def test_nothing_is_changed(directory, capsys, command):
    before = content(directory)
    assert main(["outbox", *command, "--dir", str(directory)]) == 0
    assert content(directory) == before


@pytest.mark.parametrize("command", [["status"], ["verify"], ["peek"], ["export"]])
def test_a_missing_log_is_said_with_what_to_do(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setenv("EDGE_GATEWAY_SOCKET", str(tmp_path / "nobody.sock"))
    assert main(["outbox", *command, "--dir", str(tmp_path)]) == 1
    assert f"outbox {command[0]} --dir DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "t_ns"),
    [
        ("2027-01-15T08:00:00.123456789Z", T0),
        ("2027-01-15T09:00:00.123456789+01:00", T0),
        ("2027-01-15 08:00Z", 1_800_000_000_000_000_000),
        ("1969-12-31T23:59:59.9Z", -100_000_000),
    ],
)
def test_times_are_read_to_the_nanosecond(text, t_ns):
    assert parse_time(text) == t_ns
    assert parse_time(rfc3339(t_ns)) == t_ns


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-01-01T25:00", ""])
def test_a_time_that_is_none_is_refused_with_an_example(text, capsys):
    with pytest.raises(SystemExit):
        main(["outbox", "export", "--from", text])
    assert "2026-11-22T02:33:00Z" in capsys.readouterr().err
