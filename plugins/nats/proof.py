"""Who we are, to a server: user and password, a token, or a key that signs what the server asks (NKeys, ADR-14).

A seed is base32 of two bytes that say what it is for, 32 bytes of an Ed25519 key, and a check sum (CRC-16/XMODEM).
"""

import base64
import binascii
import re
from collections.abc import Mapping

from gateway.plugin import RefusedError, cleaned, doubting, read_regular, resolve

from .config import NatsConfig

LONGEST = 64 * 1024
"""Bytes of a .creds file."""
_SEED, _USER = 18 << 3, 20 << 3
"""What the first bytes say: "S" and "U" in base32."""

_PART = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END")


def proof(config: NatsConfig, nonce: str) -> Mapping[str, str]:
    """Members of CONNECT. Raises RefusedError for what cannot be used."""
    if config.credentials is not None:
        jwt, seed = _credentials(config)
        return {"jwt": jwt, "sig": signed(seed, nonce)}
    if config.nkey is not None:
        seed = resolve(config.nkey).strip()
        return {"nkey": public_key(seed), "sig": signed(seed, nonce)}
    if config.token is not None:
        return {"auth_token": resolve(config.token)}
    if config.user:
        return {"user": config.user, "pass": "" if config.password is None else resolve(config.password)}
    return {}


def _credentials(config: NatsConfig) -> tuple[str, str]:
    """The JWT and the seed of a .creds file, as `nsc` and the like write it."""
    where = f"credentials {config.credentials}"
    assert config.credentials is not None
    try:
        text = read_regular(config.credentials, LONGEST).decode(errors="replace")
    except OSError as error:
        raise RefusedError(f"{where}: {error.strerror}") from error
    parts = dict(_PART.findall(text))
    jwt, seed = parts.get("NATS USER JWT"), parts.get("USER NKEY SEED")
    if jwt is None or seed is None:
        raise RefusedError(f"{where}: it must hold a NATS USER JWT and a USER NKEY SEED, as nsc writes them")
    return jwt, seed


def _key(seed: str) -> bytes:
    with doubting(lambda reason: RefusedError(f"nkey: no seed of a user: {reason}")):
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        if len(raw) != 36 or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
            raise ValueError("it is not as it was made; copy all 58 characters of it")
        if raw[0] & 0xF8 != _SEED:
            raise ValueError('a seed begins with "S"; this is the public part')
        if (raw[0] & 7) << 5 | raw[1] >> 3 != _USER:
            raise ValueError('that of a user begins with "SU"')
        return raw[2:34]


def public_key(seed: str) -> str:
    """What the server knows the user by: "U…". Raises RefusedError for what is no seed of a user."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = bytes([_USER]) + Ed25519PrivateKey.from_private_bytes(_key(seed)).public_key().public_bytes_raw()
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def signed(seed: str, nonce: str) -> str:
    """The signature of what the server asks, in base64url (RFC 4648) without padding. Raises RefusedError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not nonce:
        raise RefusedError("nkey, credentials: the server asks for no signature; it knows no users by keys")
    with doubting(lambda reason: RefusedError(f"nkey: {cleaned(reason)}")):
        made = Ed25519PrivateKey.from_private_bytes(_key(seed)).sign(nonce.encode())
        return base64.urlsafe_b64encode(made).decode().rstrip("=")
