"""Who comes to a service from outside, as far as the gateway knows them."""

from dataclasses import dataclass
from typing import Protocol

from gateway.core.command import Actor
from gateway.core.errors import GatewayError


class LoginError(GatewayError):
    """Nobody is let in, and why as far as he may know; `wait` is when he may try again, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Session:
    """A login that is going on."""

    key: str
    """The secret that the browser shows."""
    form: str
    """The secret that our own forms show (CSRF)."""
    user: str
    roles: tuple[str, ...]
    """As they were given."""
    actor: Actor
    """For what is done in it, with all that the roles include."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """Somebody who has no password here: a provider of logins says who he is."""

    name: str
    """For people; two may have the same."""
    subject: str
    """What the provider calls him for good."""
    provider: str
    roles: tuple[str, ...]


class People(Protocol):
    """Users with passwords, machines with tokens: `edge-gateway user`; and whom others vouch for. What they try is in the
    audit trail."""

    def are_known(self) -> bool:
        """Whether anybody could log in."""
        ...

    async def log_in(self, name: str, password: str, source: str, idle: float) -> Session:
        """`source`: the address that it comes from; the session ends after `idle` seconds without a request. Raises
        LoginError, which does not tell whether name or password is wrong."""
        ...

    def session(self, key: str, *, used: bool = True) -> Session | None:
        """The session, if it is still good; a request that is `used` keeps it from ending."""
        ...

    async def log_out(self, key: str) -> None:
        """End it; no error if there is none."""
        ...

    async def machine(self, token: str, source: str) -> Actor:
        """Who shows a token. Raises LoginError."""
        ...

    async def let_in(self, who: Vouched, source: str, idle: float) -> Session:
        """Begin a session of somebody whom the service itself has found out about by his provider."""
        ...

    def must_not_wait(self, provider: str, source: str) -> None:
        """Raises LoginError for an address from which too many logins by that provider have failed."""
        ...

    async def not_let_in(self, who: str, provider: str, source: str, why: str) -> None:
        """Record that such a login has failed, and count it. `who`: as far as that is proven."""
        ...

    def end(self, provider: str) -> None:
        """End the sessions of all whom it vouched for."""
        ...
