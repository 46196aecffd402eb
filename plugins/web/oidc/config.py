"""What the configuration says of the provider. Imports no library beyond the gateway's own."""

from typing import Literal
from urllib.parse import urlsplit

from gateway.plugin import Field, FilePath, Secret, Section, field_validator, model_validator

from ..addresses import is_loopback

Role = Literal["viewer", "operator", "engineer", "quality", "admin"]

CALLBACK = "/login/oidc/back"
"""Where the provider sends browsers back to."""


class OidcConfig(Section):
    issuer: str = Field(examples=["https://login.plant.example/realms/plant"])
    """Address of the OpenID provider, exactly as it calls itself ("issuer" of its .well-known/openid-configuration)."""

    client_id: str = Field(min_length=1, max_length=200, examples=["edge-gateway"])
    """What the gateway is called there."""

    client_secret: Secret | None = None
    """The secret that belongs to it, such as { credential = "oidc" }. Default: none, as for a public client; PKCE is used
    either way."""

    roles: dict[str, Role] = Field(min_length=1, max_length=200, examples=[{"plant-engineers": "engineer"}])
    """Which role somebody has for which value of role_claim. Who has none of these values is not let in."""

    role_claim: str = Field(default="groups", min_length=1, max_length=200)
    """The claim that roles are found in, a text or a list of texts; "realm_access.roles" is a claim within another one."""

    name_claim: str = Field(default="preferred_username", min_length=1, max_length=200)
    """The claim by which people are called here and in the audit trail. Where it is missing: "sub"."""

    scopes: tuple[str, ...] = Field(default=("openid", "profile"), strict=False, max_length=20)
    """What is asked for; many providers need a further one before they tell groups."""

    redirect_uri: str = ""
    """Where the provider sends browsers back to, as it is registered there; it ends in /login/oidc/back. Default: that
    path, at the address by which the browser came."""

    ca: FilePath | None = None
    """Certificates (PEM) of the authorities that may have signed the provider's certificate. Default: those of the system."""

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        must_be_safe(value)
        if urlsplit(value).query or "#" in value:
            raise ValueError("an issuer has neither ? nor #")
        return value

    @field_validator("scopes")
    @classmethod
    def _scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError('must hold "openid", without which nobody is logged in')
        if any(not each or not each.isascii() or not each.isprintable() or set(each) & set(' "\\') for each in value):
            raise ValueError('a scope is a word without blanks and quotes, such as "groups"')
        return value

    @model_validator(mode="after")
    def _redirect(self) -> "OidcConfig":
        if self.redirect_uri:
            must_be_safe(self.redirect_uri)
            if urlsplit(self.redirect_uri).path != CALLBACK or not self.redirect_uri.endswith(CALLBACK):
                raise ValueError(f"redirect_uri: must end in {CALLBACK}")
        return self


def must_be_safe(url: str) -> None:
    """Raises ValueError for what is no https address; on this machine http will do."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        named = False
    if not named or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError('write an address such as "https://login.plant.example"')
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ValueError("must begin with https:// (http:// on this machine alone), or anybody on the way could log in")
