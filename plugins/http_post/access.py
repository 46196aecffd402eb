"""Who we are, to the server: a password, a token, or an access token by OAuth 2.0 (RFC 6749 section 4.4)."""

import base64
import time
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from gateway.kit import route
from gateway.kit.http_client import HttpAnswer, HttpClient
from gateway.plugin import LinkError, RefusedError, cleaned, parse_json, resolve

from .config import HttpPostConfig, OauthConfig

EARLY, SHARE = 60.0, 0.1
"""A token is renewed so many seconds, or this share of its life, before it ends, whichever is less."""
LIFE, LONGEST_LIFE = 300.0, 30 * 86400.0
"""Seconds that a token is used of which nothing is said, and at most."""
_TOKEN = "token"
"""What one connection leaves for the next: the token, and until when it is used, by the clock that only counts."""


class Access:
    """The Authorization header of one connection."""

    def __init__(self, config: HttpPostConfig, memory: MutableMapping[str, Any]) -> None:
        self._config = config
        self._memory = memory
        self._client: HttpClient | None = None

    async def header(self) -> dict[str, str]:
        """As it is to be sent now; a token that ends soon is renewed first. Raises RefusedError, LinkError."""
        config = self._config
        if config.user:
            password = "" if config.password is None else resolve(config.password)
            return {"Authorization": f"Basic {_basic(config.user, password)}"}
        if config.token is not None:
            return {"Authorization": f"Bearer {resolve(config.token)}"}
        if config.oauth is None:
            return {}
        token, until = self._memory.get(_TOKEN, ("", 0.0))
        if time.monotonic() >= until:
            token, life = await self._asked_for(config.oauth)
            until = time.monotonic() + max(life - min(EARLY, life * SHARE), 1.0)
            self._memory[_TOKEN] = (token, until)
        return {"Authorization": f"Bearer {token}"}

    @property
    def renewable(self) -> bool:
        """Whether there may be a token that is taken where this one was not."""
        return self._config.oauth is not None

    def forget(self) -> None:
        """The token was not taken: the next header has another one."""
        self._memory.pop(_TOKEN, None)

    async def close(self) -> None:
        """Close the connection to the provider. Never raises."""
        if self._client is not None:
            await self._client.close()

    async def _asked_for(self, oauth: OauthConfig) -> tuple[str, float]:
        """A token, and for how many seconds it is good."""
        if self._client is None:
            self._client = HttpClient(oauth.token_url, tls=oauth.tls, route=route(self._config))
        form = {"grant_type": "client_credentials", "scope": oauth.scope, "audience": oauth.audience}
        secret = _basic(quote_plus(oauth.client_id), quote_plus(resolve(oauth.client_secret)))
        parts = urlsplit(oauth.token_url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        said = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {secret}"}
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        try:
            answer = await self._client.ask("POST", target, said, body)
        except RefusedError as error:
            raise RefusedError(f"oauth: {error}") from error
        except LinkError as error:
            raise LinkError(f"oauth: {error}") from error
        finally:
            await self._client.close()  # the next request is an hour away
        return _understood(answer, oauth)


def _understood(answer: HttpAnswer, oauth: OauthConfig) -> tuple[str, float]:
    where = f"oauth: {urlsplit(oauth.token_url).netloc}"
    try:
        said = parse_json(answer.body, size=64 * 1024, depth=16)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    if answer.status != 200:
        why = f"{cleaned(said.get('error', ''), 60)} {cleaned(said.get('error_description', ''), 200)}".strip()
        kind = LinkError if answer.status >= 500 or answer.status == 429 else RefusedError
        raise kind(f"{where} gives no token: {answer.status} {why or answer.words}{_advice(said.get('error'), oauth)}")
    token, life = said.get("access_token"), said.get("expires_in", LIFE)
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise RefusedError(f"{where} answers without an access_token")
    if str(said.get("token_type", "bearer")).lower() != "bearer":
        raise RefusedError(f"{where} gives tokens of type {cleaned(said['token_type'], 40)}, not bearer")
    try:
        seconds = float(life)
    except (TypeError, ValueError, OverflowError):
        seconds = LIFE
    return token, min(seconds, LONGEST_LIFE) if seconds > 0 else LIFE


def _advice(error: object, oauth: OauthConfig) -> str:
    if error == "invalid_client":
        return f": correct client_id ({oauth.client_id}) or client_secret"
    if error == "invalid_scope":
        return ": correct scope"
    if error in ("unauthorized_client", "unsupported_grant_type"):
        return ": allow this client the grant client_credentials there"
    return ""


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
