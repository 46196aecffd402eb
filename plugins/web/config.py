"""What the configuration says of the page. Imports no web library, so that checking is fast."""

from gateway.plugin import Duration, Field, Host, ServiceConfig, Tls, model_validator

from .addresses import is_loopback
from .oidc.config import OidcConfig


class WebConfig(ServiceConfig):
    host: Host = "127.0.0.1"
    """Address to listen on. Beyond this machine, such as "0.0.0.0", only with tls, and then nobody sees anything without a
    login."""

    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port; 0: any free one, which the log and `edge-gateway open` tell."""

    tls: Tls | None = None
    """Certificate and key to show, such as { certificate = "page.pem", key = "page.key" }. With ca, browsers must show a
    certificate of that authority too."""

    names: tuple[str, ...] = Field(default=(), strict=False, examples=[["gw1.plant.local"]])
    """Further names by which browsers come here, through a proxy for instance. A request for any other host is refused. With
    any of them, everybody needs a login."""

    login_to_look: bool = False
    """Whether a login is needed on this machine even to look. What changes something always needs one."""

    session_idle: Duration = Field(default=1800.0, ge=60, le=86_400)
    """A login ends after this long without a request; streams do not count."""

    oidc: OidcConfig | None = None
    """A provider of logins (OpenID Connect), whose people may log in beside the page's own users, such as { issuer =
    "https://login.plant.example/realms/plant", client_id = "edge-gateway", roles = { "plant-engineers" = "engineer" } }."""

    @model_validator(mode="after")
    def _protected(self) -> "WebConfig":
        if not is_loopback(self.host) and self.tls is None:
            raise ValueError(
                f'host: other machines reach "{self.host}", so it needs '
                'tls = { certificate = "page.pem", key = "page.key" }; or keep host = '
                '"127.0.0.1", and come from elsewhere by  ssh -L 8080:localhost:8080 THIS-PC'
            )
        if self.tls is not None and self.tls.certificate is None:
            raise ValueError("tls: needs the certificate to show, and its key")
        if self.tls is not None and self.tls.server_name:
            raise ValueError("tls: server_name is the far side's, and here the gateway is that; write names instead")
        if self.tls is not None and (self.tls.pin or self.tls.alpn):
            raise ValueError("tls: pin and alpn are about a far side that is dialled, and this one waits for browsers")
        if self.tls is not None and self.tls.crl is not None and self.tls.ca is None:
            raise ValueError("tls: crl needs ca, else browsers show no certificate that could be looked up")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can ask."""
        return is_loopback(self.host) and not self.names
