"""Logging in at a broker (SASL): PLAIN (RFC 4616), SCRAM (RFC 5802, RFC 7677), OAUTHBEARER (RFC 7628)."""

import asyncio
import base64
import hashlib
import hmac
import secrets
from typing import Any

from aiokafka.protocol.admin import SaslAuthenticateRequest, SaslHandShakeRequest

from gateway.plugin import RefusedError, cleaned, doubting, resolve

from .config import KafkaConfig
from .wire import BrokerLink

LEAST, MOST = 4096, 1_000_000
"""Rounds of a SCRAM password: fewer are no protection (RFC 7677), more would take minutes."""


async def log_in(link: BrokerLink, config: KafkaConfig) -> None:
    """As the configuration says; nothing where it names nobody. Raises RefusedError that says what to change."""
    if config.token is not None:
        token = resolve(config.token).strip()
        await _begin(link, "OAUTHBEARER")
        if trouble := await _say(link, "OAUTHBEARER", f"n,,\x01auth=Bearer {token}\x01\x01".encode()):
            raise RefusedError(f"broker {link.name} does not take the token: {cleaned(trouble)}")
    elif config.password is not None:
        password = resolve(config.password)
        await _begin(link, config.mechanism)
        if config.mechanism == "PLAIN":
            await _say(link, config.mechanism, f"\0{config.user}\0{password}".encode())
        else:
            await _scram(link, config.mechanism, config.user, password)


async def _begin(link: BrokerLink, mechanism: str) -> None:
    answer = await link.ask(SaslHandShakeRequest(mechanism))
    if answer.error_code:
        offered = ", ".join(sorted(map(cleaned, answer.enabled_mechanisms))) or "no login at all on this port"
        raise RefusedError(f"broker {link.name} does not offer {mechanism}; it offers {offered}")


async def _say(link: BrokerLink, mechanism: str, message: bytes) -> bytes:
    answer = await link.ask(SaslAuthenticateRequest(message))
    if answer.error_code:
        reason = cleaned(answer.error_message) if answer.error_message else "no reason given"
        raise RefusedError(f"broker {link.name} refuses the login by {mechanism}: {reason}; right user and password?")
    return bytes(answer.sasl_auth_bytes or b"")


async def _scram(link: BrokerLink, mechanism: str, user: str, password: str) -> None:
    name = "sha256" if mechanism == "SCRAM-SHA-256" else "sha512"
    nonce = secrets.token_urlsafe(24)
    begin = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
    challenge = (await _say(link, mechanism, f"n,,{begin}".encode())).decode("utf-8", "replace")
    with doubting(lambda reason: RefusedError(f"broker {link.name}: no proper answer to {mechanism}: {reason}")):
        told = dict(part.split("=", 1) for part in challenge.split(","))
        salt, rounds = base64.b64decode(told["s"], validate=True), int(told["i"])
        if not told["r"].startswith(nonce) or not LEAST <= rounds <= MOST:
            raise ValueError(f"another nonce than ours, or {rounds} rounds, not {LEAST} to {MOST}")
    salted = await asyncio.to_thread(hashlib.pbkdf2_hmac, name, password.encode(), salt, rounds)
    client = _sign(salted, b"Client Key", name)
    final = f"c=biws,r={told['r']}"
    signed = f"{begin},{challenge},{final}".encode()
    stored = hashlib.new(name, client).digest()
    proof = bytes(a ^ b for a, b in zip(client, _sign(stored, signed, name), strict=True))
    answer = await _say(link, mechanism, f"{final},p={base64.b64encode(proof).decode()}".encode())
    expected = b"v=" + base64.b64encode(_sign(_sign(salted, b"Server Key", name), signed, name))
    if not hmac.compare_digest(answer.split(b",")[0], expected):
        raise RefusedError(f"broker {link.name} does not know the password of {user} itself: is it the right cluster?")


def _sign(key: bytes, message: bytes, name: Any) -> bytes:
    return hmac.new(key, message, name).digest()
