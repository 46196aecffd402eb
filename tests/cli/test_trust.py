"""`edge-gateway trust`: certificates listed, accepted and revoked, with a record of who did it."""

import datetime
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

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
    assert trust(folder, "accept", known.thumbprint, "--reason", "new PLC") == 0
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
    [("ab", "all 64 digits"), ("ab" * 20, "all 64 digits"), ("ab" * 32, "no certificate begins with")],
)
def test_a_thumbprint_that_names_none_is_told(folder, capsys, thumbprint, told):
    assert trust(folder, "accept", thumbprint) == 1
    assert told in capsys.readouterr().err


def test_one_that_is_trusted_is_revoked_by_how_it_begins_and_none_is_accepted_so(folder, capsys):
    thumbprint = by_subject(folder, "plc-1").thumbprint
    assert trust(folder, "accept", thumbprint[:16]) == 1
    assert "all 64 digits" in capsys.readouterr().err
    assert trust(folder, "accept", thumbprint) == 0
    assert trust(folder, "revoke", "abcdef") == 1
    assert "at least 8 digits" in capsys.readouterr().err
    assert trust(folder, "revoke", thumbprint[:16]) == 0


def test_without_a_thumbprint_one_is_chosen_by_its_number_after_it_was_shown_in_full(folder, capsys, monkeypatch):
    assert trust(folder, "accept") == 1
    assert "whole SHA-256" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("gateway.cli.frame.screen.Screen.isatty", lambda _: True)
    for answer, code in (("", 1), ("0", 1), ("9", 1), ("²", 1), ("1", 0)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert trust(folder, "accept") == code
        out = capsys.readouterr().out.replace("\n", "").replace(":", "").replace(" ", "")
        assert all(known.thumbprint[:32].upper() in out for known in certificates(folder) if known.state == "rejected")
    assert [known.state for known in certificates(folder)].count("trusted") == 1


def test_a_certificate_of_a_stranger_forges_no_row(folder, capsys):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc\n\x1b[1Atrusted  " + "ab" * 8 + "\u202e")])
    name = x509.Name([*name, *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "y" * 60) for _ in range(100))])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now).not_valid_after(now).sign(key, hashes.SHA256())
    (folder / "rejected/stranger.der").write_bytes(made.public_bytes(Encoding.DER))
    before = len(certificates(folder))
    assert trust(folder, "list") == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == before + 1
    assert "\x1b" not in out
    assert all(len(line) < 400 for line in out.splitlines())
    assert trust(folder, "list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == before


def test_what_is_no_certificate_is_passed_over(folder, capsys):
    rejected = folder / "rejected"
    (rejected / "nested").mkdir()
    os.mkfifo(rejected / "fifo")
    (rejected / "endless").symlink_to("/dev/zero")
    (rejected / "nowhere").symlink_to("not there")
    (rejected / "huge.der").write_bytes(b"0" * 1_000_000)
    (rejected / "bad.der").write_bytes(b"\x30\x82\xff\xff" + b"\x30\x80" * 5000)
    assert trust(folder, "list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_is_trusted_already_is_not_accepted_again(folder, capsys):
    thumbprint = by_subject(folder, "plc-1").thumbprint
    assert trust(folder, "accept", thumbprint) == 0
    assert trust(folder, "accept", thumbprint) == 1
    assert "trusted already" in capsys.readouterr().err


def test_an_empty_folder_is_said_to_be_empty(tmp_path, capsys):
    assert trust(tmp_path / "pki", "list") == 0
    assert "no certificates" in capsys.readouterr().out
