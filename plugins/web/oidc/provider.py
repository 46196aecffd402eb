"""The provider: what it says of itself (OpenID Connect Discovery 1.0), its keys, and what it hands out for a code.

What it said last is kept in a file, for plants whose provider comes and goes: with that a login goes on as soon as the
provider itself answers, and who has logged in stays so.
"""

import asyncio
import base64
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import structlog

from gateway.plugin import (
    RefusedError,
    cleaned,
    doubting,
    load_certificates,
    parse_json,
    read_regular,
    resolve,
    to_json,
    write_whole,
)

from .asking import LONGEST, ProviderError, ask
from .config import OidcConfig, must_be_safe
from .tokens import Key, TokenError, UnknownKeyError, claims, usable

FILE = "oidc.json"
FRESH = 3600.0
"""Seconds for which it is not asked again what it says of itself."""
PAUSE = 10.0
"""Seconds without another try after one that failed."""
ROLLED = 60.0
"""Seconds between two looks for a key that is not known."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Provider:
    """What it says of itself, looked at."""

    authorization: str
    token: str
    userinfo: str
    """Empty: there is none."""
    keys: Sequence[Key]
    names_itself: bool
    """Whether it says who it is when it sends a browser back (RFC 9207)."""
    basic: bool
    """Whether it takes the client's secret in a header, rather than in the form."""


