"""Who asks: by a token, by a login, or, on this machine, anybody who only looks."""

import math
from http.cookies import CookieError, SimpleCookie

from starlette.requests import HTTPConnection

from gateway.plugin import VIEWER, Actor, LoginError, People, Session, Vouched

from .config import WebConfig
from .guard import SAFE
from .replies import Refusal

FORM = "x-csrf-token"
"""Header with what `Session.form` holds."""


class Visitors:
    """Finds out who asks."""

    def __init__(self, config: WebConfig, people: People) -> None:
        self._config = config
        self.people = people

    @property
    def may_look(self) -> bool:
        """Whether who is not logged in may look. Whoever works on this machine sees the values anyway."""
        return self._config.is_local and not self._config.login_to_look

    async def actor(self, request: HTTPConnection, *, used: bool = True, form: str = "") -> Actor | None:
        """Who asks; None: nobody whom we know. `used`: whether it keeps a login going; `form`: the secret that a form
        brought. Raises Refusal for a token that is not
        good, and for what is sent in a login without its form's secret."""
        if token := self._token(request):
            try:
                return await self.people.machine(token, source(request))
            except LoginError as error:
                raise Refusal(401, str(error), {"www-authenticate": 'Bearer error="invalid_token"'}) from None
        if (session := self.session(request, used=used)) is not None:
            method = request.scope.get("method", "GET")
            if method not in SAFE and (form or request.headers.get(FORM)) != session.form:
                raise Refusal(
                    403, f"the header {FORM} is missing or not that of this login: GET /api/v1/session tells it"
                )
            return session.actor
        return Actor("anybody (viewer)", roles=frozenset((VIEWER,))) if self.may_look else None

    def is_named(self, request: HTTPConnection) -> bool:
        """Whether who asks says who he is; not whether that is true."""
        return bool(self._token(request)) or self.session(request, used=False) is not None

    async def must_be(self, request: HTTPConnection, like: str = "") -> Actor:
        """The same. Raises Refusal for nobody; `like`: also for a token that may ask for some commands alone, and not for
        this one, which tells the same."""
        actor = await self.actor(request)
        if actor is None:
            raise login_needed()
        if like:
            must_cover(actor, like)
        return actor

    def session(self, request: HTTPConnection, *, used: bool = True) -> Session | None:
        """The login that is going on."""
        found = cookie_of(request, self.cookie(request))
        return self.people.session(found, used=used) if found is not None else None

    def cookie(self, request: HTTPConnection) -> str:
        """Its name: browsers keep those of all ports of a machine in one jar."""
        secure = "__Host-" if request.scope["scheme"] == "https" else ""
        return f"{secure}session-{request.scope['server'][1]}"

    async def log_in(self, request: HTTPConnection, name: str, password: str) -> tuple[Session, str]:
        """The login, and its Set-Cookie. Raises Refusal."""
        try:
            session = await self.people.log_in(name, password, source(request), self._config.session_idle)
        except LoginError as error:
            if error.wait:
                raise Refusal(429, str(error), {"retry-after": str(math.ceil(error.wait))}) from None
            raise Refusal(401, str(error)) from None
        return session, self.remembered(request, session)

    async def let_in(self, request: HTTPConnection, who: Vouched) -> str:
        """The Set-Cookie of somebody whom a provider vouches for."""
        return self.remembered(request, await self.people.let_in(who, source(request), self._config.session_idle))

    def remembered(self, request: HTTPConnection, session: Session) -> str:
        """The Set-Cookie of a login."""
        return f"{self.cookie(request)}={session.key}{self._attributes(request)}"

    def forgotten(self, request: HTTPConnection) -> str:
        """The Set-Cookie that ends it."""
        return f"{self.cookie(request)}={self._attributes(request)}; Max-Age=0"

    def _attributes(self, request: HTTPConnection) -> str:
        return "; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if request.scope["scheme"] == "https" else "")

    def _token(self, request: HTTPConnection) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return token.strip()[:200] if scheme.lower() == "bearer" else ""


def cookie_of(request: HTTPConnection, name: str) -> str | None:
    """What the browser keeps under this name."""
    try:
        found = SimpleCookie(request.headers.get("cookie", "")[:4096]).get(name)
    except CookieError:
        return None
    return found.value if found is not None else None


def must_cover(actor: Actor, command: str) -> None:
    """Raises Refusal for a token that was made for other commands."""
    if actor.commands is not None and command not in actor.commands:
        raise Refusal(403, f"this token may ask for nothing but: {', '.join(sorted(actor.commands))}")


def login_needed() -> Refusal:
    """For who is nobody."""
    return Refusal(401, "a login or a token is needed (edge-gateway user)", {"www-authenticate": "Bearer"})


def source(request: HTTPConnection) -> str:
    """The address that it comes from."""
    return request.client.host if request.client is not None else ""
