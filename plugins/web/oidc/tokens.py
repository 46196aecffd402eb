"""Whether an ID token is the provider's, and meant for us (OpenID Connect Core 1.0, 3.1.3.7).

Signatures count only by the algorithms below, all of them with a public key: "none", and HMAC, for which anybody could take
that public key as the secret, are refused before a key is looked at.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from gateway.plugin import GatewayError, cleaned, doubting

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
SKEW = 60
"""Seconds by which the clocks of the provider and of this machine may differ."""
LONGEST = 64 * 1024
"""Characters of a token."""
KEYS = 100
"""Of a provider; a real one has two or three."""
_RSA = 340, 1400
"""Characters of an RSA modulus in base64url: from 2048 bits, which is safe, to 8192, which is still quick."""

Key = Mapping[str, Any]
"""A JSON Web Key (RFC 7517)."""


class TokenError(GatewayError):
    """The token does not count, and why."""


class UnknownKeyError(TokenError):
    """It is signed by a key that the provider had not shown when it was asked last."""


def usable(keys: Any) -> list[Key]:
    """Of a JWK set the keys that may have signed something; an odd one costs itself alone. Raises TokenError for what is no
    set of keys."""
    with doubting(TokenError):
        found: list[Key] = [key for key in keys["keys"][:KEYS] if isinstance(key, dict) and _is_usable(key)]
    if not found:
        raise TokenError("it shows no key that is fit to sign")
    return found


def _is_usable(key: Key) -> bool:
    if key.get("use", "sig") != "sig" or key.get("kty") not in ("RSA", "EC", "OKP"):
        return False
    if key["kty"] == "RSA":
        n, e = key.get("n"), key.get("e")
        return isinstance(n, str) and isinstance(e, str) and _RSA[0] <= len(n) <= _RSA[1] and len(e) <= 6
    return isinstance(key.get("x"), str) and len(key["x"]) <= 100


def claims(token: Any, keys: Sequence[Key], issuer: str, client: str, nonce: str) -> Mapping[str, Any]:
    """What the token says, once all of it is proven. Takes a moment, so have a thread do it. Raises TokenError, and
    UnknownKeyError where a look at the provider's keys of today may help."""
    if not isinstance(token, str) or len(token) > LONGEST:
        raise TokenError("the login provider sent no ID token")
    with doubting(lambda reason: TokenError(f"the ID token cannot be read: {reason}")):
        head = jwt.get_unverified_header(token)
        if head.get("alg") not in ALGORITHMS:
            raise TokenError(f"the ID token is signed by {cleaned(head.get('alg'), 20)}, which proves nothing here")
        if "crit" in head or "b64" in head:
            raise TokenError("the ID token asks for what nobody here knows (crit)")
        said = _proven(token, head, keys, issuer, client)
    if not isinstance(said.get("nonce"), str) or not hmac.compare_digest(said["nonce"].encode(), nonce.encode()):
        raise TokenError("the ID token belongs to another login (nonce)")
    several = isinstance(said["aud"], list) and len(said["aud"]) > 1
    if (several or "azp" in said) and said.get("azp") != client:
        raise TokenError("the ID token was made for another client (azp)")
    if not isinstance(said["sub"], str) or not 0 < len(said["sub"]) <= 255:
        raise TokenError("the ID token names nobody (sub)")
    return said


def _proven(token: str, head: Mapping[str, Any], keys: Sequence[Key], issuer: str, client: str) -> dict[str, Any]:
    """By the first key that fits."""
    algorithm, kid = head["alg"], head.get("kid")
    fitting = [key for key in keys if (kid is None or key.get("kid") == kid) and key.get("alg", algorithm) == algorithm]
    refused: Exception | None = None
    for key in fitting:
        try:
            return _decoded(token, jwt.PyJWK(dict(key), algorithm=algorithm), issuer, client)
        except (jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.PyJWKError) as error:
            refused = error
    if refused is None:
        raise UnknownKeyError("the ID token is signed by a key that the login provider does not show (kid)")
    if kid is None:
        raise UnknownKeyError("the ID token is signed by none of the keys that the login provider shows") from refused
    raise TokenError("the ID token's signature is wrong") from refused


def _decoded(token: str, key: jwt.PyJWK, issuer: str, client: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            token, key, algorithms=[key.algorithm_name], audience=client, issuer=issuer, leeway=SKEW,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )  # fmt: skip
    except jwt.ExpiredSignatureError as error:
        raise TokenError("the ID token has expired by the clock of this machine (exp): is it right?") from error
    except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError) as error:
        raise TokenError("the ID token is of the future by the clock of this machine (iat): is it right?") from error
    except jwt.InvalidIssuerError as error:
        raise TokenError("the ID token is another provider's (iss)") from error
    except jwt.InvalidAudienceError as error:
        raise TokenError("the ID token was made for another client (aud)") from error