class Oidc:
    """Asks it; one look at a time."""

    def __init__(self, config: OidcConfig, folder: Path) -> None:
        """`folder`: the service's own."""
        self.config = config
        self._file = folder / FILE
        self._known: Provider | None = None
        self._documents: dict[str, Any] = {}
        self._asked = self._failed = self._rolled = float("-inf")
        self._why = ""
        self._context: ssl.SSLContext | None = None
        self._one_by_one = asyncio.Lock()

    async def provider(self) -> Provider:
        """As it is, or, while it is away, as it was. Raises ProviderError."""
        async with self._one_by_one:
            now = asyncio.get_running_loop().time()
            if self._known is None:
                self._known = await asyncio.to_thread(self._remembered)
            if (self._known is None or now > self._asked + FRESH) and now > self._failed + PAUSE:
                await self._look(now)
            if self._known is None:
                raise ProviderError(self._why)
            return self._known

    async def _look(self, now: float) -> None:
        try:
            self._known, self._asked = await self._fetched(), now
        except ProviderError as error:
            self._failed, self._why = now, str(error)
            log.warning("the login provider does not say what it is", issuer=self.config.issuer, reason=str(error))

    async def _fetched(self) -> Provider:
        return await asyncio.to_thread(self._kept, await self._said())

    async def _said(self) -> dict[str, Any]:
        """Both documents, as they came."""
        context = await self.context()
        _, said = await ask(f"{self.config.issuer.rstrip('/')}/.well-known/openid-configuration", context)
        _, keys = await ask(_address(said, "jwks_uri"), context)
        return {"issuer": self.config.issuer, "said": said, "keys": keys}

    def _kept(self, documents: dict[str, Any]) -> Provider:
        """Blocking. Raises ProviderError for what cannot be meant, which is not kept."""
        found = _looked_at(documents, self.config.issuer)
        if documents != self._documents:
            try:
                write_whole(self._file, to_json(documents))
            except OSError as error:
                log.warning("what the login provider says is not kept", file=str(self._file), error=cleaned(error))
            self._documents = documents
        return found

    def _remembered(self) -> Provider | None:
        """Nothing on disk is believed because it is there."""
        with suppress(OSError, ValueError, ProviderError):
            documents = parse_json(read_regular(self._file, 3 * LONGEST), depth=20)
            return _looked_at(documents, self.config.issuer)
        return None

    async def proven(self, token: Any, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token. A key that is not known is looked for at the provider, once a minute. Raises TokenError,
        ProviderError."""
        provider = await self.provider()
        try:
            return await self._claims(token, provider, nonce)
        except UnknownKeyError:
            async with self._one_by_one:
                now = asyncio.get_running_loop().time()
                if now < self._rolled + ROLLED and self._known is provider:
                    raise
                if self._known is provider:
                    self._rolled = now
                    self._known, self._asked = await self._fetched(), now
                provider = self._known or provider
            return await self._claims(token, provider, nonce)

    async def _claims(self, token: Any, provider: Provider, nonce: str) -> Mapping[str, Any]:
        config = self.config
        return await asyncio.to_thread(claims, token, provider.keys, config.issuer, config.client_id, nonce)

    async def handed_out(self, code: str, verifier: str, redirect: str) -> Mapping[str, Any]:
        """What it gives for a code (RFC 6749, 4.1.3; RFC 7636). Raises ProviderError, and TokenError for a code that does not
        count."""
        status, said = await self._asked_for_tokens(await self.provider(), code, verifier, redirect)
        if status == 200 and isinstance(said, dict):
            return said
        error, why = _error(said)
        if error == "invalid_grant":
            raise TokenError("the login provider does not take this code: it may be used, or too old")
        raise ProviderError(f"the login provider hands out nothing: {status} {error} {why}".rstrip())

    async def _asked_for_tokens(self, provider: Provider, code: str, verifier: str, redirect: str) -> tuple[int, Any]:
        config = self.config
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier,
        }  # fmt: skip
        headers = {}
        try:
            secret = await asyncio.to_thread(resolve, config.client_secret) if config.client_secret else ""
        except RefusedError as error:
            raise ProviderError(f"oidc: client_secret: {error}") from error
        if secret and provider.basic:
            pair = f"{quote_plus(config.client_id)}:{quote_plus(secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": config.client_id, **({"client_secret": secret} if secret else {})}
        return await ask(provider.token, await self.context(), form, headers)

    async def about(self, token: Any, subject: str) -> Mapping[str, Any]:
        """What it says of somebody beyond his ID token (OpenID Connect Core 1.0, 5.3); nothing where it cannot be asked.
        Raises ProviderError."""
        provider = await self.provider()
        if not provider.userinfo or not isinstance(token, str) or not token.isascii() or not token.isprintable():
            return {}
        headers = {"authorization": f"Bearer {token}"}
        status, said = await ask(provider.userinfo, await self.context(), headers=headers)
        if status != 200 or not isinstance(said, dict) or said.get("sub") != subject:
            raise ProviderError(
                f"the login provider says nothing of who logs in: {status} {' '.join(_error(said))}".rstrip()
            )
        return said

    async def check(self, redirect: str) -> str:
        """For `edge-gateway check --connect`: asks with a code that there cannot be. A provider looks at the client first, so
        its answer tells whether it knows that. Raises ProviderError."""
        provider = _looked_at(await self._said(), self.config.issuer)
        status, said = await self._asked_for_tokens(provider, "edge-gateway-check", "0" * 43, redirect)
        error, why = _error(said)
        if error == "invalid_grant":
            return f"{self.config.issuer} answers, and takes client_id and client_secret"
        if error in ("invalid_client", "unauthorized_client") or status == 401:
            raise ProviderError(
                f"oidc: the login provider does not take client_id or client_secret: {error} {why}".rstrip()
            )
        return (
            f"{self.config.issuer} answers; whether it knows the client cannot be told: {status} {error} {why}".rstrip()
        )

    async def context(self) -> ssl.SSLContext:
        """What its certificate is judged by; made once, since reading the system's authorities takes a while."""
        if self._context is None:
            self._context = await asyncio.to_thread(_trusting, self.config.ca)
        return self._context


def _trusting(ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        load_certificates(context, ca, None, None)
    except RefusedError as error:
        raise ProviderError(f"oidc: {error}") from error
    return context


def _looked_at(documents: Any, issuer: str) -> Provider:
    """Both documents, believed. Raises ProviderError for what cannot be meant."""
    with doubting(lambda reason: ProviderError(f"the login provider says of itself what cannot be meant: {reason}")):
        if documents["issuer"] != issuer:
            raise ProviderError("what is kept of a login provider is another one's")
        said = documents["said"]
        if said["issuer"] != issuer:
            called = cleaned(said["issuer"], 200)
            raise ProviderError(f'the login provider calls itself "{called}", and issuer is "{issuer}"')
        methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Provider(
            _address(said, "authorization_endpoint"),
            _address(said, "token_endpoint"),
            _address(said, "userinfo_endpoint") if said.get("userinfo_endpoint") else "",
            usable(documents["keys"]),
            said.get("authorization_response_iss_parameter_supported") is True,
            "client_secret_basic" in methods or "client_secret_post" not in methods,
        )


def _address(said: Any, key: str) -> str:
    url = said.get(key) if isinstance(said, dict) else None
    try:
        if not isinstance(url, str) or len(url) > 2000 or "#" in url:
            raise ValueError("is missing, or no address")
        must_be_safe(url)
    except ValueError as error:
        raise ProviderError(f"the login provider says of itself what cannot be meant: {key} {error}") from None
    return url


def _error(said: Any) -> tuple[str, str]:
    """Code and words of a refusal (RFC 6749, 5.2)."""
    if not isinstance(said, dict):
        return "", ""
    return cleaned(said.get("error", ""), 60), cleaned(said.get("error_description", ""), 200)
