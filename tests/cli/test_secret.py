"""`edge-gateway secret`: what it stores, how it stores it, and what it never shows."""

import io
import json
import os
import stat
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.config import secret
from gateway.config import secrets
from gateway.config.base import Secret
from gateway.core.errors import RefusedError
from gateway.trust.audit_files import tail as last_records

CONFIG = """[gateway]
name = "g1"
state_dir = "state"
[[sink]]
name = "central"
plugin = "mqtt"
password = { credential = "mqtt-password" }
tls = { key_password = { credential = "mqtt-key" } }
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.setenv("EDGE_GATEWAY_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "credentials"


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_secret_comes_by_stdin_and_lies_where_only_its_owner_reads(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.umask(before := os.umask(0))
    try:
        given(monkeypatch, "s3cret word\n")
        assert main(["secret", "set", "mqtt-password", "--dir", str(place)]) == 0
    finally:
        os.umask(before)
    assert (place / "mqtt-password").read_text() == "s3cret word"
    assert stat.S_IMODE((place / "mqtt-password").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) & 0o077 == 0
    told = capsys.readouterr()
    assert 'used by sink "central"' in told.out
    assert "s3cret" not in told.out + told.err
    assert [path.name for path in place.iterdir()] == ["mqtt-password"]


@pytest.mark.parametrize("text", ["", "\n", "two\nlines\n", "a\0b"])
def test_what_is_no_secret_changes_nothing(place: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    place.mkdir()
    (place / "a").write_text("before")
    given(monkeypatch, text)
    assert main(["secret", "set", "a", "--dir", str(place)]) == 1
    assert (place / "a").read_text() == "before"


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a b"])
def test_a_name_is_never_a_path(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    given(monkeypatch, "word")
    assert main(["secret", "set", name, "--dir", str(place)]) == 1
    assert not place.exists()


def test_the_list_names_what_the_configuration_lacks(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, "word")
    main(["secret", "set", "mqtt-password", "--dir", str(place)])
    given(monkeypatch, "word")
    main(["secret", "set", "other", "--dir", str(place)])
    capsys.readouterr()
    assert main(["secret", "list", "--json", "--dir", str(place)]) == 1
    found = {each["name"]: (each["state"], each["used_by"]) for each in json.loads(capsys.readouterr().out)}
    assert found == {
        "mqtt-key": ("missing", ['sink "central"']), "mqtt-password": ("set", ['sink "central"']), "other": ("set", []),
    }  # fmt: skip


def test_removing_one_that_is_in_use_says_who_needs_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, "word")
    main(["secret", "set", "mqtt-key", "--dir", str(place)])
    assert main(["secret", "remove", "mqtt-key", "--dir", str(place)]) == 0
    assert 'sink "central" still names it' in capsys.readouterr().err
    assert main(["secret", "remove", "mqtt-key", "--dir", str(place)]) == 1


CREDS = """#!/bin/sh
case "$1" in
encrypt) echo "$2 sealed"; tr a-z n-za-m ;;
decrypt)
    read -r name sealed
    [ "$name" = "$2" ] || { echo "Embedded credential name does not match" >&2; exit 1; }
    tr n-za-m a-z ;;
has-tpm2) exit 11 ;;
esac
"""
"""As systemd-creds, to which only its own blobs under their own names can be given back."""


@pytest.fixture
def sealing(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of encrypted ones, where the unit and the machine take those."""
    folder, tools = tmp_path / "credentials.encrypted", tmp_path / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(f"#!/bin/sh\necho LoadCredentialEncrypted=encrypted:{folder}\n")
    (tools / "systemd-creds").write_text(CREDS)
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for module in (secret, secrets):
        monkeypatch.setattr(module, "CREDENTIALS", place)
    monkeypatch.setattr(secrets, "ENCRYPTED", folder)
    return folder


def test_where_systemd_can_it_encrypts_it_under_the_units_name_and_no_plain_one_is_left(
    place: Path, sealing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """systemd refuses a blob of another name, with status 243, and the unit does not start."""
    given(monkeypatch, "word\n")
    assert main(["secret", "set", "mqtt-key", "--plain"]) == 0
    given(monkeypatch, "another\n")
    assert main(["secret", "set", "mqtt-key"]) == 0
    assert "encrypted by a key of this machine's" in capsys.readouterr().out
    assert (sealing / "mqtt-key").read_text().startswith("--name=encrypted_mqtt-key sealed\n")
    assert not (place / "mqtt-key").exists()
    assert secrets.resolve(Secret(credential="mqtt-key")) == "another"
    given(monkeypatch, "word\n")
    assert main(["secret", "set", "mqtt-key", "--plain"]) == 0
    assert [*sealing.iterdir()] == [] and secrets.resolve(Secret(credential="mqtt-key")) == "word"


def test_one_of_another_machine_is_named_before_the_service_does_not_start_for_it(
    sealing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealing.mkdir()
    (sealing / "mqtt-key").write_text("--name=gw_mqtt-key sealed\njbeq")
    assert main(["secret", "list", "--json"]) == 1
    states = {each["name"]: each["state"] for each in json.loads(capsys.readouterr().out)}
    assert states == {"mqtt-key": "not of this machine", "mqtt-password": "missing"}
    with pytest.raises(RefusedError, match="set it anew"):
        secrets.resolve(Secret(credential="mqtt-key"))
    assert main(["secret", "remove", "mqtt-key"]) == 0
    assert [*sealing.iterdir()] == []


def test_what_systemd_cannot_encrypt_changes_nothing_and_can_be_kept_plain(
    place: Path, sealing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin/systemd-creds").write_text("#!/bin/sh\necho TPM2 device not usable >&2; exit 1\n")
    given(monkeypatch, "word\n")
    assert main(["secret", "set", "mqtt-key"]) == 1
    said = capsys.readouterr().err
    assert "TPM2 device not usable" in said and "--plain" in said and "word" not in said
    assert [*place.iterdir(), *sealing.iterdir()] == []


def test_the_audit_trail_says_who_set_which_and_never_its_value(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.parent / "state").mkdir()
    for _ in range(2):
        given(monkeypatch, "s3cret word")
        assert main(["secret", "set", "mqtt-password", "--dir", str(place)]) == 0
    assert main(["secret", "remove", "mqtt-password", "--dir", str(place)]) == 0
    assert main(["secret", "remove", "mqtt-password", "--dir", str(place)]) == 1, "there is none any more"
    records = last_records(place.parent / "state/audit.jsonl", 10)
    assert [(each["action"], each["name"], each.get("replaced")) for each in records] == [
        ("secret.set", "mqtt-password", False),
        ("secret.set", "mqtt-password", True),
        ("secret.removed", "mqtt-password", None),
    ]
    assert all(each["who"] for each in records)
    assert "s3cret" not in (place.parent / "state/audit.jsonl").read_text()


def test_what_cannot_be_audited_is_not_done(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.parent / "state").mkdir()
    (place.parent / "state/audit.jsonl").mkdir()
    given(monkeypatch, "s3cret word")
    assert main(["secret", "set", "mqtt-password", "--dir", str(place)]) == 1
    assert "audit" in capsys.readouterr().err
    assert not (place / "mqtt-password").exists()
