"""`audit verify` and `audit show` find the trail, say in words what they found, and exit accordingly."""

import json

import pytest

from gateway.cli import main
from gateway.core.clock import FakeClock
from gateway.trust.audit import AuditTrail


@pytest.fixture
def trail(tmp_path):
    (tmp_path / "state").mkdir()
    trail = AuditTrail(tmp_path / "state" / "audit.jsonl", FakeClock())
    trail.write("gateway.start", "system", version="0.1.0")
    trail.write("config.reload", "kim", changes=["device a: scan 1s → 2s"])
    return trail


def test_a_sound_trail_is_called_sound(trail, capsys):
    assert main(["audit", "verify", str(trail.path)]) == 0
    assert "2 records, all as they were written" in capsys.readouterr().out


def test_a_changed_record_is_named_and_the_exit_code_tells(trail, capsys):
    trail.path.write_bytes(trail.path.read_bytes().replace(b"kim", b"tom"))
    assert main(["audit", "verify", str(trail.path)]) == 1
    assert f"{trail.path}:2: record 2: its content does not match its hash" in capsys.readouterr().out
    assert main(["audit", "verify", "--json", str(trail.path)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["records"], told["problem"]["line"]) == (False, 1, 2)


def test_damage_is_acknowledged_with_person_and_reason_and_then_told_with_exit_0(trail, capsys):
    trail.path.write_bytes(trail.path.read_bytes().replace(b"kim", b"tom"))
    assert main(["audit", "verify", str(trail.path)]) == 1
    assert "edge-gateway audit acknowledge --reason TEXT" in capsys.readouterr().out
    assert main(["audit", "acknowledge", "--reason", " ", str(trail.path)]) == 1
    assert "must say why" in capsys.readouterr().err
    assert main(["audit", "acknowledge", "--reason", "a disk test", str(trail.path)]) == 0
    assert "acknowledged:" in capsys.readouterr().out
    assert main(["audit", "verify", str(trail.path)]) == 0
    said = capsys.readouterr().out
    assert "record 2: its content does not match its hash: it was changed; acknowledged by " in said
    assert "because: a disk test" in said
    assert "all others as they were written" in said
    assert main(["audit", "acknowledge", "--reason", "again", str(trail.path)]) == 0
    assert "nothing to acknowledge" in capsys.readouterr().out


def test_the_trail_is_found_by_the_configuration_or_by_its_directory(trail, tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text('[gateway]\nname = "gw"\nstate_dir = "state"\n')
    assert main(["audit", "verify", "--config", str(config)]) == 0
    assert main(["audit", "verify", str(tmp_path / "state")]) == 0


def test_show_prints_the_last_records_oldest_first(trail, capsys):
    assert main(["audit", "show", "-n", "1", str(trail.path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "kim  config.reload" in line
    assert main(["audit", "show", "--json", str(trail.path)]) == 0
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_a_missing_trail_is_said_with_what_to_do(tmp_path, capsys):
    for what in ("verify", "show"):
        assert main(["audit", what, str(tmp_path / "audit.jsonl")]) == 1
        assert f"audit {what} FILE" in capsys.readouterr().err
