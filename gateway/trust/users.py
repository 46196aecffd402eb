"""Who may log in at the page, and with which tokens machines come: `users.json` in the state directory.

Commands write it, one at a time, and the running gateway reads it again as soon as it is another file: who is disabled is
out at his next request. Passwords are kept as argon2id, tokens as SHA-256 (they are 256 random bits, which nobody guesses).
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from gateway.core.errors import GatewayError
from gateway.core.parsing import JsonObject, doubting, parse_json
from gateway.places.regular import read_regular
from gateway.trust.access import ALL
from gateway.trust.audit_files import sync_directory

V = TypeVar("V")

FORMAT = 1
SIZE = 1024 * 1024
"""Bytes of the file."""
MOST = 1000
"""Users, and tokens."""
NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")
PREFIX = "egw"
"""How a token begins, so that tools that look for forgotten secrets find it."""


class UsersError(GatewayError):
    """The file of users cannot be read or written, or what is asked of it cannot be."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password."""

    name: str
    roles: tuple[str, ...]
    password: str
    """argon2id, in its own notation."""
    disabled: bool = False
    serial: str = ""
    """Another one after each change: sessions that began before are over."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a machine shows instead of a password. It may what its user may, at the most."""

    id: str
    user: str
    roles: tuple[str, ...]
    hash: str
    """SHA-256 of the secret, in hex."""
    until: int
    """Seconds since 1970."""
    commands: tuple[str, ...] = ()
    """The only ones that it may; none: all that its roles may."""


@dataclass(frozen=True, slots=True)
class Users:
    """All of them, as the file says."""

    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)


class UserFile:
    """The file: `current` for the gateway, `changing` for commands."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "users.json"
        self._known: tuple[Any, Users] = (None, Users())

    def current(self) -> Users:
        """What it says now; read only when it is another one than the last time. Raises UsersError: then nobody is known."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return Users()
        except OSError as error:
            raise UsersError(f"{self._path}: {error.strerror}") from error
        mark = stat.st_ino, stat.st_mtime_ns, stat.st_size
        if self._known[0] != mark:
            self._known = mark, _read(self._path)
        return self._known[1]

    @contextmanager
    def changing(self) -> Iterator[Users]:
        """The users, to be changed in place, and written when the block ends well. Blocking. Raises UsersError."""
        try:
            with _locked(self._path.with_suffix(".lock")):
                users = _read(self._path) if os.path.lexists(self._path) else Users()
                yield users
                if len(users.users) > MOST or len(users.tokens) > MOST:
                    raise UsersError(f"there are {MOST} users or tokens already: delete some")
                _write(self._path, users)
        except OSError as error:
            raise UsersError(f"{error.filename or self._path}: {error.strerror}") from error


def user_named(users: Users, name: str) -> User:
    """Raises UsersError for one that is not there."""
    if name not in users.users:
        raise UsersError(f'there is no user "{name}": edge-gateway user list')
    return users.users[name]


def changed(user: User, **fields: Any) -> User:
    """The same user otherwise; his sessions are over."""
    return replace(user, **fields, serial=secrets.token_hex(8))


def new_token(user: str, roles: tuple[str, ...], until: int, commands: tuple[str, ...]) -> tuple[Token, str]:
    """A token, and what its machine has to show, which is kept nowhere."""
    id_, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    return Token(id_, user, roles, _digest(secret), until, commands), f"{PREFIX}_{id_}_{secret}"


def token_shown(users: Users, shown: str) -> Token | None:
    """The token that a machine shows; not whether it still counts."""
    prefix, _, rest = shown.partition("_")
    id_, _, secret = rest.partition("_")
    token = users.tokens.get(id_)
    if prefix != PREFIX or token is None or not secrets.compare_digest(token.hash, _digest(secret)):
        return None
    return token


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _read(path: Path) -> Users:
    try:
        data = read_regular(path, SIZE, flags=os.O_NOFOLLOW)
        with doubting(UsersError):
            body = parse_json(data, size=SIZE, depth=8)
            if body["format"] != FORMAT:
                raise UsersError(f"it has format {body['format']}")
            users = [_user(_Entry(each)) for each in body["users"]]
            tokens = [_token(_Entry(each)) for each in body["tokens"]]
    except FileNotFoundError:
        return Users()
    except OSError as error:
        raise UsersError(f"{path}: {error.strerror}: nobody can log in") from error
    except UsersError as error:
        raise UsersError(f"{path} cannot be read: {error}: nobody can log in") from error
    return Users({user.name: user for user in users}, {token.id: token for token in tokens})


class _Entry:
    """One object of the file; each member is looked at before it is believed. Raises UsersError, and what an object raises
    that has no such member."""

    def __init__(self, members: JsonObject) -> None:
        self._members = members

    def text(self, key: str) -> str:
        return self._of(str, key, "a text")

    def number(self, key: str) -> int:
        return self._of(int, key, "a whole number")

    def flag(self, key: str) -> bool:
        return self._of(bool, key, "true or false")

    def texts(self, key: str) -> tuple[str, ...]:
        found = tuple(self._members[key])
        _must(all(isinstance(each, str) for each in found), f"{key} must be texts")
        return found

    def roles(self) -> tuple[str, ...]:
        found = self.texts("roles")
        _must(set(found) <= ALL, "a role is none")
        return found

    def _of(self, kind: type[V], key: str, words: str) -> V:
        value = self._members[key]
        if type(value) is not kind:  # true is an int, too
            raise UsersError(f"{key} must be {words}")
        return value


def _user(entry: _Entry) -> User:
    name = entry.text("name")
    _must(NAME.fullmatch(name), "a name is none")
    return User(name, entry.roles(), entry.text("password"), entry.flag("disabled"), entry.text("serial"))


def _token(entry: _Entry) -> Token:
    texts = entry.text("id"), entry.text("user"), entry.roles(), entry.text("hash")
    return Token(*texts, entry.number("until"), entry.texts("commands"))


def _must(holds: Any, otherwise: str) -> None:
    if not holds:
        raise UsersError(otherwise)


def _write(path: Path, users: Users) -> None:
    """So that a power cut leaves the old file or the new one; readable by the gateway's user alone. Raises OSError."""
    body = {
        "format": FORMAT,
        "users": [asdict(user) for user in users.users.values()],
        "tokens": [asdict(token) for token in users.tokens.values()],
    }
    new = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(body, indent=1).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_directory(path.parent)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
