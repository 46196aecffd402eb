"""The way of a browser to the provider and back: what is handed along, and what is believed of what comes back.

A login that was begun is kept here, not in the browser: by its state, which the provider hands back, and for the browser that
began it alone, which shows a cookie. That one is SameSite=Lax, since the browser comes from another site; the session's own
stays Strict, so the answer is a page that goes on by itself, instead of a redirect in which the browser would not show it.
"""

import asyncio
import base64
import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.plugin import GatewayError, LoginError, Vouched, cleaned

from ..document import to
from ..login import BEGIN, LoginPage
from ..visitors import Visitors, cookie_of, source
from .asking import ProviderError
from .config import CALLBACK, OidcConfig
from .provider import Oidc
from .tokens import TokenError

LASTS = 600.0
"""Seconds that somebody may take to log in at the provider."""
MOST = 1000
"""Logins that are under way; the oldest goes."""
EACH = 50
"""Of one address."""
VALUES = 1000
"""Of the claim with the roles, that are looked at."""
_ODD = re.compile(r"[^\w.@+ -]")
"""Signs that no name has here, so that it cannot look like a name with a role behind it."""

_SECRET = re.compile(r"[\w-]{32}")


@dataclass(frozen=True, slots=True)
class _Begun:
    """A login that is under way."""

    browser: str
    """The secret that the browser shows which began it."""
    nonce: str
    verifier: str
    redirect: str
    source: str
    until: float


class OidcLogin:
    """The two addresses of it."""

    def __init__(self, config: OidcConfig, folder: Path, visitors: Visitors, page: LoginPage) -> None:
        """`folder`: the service's own."""
        self._config = config
        self._visitors = visitors
        self._people = visitors.people
        self._page = page
        self._oidc = Oidc(config, folder)
        self._begun: dict[str, _Begun] = {}
        """By their state; the oldest first."""

    def routes(self) -> list[Route]:
        """Where it begins, and where it comes back."""
        return [Route(BEGIN, self.begin), Route(CALLBACK, self.back)]

    async def begin(self, request: Request) -> Response:
        """Off to the provider."""
        try:
            self._people.must_not_wait(self._config.issuer, source(request))
            provider = await self._oidc.provider()
        except GatewayError as error:
            return self._sorry(request, error)
        state, begun = secrets.token_urlsafe(24), self._new(request)
        self._keep(state, begun)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": self._config.client_id, "redirect_uri": begun.redirect,
            "scope": " ".join(self._config.scopes), "state": state, "nonce": begun.nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        joint = "&" if urlsplit(provider.authorization).query else "?"
        cookie = f"{self._cookie(request)}={begun.browser}{self._attributes(request)}; Max-Age={LASTS:.0f}"
        return to(f"{provider.authorization}{joint}{urlencode(asked)}", {"set-cookie": cookie})

    def _new(self, request: Request) -> _Begun:
        shown = cookie_of(request, self._cookie(request)) or ""
        own = f"{request.scope['scheme']}://{request.headers['host']}{CALLBACK}"
        return _Begun(
            shown if _SECRET.fullmatch(shown) else secrets.token_urlsafe(24),  # two tabs are one browser
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(48),
            self._config.redirect_uri or own,
            source(request),
            asyncio.get_running_loop().time() + LASTS,
        )

    def _keep(self, state: str, begun: _Begun) -> None:
        now = asyncio.get_running_loop().time()
        for old in [key for key, each in self._begun.items() if each.until < now]:
            del self._begun[old]
        own = [key for key, each in self._begun.items() if each.source == begun.source]
        if len(own) >= EACH:
            del self._begun[own[0]]
        elif len(self._begun) >= MOST:
            del self._begun[next(iter(self._begun))]
        self._begun[state] = begun

    async def back(self, request: Request) -> Response:
        """Here again, with a code."""
        who, from_ = "somebody", source(request)
        try:
            self._people.must_not_wait(self._config.issuer, from_)
            found, claims = await self._proven(request)
            who = self._named(claims)
            roles = self._roles(claims)
            if not roles:
                claims = {**await self._oidc.about(found.get("access_token"), claims["sub"]), **claims}
                who, roles = self._named(claims), self._roles(claims)
            if not roles:
                raise TokenError(
                    f'{who} has no role here: no value of "{self._config.role_claim}" stands in oidc.roles'
                )
        except LoginError as error:
            return self._sorry(request, error)
        except (TokenError, ProviderError) as error:
            await self._people.not_let_in(who, self._config.issuer, from_, str(error))
            return self._sorry(request, error)
        vouched = Vouched(who, claims["sub"], self._config.issuer, roles)
        return self._page.goes_on(request, await self._visitors.let_in(request, vouched))

    async def _proven(self, request: Request) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What the provider has handed out, and the claims of the ID token. Raises TokenError, ProviderError."""
        said = request.query_params
        begun = self._begun.pop(said.get("state", ""), None)  # it counts once
        shown = cookie_of(request, self._cookie(request)) or ""
        if begun is None or begun.until < asyncio.get_running_loop().time():
            raise TokenError("this login was not begun here, is over, or was too slow: begin anew (state)")
        if not hmac.compare_digest(begun.browser.encode(), shown.encode(errors="replace")):
            raise TokenError("this login was begun in another browser: begin anew (state)")
        provider = await self._oidc.provider()
        if said.get("iss", self._config.issuer if not provider.names_itself else "") != self._config.issuer:
            raise TokenError("the answer is of another login provider (iss)")
        if "error" in said:
            why = f"{cleaned(said['error'], 60)} {cleaned(said.get('error_description', ''), 200)}".rstrip()
            raise TokenError(f"the login provider says no: {why}")
        if not said.get("code"):
            raise TokenError("the login provider sent no code")
        found = await self._oidc.handed_out(said["code"], begun.verifier, begun.redirect)
        return found, await self._oidc.proven(found.get("id_token"), begun.nonce)

    def _named(self, claims: Mapping[str, Any]) -> str:
        said = claims.get(self._config.name_claim)
        name = said if isinstance(said, str) and said.strip() else claims["sub"]
        return _ODD.sub("_", cleaned(name, 64)).strip() or "nobody"

    def _roles(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        values = set(_values(claims, self._config.role_claim))
        return tuple(dict.fromkeys(role for value, role in self._config.roles.items() if value in values))

    def _sorry(self, request: Request, error: GatewayError) -> Response:
        """The login page with one sentence; everybody who has a password here goes on by that."""
        if isinstance(error, LoginError):
            return self._page.page(request, str(error), 429, {"retry-after": str(math.ceil(error.wait))})
        return self._page.page(request, str(error), 403 if isinstance(error, TokenError) else 503)

    def _cookie(self, request: Request) -> str:
        return self._visitors.cookie(request).replace("session", "login")

    def _attributes(self, request: Request) -> str:
        return "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if request.scope["scheme"] == "https" else "")


def _values(claims: Mapping[str, Any], path: str) -> Iterator[str]:
    """The texts of a claim, which may stand within others."""
    found: Any = claims
    for name in [path] if path in claims else path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    for value in [found] if isinstance(found, str) else found[:VALUES] if isinstance(found, list) else ():
        if isinstance(value, str):
            yield value
