import io
import json
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.trust import passwords
from gateway.trust.users import UserFile, token_shown

PASSWORD = "correct horse battery"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory of the gateway that commands are about."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(passwords, "COSTS", {"time_cost": 1, "memory_cost": 64, "parallelism": 1})
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    return tmp_path


def user(*arguments: str) -> int:
    return main(["user", *arguments])


def add(name: str = "anna", role: str = "engineer") -> int:
    sys.stdin = io.StringIO(f"{PASSWORD}\n")
    return user("add", name, "--role", role, "--password-stdin")


def audit(state: Path) -> list[tuple[str, str]]:
    lines = map(json.loads, (state / "audit.jsonl").read_text().splitlines())
    return [(line["action"], line.get("target", "")) for line in lines]


def test_somebody_new_may_log_in_and_the_trail_has_it(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add() == 0
    assert capsys.readouterr().out == "anna may log in as engineer\n"
    found = UserFile(state).current().users["anna"]
    assert passwords.fits(found.password, PASSWORD)
    assert audit(state) == [("user.add", "anna")]
    assert PASSWORD not in (state / "audit.jsonl").read_text()
    assert add() == 1
    assert "is there already" in capsys.readouterr().err


def test_what_changes_a_user_ends_his_logins(state: Path) -> None:
    add()
    serials = [UserFile(state).current().users["anna"].serial]
    sys.stdin = io.StringIO("another horse battery\n")
    for command in (
        ["password", "anna", "--password-stdin"],
        ["role", "anna", "--role", "viewer"],
        ["disable", "anna"],
        ["enable", "anna"],
    ):
        assert user(*command) == 0
        serials.append(UserFile(state).current().users["anna"].serial)
    assert len(set(serials)) == len(serials)
    assert [action for action, _ in audit(state)] == [
        "user.add",
        "user.password",
        "user.role",
        "user.disable",
        "user.enable",
    ]


def test_a_token_is_shown_once_and_ends_when_it_is_revoked(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add()
    capsys.readouterr()
    assert user("token", "anna", "--role", "viewer", "--for", "30d", "--only", "status", "tags") == 0
    secret = capsys.readouterr().out.strip()
    token = token_shown(UserFile(state).current(), secret)
    assert token is not None
    assert (token.user, token.roles, token.commands) == ("anna", ("viewer",), ("status", "tags"))
    assert secret not in (state / "audit.jsonl").read_text()
    assert user("list") == 0
    shown = capsys.readouterr().out
    assert token.id in shown
    assert secret.rpartition("_")[2] not in shown
    assert user("revoke", token.id) == 0
    assert token_shown(UserFile(state).current(), secret) is None


def test_the_list_is_for_scripts_too_and_holds_no_secret(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert user("list") == 0
    assert "no users" in capsys.readouterr().out
    add()
    capsys.readouterr()
    assert user("list", "--json") == 0
    out = capsys.readouterr().out
    assert json.loads(out) == {"users": [{"name": "anna", "roles": ["engineer"], "disabled": False}], "tokens": []}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "Anna B", "--role", "viewer", "--password-stdin"], "small letters"),
        (["add", "../x", "--role", "viewer", "--password-stdin"], "small letters"),
        (["password", "nobody", "--password-stdin"], 'no user "nobody"'),
        (["disable", "nobody"], 'no user "nobody"'),
        (["token", "nobody", "--role", "viewer"], 'no user "nobody"'),
        (["revoke", "abcd"], 'no token "abcd"'),
        (["add", "kim", "--role", "viewer"], "--password-stdin"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    state: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert user(*arguments) == 1
    assert said in capsys.readouterr().err
    assert UserFile(state).current().users == {}


def test_a_password_that_will_not_do_is_told(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sys.stdin = io.StringIO("short\n")
    assert user("add", "anna", "--role", "viewer", "--password-stdin") == 1
    assert "at least 12" in capsys.readouterr().err


def test_there_is_no_default_password_and_no_default_user(state: Path) -> None:
    assert UserFile(state).current().users == {}


def test_what_the_trail_cannot_tell_does_not_happen(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "audit.jsonl").mkdir()
    assert add() == 1
    assert UserFile(state).current().users == {}


def test_the_api_is_printed_as_openapi(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--api"]) == 0
    assert "/acknowledge" in json.loads(capsys.readouterr().out)["paths"]
