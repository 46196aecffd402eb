"""`edge-gateway trust`: certificates listed, accepted and revoked, with a record of who did it."""

import datetime
import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.core.clock import SystemClock
from gateway.trust.audit import AuditTrail
from gateway.trust.certificates import certificates
from tests.peers.certificates import Authority


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two refused certificates: one that is good for a day, and one that has expired."""
    authority = Authority(tmp_path)
    rejected = tmp_path / "pki/rejected"
    rejected.mkdir(parents=True)
    for name, days in (("plc-1", 1), ("plc-2", -1)):
        issued = authority.issue(name, valid=datetime.timedelta(days=days))
        (rejected / f"{name}.pem").write_bytes(issued.certificate.read_bytes())
    (rejected / "notes.txt").write_text("no certificate")
    return tmp_path / "pki"


def test_certificates_lie_in_the_state_dir_that_the_configuration_names(tmp_path: Path, capsys) -> None:
    authority = Authority(tmp_path)
    trusted = tmp_path / "state/pki/opcua/trusted"
    trusted.mkdir(parents=True)
    (trusted / "plc.pem").write_bytes(authority.issue("plc-9").certificate.read_bytes())
    (tmp_path / "config.toml").write_text('[gateway]\nname = "gw"\nstate_dir = "state"\n')
    assert main(["trust", "list", "--config", str(tmp_path / "config.toml")]) == 0
    assert "CN=plc-9" in capsys.readouterr().out


def trust(folder: Path, *arguments: str) -> int:
    return main(["trust", *arguments, "--folder", str(folder), "--config", str(folder.parent / "config.toml")])


def by_subject(folder: Path, subject: str):
    return next(known for known in certificates(folder) if known.subject == f"CN={subject}")


def test_the_list_names_state_thumbprint_and_time_left(folder, capsys):
    assert trust(folder, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    line = next(line for line in lines if "CN=plc-1" in line)
    assert line.startswith("rejected")
    assert by_subject(folder, "plc-1").thumbprint[:16] in line
    assert "0 days" in line
    assert "expired" in next(line for line in lines if "CN=plc-2" in line)


def test_accepting_and_revoking_move_the_certificate_and_stand_in_the_audit_trail(folder, capsys):
    (folder.parent / "config.toml").write_text('[gateway]\nname = "gw"\nstate_dir = "."\n')
    AuditTrail(folder.parent / "audit.jsonl", SystemClock())
    known = by_subject(folder, "plc-1")
    assert trust(folder, "accept", known.thumbprint[:12], "--reason", "new PLC") == 0
    assert by_subject(folder, "plc-1").state == "trusted"
    assert trust(folder, "revoke", known.thumbprint.upper()) == 0
    assert by_subject(folder, "plc-1").state == "rejected"
    records = [json.loads(line) for line in (folder.parent / "audit.jsonl").read_text().splitlines()]
    assert [(each["action"], each["target"]) for each in records if each["action"].startswith("trust")] == [
        ("trust.accept", known.thumbprint),
        ("trust.revoke", known.thumbprint),
    ]
    assert next(each for each in records if each["action"] == "trust.accept")["why"] == "new PLC"


@pytest.mark.parametrize(
    ("thumbprint", "told"),
    [("ab", "at least 8 digits"), ("ab" * 32, "no certificate begins with")],
)
def test_a_thumbprint_that_names_none_is_told(folder, capsys, thumbprint, told):
    assert trust(folder, "accept", thumbprint) == 1
    assert told in capsys.readouterr().err


def test_what_is_trusted_already_is_not_accepted_again(folder, capsys):
    thumbprint = by_subject(folder, "plc-1").thumbprint
    assert trust(folder, "accept", thumbprint) == 0
    assert trust(folder, "accept", thumbprint) == 1
    assert "trusted already" in capsys.readouterr().err


def test_an_empty_folder_is_said_to_be_empty(tmp_path, capsys):
    assert trust(tmp_path / "pki", "list") == 0
    assert "no certificates" in capsys.readouterr().out
