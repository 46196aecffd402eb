"""An OpenID provider that the test holds in its hands: it lets everybody in at once, and can say anything."""

import asyncio
import base64
import hashlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLIENT, SECRET = "edge-gateway", "s3cret:of the house"


class Provider:
    """Attributes say what it does otherwise than it should."""

    def __init__(self) -> None:
        self.issuer = ""
        self.document: dict[str, Any] = {}
        """What it says of itself besides."""
        self.claims: dict[str, Any] = {}
        """Of the ID token besides; None takes one away."""
        self.token: Callable[[dict[str, Any]], str] = self.signed
        """Makes the ID token of its claims."""
        self.back: dict[str, str] = {}
        """What it sends a browser back with besides."""
        self.answers: dict[str, bytes] = {}
        """By path: raw bytes in place of what belongs there."""
        self.silent = False
        """Whether it takes connections and says nothing."""
        self.asked: Counter[str] = Counter()
        self.keys: dict[str, Any] = {}
        self.roll("first")
        self._begun: dict[str, dict[str, str]] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self.groups: list[str] = ["plant-engineers"]

    def roll(self, kid: str, *, curve: bool = False) -> None:
        """Another key; the one of before is shown no more."""
        made: Any = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
        self.keys = {kid: made}

    def signed(self, claims: dict[str, Any], **head: Any) -> str:
        (kid, key), *_ = self.keys.items()
        algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        return jwt.encode(claims, key, algorithm, headers={"kid": kid, **head})

    def public(self) -> list[dict[str, Any]]:
        """Its keys as it shows them."""
        shown = []
        for kid, key in self.keys.items():
            made: Any = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else None
            made = made or jwt.algorithms.RSAAlgorithm
            shown.append({**made.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"})
        return shown

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                (int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length")), 0
            )
            body = (await reader.readexactly(length)).decode()
            path = head.split(" ")[1]
            self.asked[urlsplit(path).path] += 1
            if self.silent:
                await reader.read()
                return
            writer.write(self.answers.get(urlsplit(path).path) or self._answer(path, head, body))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str, head: str, body: str) -> bytes:
        given = {key: values[0] for key, values in parse_qs(urlsplit(path).query or body).items()}
        match urlsplit(path).path:
            case "/.well-known/openid-configuration":
                return _json(self._said())
            case "/keys":
                return _json({"keys": [{"kty": "odd"}, *self.public()]})
            case "/auth":
                code = f"code-{len(self._codes)}"
                self._codes[code] = given
                back = {"code": code, "state": given["state"], **self.back}
                to = f"{given['redirect_uri']}?{urlencode(back)}"
                return (
                    f"HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
                )
            case "/token":
                return self._token(given, head)
        return _json({"error": "not_found"}, 404)

    def _said(self) -> dict[str, Any]:
        own = {"authorization": "auth", "token": "token"}
        ends = {f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in own.items()}
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", **ends, **self.document}

    def _token(self, given: dict[str, str], head: str) -> bytes:
        pair = base64.b64encode(b"edge-gateway:s3cret%3Aof+the+house").decode()
        if f"authorization: Basic {pair}".lower() not in head.lower():
            return _json({"error": "invalid_client"}, 401)
        asked = self._codes.pop(given["code"], None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(given["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != proof or asked["redirect_uri"] != given["redirect_uri"]:
            return _json({"error": "invalid_grant"}, 400)
        now = int(time.time())
        said = {
            "iss": self.issuer, "sub": "4711", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            "preferred_username": "김 anna", "groups": self.groups, **self.claims,
        }  # fmt: skip
        token = self.token({key: value for key, value in said.items() if value is not None})
        return _json({"access_token": "a", "token_type": "Bearer", "id_token": token})


def _json(value: Any, status: int = 200) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """One, at http://localhost:PORT: for a browser, another site than the page at 127.0.0.1."""
    found = Provider()
    server = await asyncio.start_server(found._serve, "127.0.0.1", 0)
    found.issuer = f"http://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
