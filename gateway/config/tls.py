"""What every encrypted connection of ours asks of the far side, and shows of itself."""

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway.config.base import Secret, Section
from gateway.config.fields import FilePath


def _pin(text: str) -> str:
    """As 64 hexadecimal digits."""
    bare = re.sub(r"^(sha256|pin-sha256)[:/=]+", "", text.strip(), flags=re.IGNORECASE)
    if re.fullmatch(r"[0-9a-fA-F]{64}", digits := re.sub(r"[:\s]", "", bare)):
        return digits.lower()
    try:
        digest = base64.b64decode(bare, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise ValueError(
            "write a SHA-256 in hex or base64: openssl x509 -in server.pem -noout -fingerprint -sha256 prints one"
        )
    return digest.hex()


Pin = Annotated[str, AfterValidator(_pin)]


class Tls(Section):
    ca: FilePath | None = None
    """Certificates (PEM) of the authorities that may have signed the far side's certificate. Default: those of the system."""

    certificate: FilePath | None = None
    """The gateway's own certificate (PEM), for a far side that asks for one."""

    key: FilePath | None = None
    """The key of certificate (PEM). Default: it stands in the same file."""

    key_password: Secret | None = None
    """The password of an encrypted key, such as { credential = "mqtt-key" }."""

    server_name: str = ""
    """Name that is asked for (SNI), and that the far side's certificate must hold, if another than host."""

    crl: FilePath | None = None
    """Revocation lists (PEM) of the authorities: what they revoke is refused, and so is everything once they have expired.
    With lists of several authorities, each in the chain needs one."""

    pin: tuple[Pin, ...] = Field(default=(), strict=False, examples=[["3F:C4:…:9A"]])
    """SHA-256 of the far side's certificate, or of its public key, in hex or base64; several while it is exchanged. Without
    ca the pin alone decides: authority, name and date are then not looked at."""

    alpn: tuple[str, ...] = Field(default=(), strict=False, examples=[["mqtt"]])
    """Protocols to offer (ALPN), such as ["mqtt"] for a broker that shares port 443 with others."""

    @model_validator(mode="after")
    def _pair(self) -> "Tls":
        if self.key is not None and self.certificate is None:
            raise ValueError("key: needs certificate")
        if self.key_password is not None and self.certificate is None:
            raise ValueError("key_password: needs certificate")
        if any(not 1 <= len(each.encode()) <= 255 for each in self.alpn):
            raise ValueError("alpn: each is a word of 1 to 255 bytes")
        return self
