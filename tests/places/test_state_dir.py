"""The one rule where a gateway keeps its files."""

from pathlib import Path

import pytest

from gateway.cli.frame.places import state_dir as of_command
from gateway.places import state_dir as rule
from gateway.plugin.hosts import LineHost


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(rule, "CONFIG", tmp_path / "etc/config.toml")
    return tmp_path


def test_what_the_configuration_names_comes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/srv/state")
    (home / "c.toml").write_text('[gateway]\nname = "gw"\nstate_dir = "here"\n')
    assert rule.state_dir(home / "c.toml", home / "here", "gw") == home / "here" == of_command(home / "c.toml")


def test_then_what_systemd_names_for_daemon_commands_and_drivers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/srv/state:/srv/more")
    (home / "c.toml").write_text('[gateway]\nname = "gw"\n')
    due = Path("/srv/state")
    assert rule.state_dir(home / "c.toml", None, "gw") == due
    assert LineHost().state_dir == due


def test_who_uses_the_services_configuration_works_where_the_service_does(home: Path) -> None:
    (home / "etc").mkdir()
    (home / "etc/config.toml").write_text('[gateway]\nname = "gw"\n')
    (home / "link.toml").symlink_to("etc/config.toml")
    for config in (home / "etc/config.toml", home / "link.toml"):
        assert rule.state_dir(config, None, "gw") == Path("/var/lib/edge-gateway") == of_command(config)


def test_else_in_the_users_own_folder_under_the_gateways_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "c.toml").write_text('[gateway]\nname = "gw"\n')
    own = home / ".local/state/edge-gateway"
    (own / "gw").mkdir(parents=True)
    assert rule.state_dir(home / "c.toml", None, "gw") == own / "gw" == of_command(home / "c.toml")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "xdg"))
    assert rule.state_dir(home / "c.toml", None, "gw") == home / "xdg/edge-gateway/gw"


def test_certificates_of_a_version_before_are_found(home: Path) -> None:
    own = home / ".local/state/edge-gateway"
    (own / "pki/opcua/trusted").mkdir(parents=True)
    (own / "pki/opcua/trusted/plc.der").write_bytes(b"plc")
    (own / "gw").mkdir()
    rule.take_over_certificates(own / "gw")
    assert (own / "gw/pki/opcua/trusted/plc.der").read_bytes() == b"plc"
    (own / "gw/pki/opcua/trusted/plc.der").unlink()
    rule.take_over_certificates(own / "gw")
    assert not (own / "gw/pki/opcua/trusted/plc.der").exists(), "what was revoked since stays so"
