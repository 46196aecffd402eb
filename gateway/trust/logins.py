"""Logging in: whether a password fits, who has tried too often, which sessions go on.

Sessions are in memory alone, by the hash of their secret: a restart ends them. Whoever fails is made to wait, twice as long
each time, but never for ever: a stranger must not lock a plant's people out. Waiting is counted by who tries from where, and
by where.
"""

import asyncio
import hashlib
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from gateway.core.clock import Clock
from gateway.core.command import Actor
from gateway.core.text import cleaned
from gateway.plugin.people import LoginError, People, Session, Vouched
from gateway.trust.access import including
from gateway.trust.audit import AuditRecords
from gateway.trust.latest import LatestTime
from gateway.trust.passwords import LONGEST, fits, hashed
from gateway.trust.users import User, UserFile, Users, UsersError, token_shown

FREE = {1: 20, 2: 5, 3: 5}
"""Attempts that may fail before one has to wait: of all names from an address, of one name from it, of a provider's logins
from it."""
LONGEST_WAIT = 300.0
FORGOTTEN = 3600.0
"""Seconds without an attempt after which failures are forgotten."""
AT_ONCE = 8
"""Passwords that wait to be looked at; they are looked at one by one."""
LONGEST_SESSION = 12 * 3600.0
MOST = 1000
"""Sessions, and sources of failures that are remembered."""
EACH = 20
"""Sessions of one user; the oldest goes."""
WRONG = "name or password is wrong"

log = structlog.get_logger()


@dataclass(slots=True)
class _Failures:
    times: int = 0
    last: float = 0.0
    until: float = 0.0


@dataclass(slots=True)
class _Open:
    session: Session
    serial: str
    """Of the user as he was then."""
    provider: str
    """Who vouches for him; empty: he is a user of ours."""
    idle: float
    began: float
    used: float


