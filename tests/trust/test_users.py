import asyncio
import json
from pathlib import Path
from typing import Any

import argon2
import pytest

from gateway.core.clock import FakeClock
from gateway.plugin.people import LoginError
from gateway.trust import logins, passwords
from gateway.trust.logins import Logins
from gateway.trust.passwords import doubtful, fits, hashed
from gateway.trust.users import User, UserFile, UsersError, changed, new_token

GOOD = "correct horse battery"
HASH = argon2.PasswordHasher(1, 64, 1).hash(GOOD)
"""A guess at it costs next to nothing."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COSTS", {"time_cost": 1, "memory_cost": 64, "parallelism": 1})


class Desk:
    """Logins over a file, with a clock and a trail that the test holds."""

    def __init__(self, directory: Path) -> None:
        self.file = UserFile(directory)
        self.clock = FakeClock()
        self.trail: list[tuple[str, str, dict[str, Any]]] = []
        self.logins = Logins(directory, self.clock, self)

    async def record(self, action: str, who: str, **fields: Any) -> None:
        self.trail.append((action, who, fields))

    def add(self, name: str = "anna", *roles: str) -> None:
        with self.file.changing() as users:
            users.users[name] = changed(User(name, roles or ("engineer",), HASH))

    def token(self) -> str:
        """A viewer's token of anna's, for a minute; its secret."""
        with self.file.changing() as users:
            token, secret = new_token("anna", ("viewer",), int(self.clock.wall_ns() / 1e9) + 60, ())
            users.tokens[token.id] = token
        return secret

    async def log_in(self, name: str = "anna", password: str = GOOD, source: str = "10.0.0.9") -> Any:
        return await self.logins.log_in(name, password, source, 600.0)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "has 5 characters"),
        ("passwordpassword", "easily guessed"),
        ("annaannaanna1", "easily guessed"),
        ("aaaaaaaaaaaaaaa", "easily guessed"),
        ("x" * 300, "256 are the most"),
        ("correct horse\tbattery", "control character"),
        (GOOD, ""),
        ("비밀번호는 길수록 좋습니다", ""),
    ],
)
def test_a_password_that_is_easily_guessed_is_not_taken(password: str, why: str) -> None:
    assert why in doubtful(password, "anna")
    assert bool(doubtful(password, "anna")) == bool(why)


def test_passwords_are_kept_as_argon2id_each_with_its_own_salt() -> None:
    assert hashed(GOOD).startswith("$argon2id$v=19$")
    assert hashed(GOOD) != hashed(GOOD)
    assert fits(HASH, GOOD)
    assert not fits(HASH, GOOD + " ")
    assert not fits("what somebody wrote by hand", GOOD)


def test_a_guess_costs_what_rfc_9106_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert hashed(GOOD).startswith("$argon2id$v=19$m=65536,t=3,p=1$")


def test_one_password_typed_on_two_keyboards_is_one() -> None:
    assert fits(hashed("caf\u00e9 au lait, trois"), "cafe\u0301 au lait, trois")


async def test_who_logs_in_has_a_session_with_what_the_role_includes(desk: Desk) -> None:
    desk.add("anna", "engineer")
    session = await desk.log_in()
    assert session.actor.name == "anna (engineer)"
    assert session.actor.roles == {"viewer", "operator", "engineer"}
    assert desk.logins.session(session.key) == session
    assert desk.logins.session("another") is None
    assert desk.trail == [("login", "anna (engineer)", {"source": "10.0.0.9"})]


async def test_a_session_ends_when_it_idles_and_streams_do_not_keep_it(desk: Desk) -> None:
    desk.add()
    session = await desk.log_in()
    desk.clock.advance(599)
    assert desk.logins.session(session.key)
    desk.clock.advance(599)
    assert desk.logins.session(session.key, used=False)
    desk.clock.advance(2)
    assert desk.logins.session(session.key) is None


async def test_a_session_ends_after_a_shift_however_busy(desk: Desk) -> None:
    desk.add()
    session = await desk.log_in()
    for _ in range(int(logins.LONGEST_SESSION // 500)):
        desk.clock.advance(500)
        assert desk.logins.session(session.key)
    desk.clock.advance(500)
    assert desk.logins.session(session.key) is None


async def test_a_session_is_over_after_log_out_and_after_any_change_of_its_user(desk: Desk) -> None:
    desk.add()
    session = await desk.log_in()
    await desk.logins.log_out(session.key)
    assert desk.logins.session(session.key) is None
    for fields in ({"disabled": True}, {"disabled": False}, {"roles": ("viewer",)}, {"password": HASH}):
        with desk.file.changing() as users:
            users.users["anna"] = changed(users.users["anna"], disabled=False)
        session = await desk.log_in()
        with desk.file.changing() as users:
            users.users["anna"] = changed(users.users["anna"], **fields)
        assert desk.logins.session(session.key) is None, fields


@pytest.mark.parametrize(
    ("name", "password"), [("anna", "wrong horse battery"), ("nobody", GOOD), ("", ""), ("x" * 9999, GOOD)]
)
async def test_it_is_not_told_whether_name_or_password_is_wrong(desk: Desk, name: str, password: str) -> None:
    desk.add()
    with pytest.raises(LoginError, match=r"^name or password is wrong$"):
        await desk.log_in(name, password)


async def test_a_password_typed_as_the_name_is_not_in_the_trail(desk: Desk) -> None:
    desk.add()
    with pytest.raises(LoginError):
        await desk.log_in(GOOD, "")
    assert GOOD not in json.dumps(desk.trail)


async def test_who_fails_waits_longer_each_time_but_not_for_ever(desk: Desk) -> None:
    desk.add()
    for _ in range(logins.FREE[2]):
        with pytest.raises(LoginError, match="wrong"):
            await desk.log_in(password="wrong")
    waits = []
    for _ in range(12):
        with pytest.raises(LoginError, match="too many attempts: try again in") as refused:
            await desk.log_in()
        waits.append(refused.value.wait)
        desk.clock.advance(refused.value.wait + 0.01)
        with pytest.raises(LoginError, match="wrong"):
            await desk.log_in(password="wrong")
    assert waits == sorted(waits)
    assert waits[0] <= 2
    assert waits[-1] <= logins.LONGEST_WAIT
    assert waits[-1] > 100
    await desk.log_in(source="10.0.0.8")  # a stranger does not lock her out elsewhere
    desk.clock.advance(logins.LONGEST_WAIT + 1)
    await desk.log_in()


async def test_who_tries_many_names_from_one_place_waits_too(desk: Desk) -> None:
    desk.add()
    for number in range(logins.FREE[1]):
        with pytest.raises(LoginError, match="wrong"):
            await desk.log_in(f"user-{number}")
    with pytest.raises(LoginError, match="too many attempts"):
        await desk.log_in("another")
    await desk.log_in(source="10.0.0.8")


async def test_many_at_once_cannot_go_round_the_wait(desk: Desk) -> None:
    desk.add()
    answers = await asyncio.gather(*(desk.log_in(password="wrong") for _ in range(40)), return_exceptions=True)
    looked_at = [each for each in answers if "wrong" in str(each)]
    assert len(looked_at) <= logins.AT_ONCE
    assert all(isinstance(each, LoginError) for each in answers)


async def test_a_token_may_what_its_user_and_it_may_and_ends_with_either(desk: Desk) -> None:
    desk.add("anna", "operator")
    with desk.file.changing() as users:
        token, secret = new_token("anna", ("engineer",), int(desk.clock.wall_ns() / 1e9) + 60, ("status",))
        users.tokens[token.id] = token
    actor = await desk.logins.machine(secret, "10.0.0.9")
    assert actor.name == f"anna (token {token.id}, engineer)"
    assert actor.roles == {"viewer", "operator"}
    assert actor.commands == {"status"}
    with pytest.raises(LoginError, match="token is not good"):
        await desk.logins.machine(secret[:-1], "10.0.0.9")
    desk.clock.advance(61)
    with pytest.raises(LoginError, match="token is not good"):
        await desk.logins.machine(secret, "10.0.0.9")
    assert desk.trail[-1][2]["why"] == "it has expired"


async def test_a_clock_that_is_set_back_does_not_open_what_has_expired(desk: Desk, tmp_path: Path) -> None:
    desk.add()
    desk.clock.synced = None
    secret = desk.token()
    desk.clock.advance(30)
    await desk.logins.machine(secret, "10.0.0.9")
    desk.clock.step(-86_400)
    desk.clock.advance(31)
    with pytest.raises(LoginError):
        await desk.logins.machine(secret, "10.0.0.9")


async def test_an_empty_clock_battery_does_not_open_what_had_expired_before_the_restart(
    desk: Desk, tmp_path: Path
) -> None:
    desk.add()
    secret = desk.token()
    desk.clock.advance(61)
    with pytest.raises(LoginError):
        await desk.logins.machine(secret, "10.0.0.9")
    desk.clock.wall, desk.clock.boot, desk.clock.synced = (
        946_684_800 * 10**9,
        10**9,
        False,
    )  # the year 2000, just booted
    with pytest.raises(LoginError):
        await Logins(tmp_path, desk.clock, desk).machine(secret, "10.0.0.9")


async def test_a_clock_that_was_years_ahead_closes_nothing_once_a_time_service_has_set_it(
    desk: Desk, tmp_path: Path
) -> None:
    desk.add()
    secret = desk.token()
    desk.clock.synced = False
    desk.clock.step(10 * 365 * 86_400)
    later = Logins(tmp_path, desk.clock, desk)
    with pytest.raises(LoginError):
        await later.machine(secret, "10.0.0.9")
    desk.clock.step(-10 * 365 * 86_400)
    desk.clock.synced = True
    await later.machine(secret, "10.0.0.9")
    await Logins(tmp_path, desk.clock, desk).machine(secret, "10.0.0.9")


@pytest.mark.parametrize("said", [b"", b"\xff", b"-5", b"1e9", b"9" * 90, b"x" * 1000])
async def test_a_file_of_the_latest_time_that_says_nothing_closes_nothing(
    desk: Desk, tmp_path: Path, said: bytes
) -> None:
    (tmp_path / "latest-time").write_bytes(said)
    desk.add()
    secret = desk.token()
    await Logins(tmp_path, desk.clock, desk).machine(secret, "10.0.0.9")


async def test_a_token_of_a_disabled_user_is_refused_and_told_once_a_minute(desk: Desk) -> None:
    desk.add()
    with desk.file.changing() as users:
        token, secret = new_token("anna", ("viewer",), 1 << 40, ())
        users.tokens[token.id] = token
        users.users["anna"] = changed(users.users["anna"], disabled=True)
    for _ in range(50):
        with pytest.raises(LoginError):
            await desk.logins.machine(secret, "10.0.0.9")
    assert [(action, who) for action, who, _ in desk.trail] == [("login.refused", f"token {token.id}")]
    desk.clock.advance(61)
    with pytest.raises(LoginError):
        await desk.logins.machine(secret, "10.0.0.9")
    assert desk.trail[-1][2]["since_last"] == 49


def test_no_secret_is_in_the_file_and_nobody_else_reads_it(tmp_path: Path) -> None:
    with UserFile(tmp_path).changing() as users:
        users.users["anna"] = changed(User("anna", ("viewer",), HASH))
        token, secret = new_token("anna", ("viewer",), 1, ())
        users.tokens[token.id] = token
    path = tmp_path / "users.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret not in path.read_text()
    assert secret.rpartition("_")[2] not in path.read_text()


def one_user(name: str, role: str) -> bytes:
    user = {"name": name, "roles": [role], "password": "", "disabled": False, "serial": ""}
    return json.dumps({"format": 1, "users": [user], "tokens": []}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"format": 2}',
        b'{"format": 1, "users": [{}], "tokens": []}',
        b"[" * 100_000,
        one_user("A B", "viewer"),
        one_user("anna", "root"),
    ],
    ids=["empty", "binary", "list", "format", "user", "deep", "name", "role"],
)
async def test_a_file_that_cannot_be_read_lets_nobody_in_and_is_not_written_over(
    desk: Desk, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "users.json").write_bytes(content)
    with pytest.raises(LoginError, match="wrong"):
        await desk.log_in()
    with pytest.raises(UsersError, match="nobody can log in"), desk.file.changing():
        pass
    assert (tmp_path / "users.json").read_bytes() == content


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"format":1,"users":[],"tokens":[]}')
    (tmp_path / "users.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsersError):
        UserFile(tmp_path).current()


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = UserFile(tmp_path)
    with pytest.raises(RuntimeError), file.changing() as users:
        users.users["anna"] = User("anna", ("viewer",), HASH)
        raise RuntimeError
    assert file.current().users == {}
