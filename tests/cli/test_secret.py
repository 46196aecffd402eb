"""`edge-gateway secret`: what it stores, how it stores it, and what it never shows."""

import io
import json
import os
import stat
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.config import secret

CONFIG = """[gateway]
name = "g1"
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


def test_where_the_unit_takes_encrypted_ones_systemd_encrypts_it_under_the_units_name(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd refuses a blob of another name, with status 243, and the unit does not start."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(f"#!/bin/sh\necho gw:{place} other:/x\n")
    (tools / "systemd-creds").write_text('#!/bin/sh\necho "$@"\ncat | wc -c\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    given(monkeypatch, "word\n")
    assert main(["secret", "set", "mqtt-key"]) == 0
    assert (place / "mqtt-key").read_text().split() == ["encrypt", "--name=gw_mqtt-key", "-", "-", "4"]
    assert secret.store() == secret.Store(place, True)