class Logins(People):
    """All that is told of in `gateway.plugin.people`; the times are of the boot clock."""

    def __init__(self, directory: Path, clock: Clock, audit: AuditRecords) -> None:
        self._file = UserFile(directory)
        self._clock = clock
        self._latest = LatestTime(directory, clock)
        self._audit = audit
        self._open: dict[bytes, _Open] = {}
        self._failures: dict[tuple[str, ...], _Failures] = {}
        self._one_by_one = asyncio.Lock()
        self._waiting = 0
        self._told = ""
        self._nobodys = ""

    def are_known(self) -> bool:
        return bool(self._users().users)

    async def log_in(self, name: str, password: str, source: str, idle: float) -> Session:
        name = cleaned(name, 64)
        who = (source, name), (source,)
        self._must_not_wait(who)
        if self._waiting >= AT_ONCE:
            raise LoginError("too many log in at this moment: try again", 2.0)
        self._waiting += 1
        try:
            async with self._one_by_one:
                self._must_not_wait(who)
                return await self._looked_at(who, name, password, idle)
        finally:
            self._waiting -= 1

    async def _looked_at(self, who: Sequence[tuple[str, ...]], name: str, password: str, idle: float) -> Session:
        source = who[-1][0]
        good = await asyncio.to_thread(self._fits, self._users().users.get(name), password)
        user = self._users().users.get(name)
        if not good or user is None or user.disabled:
            self._failed(who)
            why = "no such user" if user is None else "disabled" if user.disabled else "wrong password"
            told = name if user is not None else "somebody"  # people type their password where the name belongs
            await self._audit.record("login.refused", told, source=source, why=why)
            raise LoginError(WRONG)
        for each in who:
            self._failures.pop(each, None)
        actor = Actor(f"{user.name} ({', '.join(user.roles)})", roles=including(user.roles))
        session = self._begin(user.name, user.roles, actor, idle, serial=user.serial)
        await self._audit.record("login", session.actor.name, source=source)
        return session

    def session(self, key: str, *, used: bool = True) -> Session | None:
        found = self._open.get(_hash(key))
        if found is None:
            return None
        now = self._now()
        is_over = now > found.used + found.idle or now > found.began + LONGEST_SESSION
        if is_over or not self._stands(found):
            del self._open[_hash(key)]
            return None
        if used:
            found.used = now
        return found.session

    def _stands(self, open_: _Open) -> bool:
        """Whether he is who he was when he logged in. Of whom a provider vouches for, nobody here knows more than then."""
        if open_.provider:
            return True
        user = self._users().users.get(open_.session.user)
        return user is not None and not user.disabled and user.serial == open_.serial

    async def let_in(self, who: Vouched, source: str, idle: float) -> Session:
        self._failures.pop(("provider", who.provider, source), None)
        by = urlsplit(who.provider).hostname or who.provider
        actor = Actor(f"{who.name} ({by}, {', '.join(who.roles)})", roles=including(who.roles))
        session = self._begin(f"{who.provider} {who.subject}", who.roles, actor, idle, provider=who.provider)
        await self._audit.record("login", actor.name, source=source, provider=who.provider, subject=who.subject)
        return session

    def must_not_wait(self, provider: str, source: str) -> None:
        self._must_not_wait([("provider", provider, source)])

    async def not_let_in(self, who: str, provider: str, source: str, why: str) -> None:
        self._failed([("provider", provider, source)])
        await self._refused(who, source, why, provider=provider)

    def end(self, provider: str) -> None:
        for key in [key for key, each in self._open.items() if each.provider == provider]:
            del self._open[key]

    async def log_out(self, key: str) -> None:
        if (found := self._open.pop(_hash(key), None)) is not None:
            await self._audit.record("logout", found.session.actor.name)

    async def machine(self, token: str, source: str) -> Actor:
        users = self._users()
        found = token_shown(users, token)
        user = users.users.get(found.user) if found is not None else None
        if found is None or user is None:
            why = "no such token"
        elif user.disabled:
            why = f"its user {user.name} is disabled"
        elif await self._time() > found.until:
            why = "it has expired"
        else:
            roles = including(user.roles) & including(found.roles)
            commands = frozenset(found.commands) if found.commands else None
            return Actor(f"{user.name} (token {found.id}, {', '.join(found.roles)})", roles=roles, commands=commands)
        await self._refused(f"token {found.id}" if found is not None else "token", source, why)
        raise LoginError("the token is not good: it may be wrong, expired, revoked, or its user disabled")

    async def _time(self) -> float:
        """Seconds since 1970, by which what has expired stays so."""
        now = self._latest.now()
        if self._latest.is_worth_keeping:
            await asyncio.to_thread(self._latest.keep)
        return now

    def _users(self) -> Users:
        """Nobody, where they cannot be read; the log tells why, once."""
        try:
            users, why = self._file.current(), ""
        except UsersError as error:
            users, why = Users(), str(error)
        if why and why != self._told:
            log.error("users cannot be read, so nobody can log in", reason=why)
        self._told = why
        return users

    def _begin(
        self, user: str, roles: tuple[str, ...], actor: Actor, idle: float, *, serial: str = "", provider: str = ""
    ) -> Session:
        session = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32), user, roles, actor)
        own = [key for key, each in self._open.items() if each.session.user == user]
        if len(own) >= EACH:
            del self._open[own[0]]
        if len(self._open) >= MOST:
            del self._open[min(self._open, key=lambda key: self._open[key].used)]
        self._open[_hash(session.key)] = _Open(session, serial, provider, idle, self._now(), self._now())
        return session

    def _fits(self, user: User | None, password: str) -> bool:
        """For who is not known it takes as long as for who is. Blocking."""
        if len(password) > LONGEST:
            return False
        if user is not None:
            return fits(user.password, password)
        if not self._nobodys:
            self._nobodys = hashed(secrets.token_urlsafe(16))
        return fits(self._nobodys, password) and False

    def _must_not_wait(self, who: Sequence[tuple[str, ...]]) -> None:
        if (wait := max(self._wait(each) for each in who)) > 0:
            raise LoginError(f"too many attempts: try again in {math.ceil(wait)} s", wait)

    def _wait(self, who: tuple[str, ...]) -> float:
        """Seconds until the next attempt is looked at."""
        found = self._failures.get(who)
        if found is not None and self._now() > found.last + FORGOTTEN:
            del self._failures[who]
            return 0.0
        return 0.0 if found is None else found.until - self._now()

    def _failed(self, who: Sequence[tuple[str, ...]]) -> None:
        now = self._now()
        for each in who:
            if each not in self._failures and len(self._failures) >= MOST:
                del self._failures[min(self._failures, key=lambda key: self._failures[key].last)]
            found = self._failures.setdefault(each, _Failures())
            found.times, found.last = found.times + 1, now
            over = found.times - FREE[len(each)]
            if over >= 0:
                found.until = now + min(LONGEST_WAIT, 2.0 ** min(over, 20))

    async def _refused(self, who: str, source: str, why: str, **more: str) -> None:
        """Into the trail, of one source and reason once a minute."""
        key = "told", source, why
        known = self._failures.get(key)
        if known is not None and self._now() < known.last + 60.0:
            known.times += 1
            return
        if known is None and len(self._failures) >= MOST:
            del self._failures[min(self._failures, key=lambda each: self._failures[each].last)]
        since = known.times if known is not None else 0
        self._failures[key] = _Failures(0, self._now())
        await self._audit.record("login.refused", who, source=source, why=why, since_last=since, **more)

    def _now(self) -> float:
        return self._clock.boot_ns() / 1e9


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
