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


class People(Protocol):
    """Users with passwords, and machines with tokens: `edge-gateway user`. What they try is in the audit trail."""

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
