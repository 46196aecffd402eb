"""A provider that says what it should not, is away, or rolls its keys: nobody comes in by that, and our own users go on."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from plugins.web.oidc import asking
from plugins.web.oidc import provider as provider_options
from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.people import PASSWORD, add
from plugins.web.tests.person import Person, Seen
from plugins.web.tests.provider import CLIENT, SECRET, Provider, provider


def options(issuer: str, folder: Path, roles: str = '"plant-engineers" = "engineer"', more: str = "") -> str:
    """Options of the page."""
    secret = folder / "client-secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    return (
        f'login_to_look = true\n[service.oidc]\nissuer = "{issuer}"\nclient_id = "{CLIENT}"\n'
        f'client_secret = {{ file = "{secret}" }}\nroles = {{ {roles} }}\n{more}'
    )


@asynccontextmanager
async def at(running: Running, folder: Path, more: str = "") -> AsyncIterator[tuple[Plant, Provider]]:
    async with provider() as found, running(options(found.issuer, folder, more=more)) as plant:
        yield plant, found


async def log_in(plant: Plant, person: Person | None = None) -> Seen:
    """From our login page to the provider, and to where that leads."""
    person = person or Person()
    return await person.click(await person.open(f"{plant.address}login"), "/login/oidc")


def refusals(plant: Plant) -> list[dict[str, Any]]:
    return [line for line in plant.site.audit() if line["action"] == "login.refused"]


async def test_a_login_by_the_provider_is_one_of_ours(running: Running, tmp_path: Path) -> None:
    async with at(running, tmp_path) as (plant, _):
        person = Person()
        seen = await log_in(plant, person)
        assert (seen.status, seen.url) == (200, plant.address)
        session = json.loads((await person.open(f"{plant.address}api/v1/session")).text)
        assert session["name"] == "김 anna (localhost, engineer)"
        assert session["csrf_token"]
        cookies = {cookie.name.partition("-")[0]: cookie for cookie in person.jar}
        assert cookies["session"].get_nonstandard_attr("SameSite") == "Strict"
        assert cookies["login"].get_nonstandard_attr("SameSite") == "Lax"
        (line,) = [line for line in plant.site.audit() if line["action"] == "login"]
        assert (line["who"], line["subject"]) == ("김 anna (localhost, engineer)", "4711")


def none(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none")


def by_the_public_key(found: Provider) -> Callable[[dict[str, Any]], str]:
    """HMAC, with what everybody knows for its secret."""
    (key,) = found.keys.values()
    secret = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def made(claims: dict[str, Any]) -> str:
        parts = b".".join(_part(json.dumps(each).encode()) for each in ({"alg": "HS256", "kid": "first"}, claims))
        return (parts + b"." + _part(hmac.digest(secret, parts, hashlib.sha256))).decode()

    return made


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def by_another_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": "first"})


def crit(found: Provider) -> Callable[[dict[str, Any]], str]:
    return lambda claims: found.signed(claims, crit=["exp"])


NOW = int(time.time())
WRONG: dict[str, tuple[Callable[[Provider], Any], str]] = {
    "nonce": (lambda found: found.claims.update(nonce="x"), "belongs to another login"),
    "no nonce": (lambda found: found.claims.update(nonce=None), "belongs to another login"),
    "nonce of a kind": (lambda found: found.claims.update(nonce=1), "belongs to another login"),
    "issuer": (lambda found: found.claims.update(iss="https://evil.example"), "another provider"),
    "audience": (lambda found: found.claims.update(aud="other"), "another client (aud)"),
    "audiences": (lambda found: found.claims.update(aud=[CLIENT, "other"]), "another client (azp)"),
    "azp": (lambda found: found.claims.update(azp="other"), "another client (azp)"),
    "expired": (lambda found: found.claims.update(exp=NOW - 3600, iat=NOW - 7200), "has expired"),
    "future": (lambda found: found.claims.update(iat=NOW + 7200, exp=NOW + 9000), "of the future"),
    "not yet": (lambda found: found.claims.update(nbf=NOW + 7200), "of the future"),
    "no expiry": (lambda found: found.claims.update(exp=None), "exp"),
    "no subject": (lambda found: found.claims.update(sub=None), "sub"),
    "subject of a kind": (lambda found: found.claims.update(sub={"a": 1}), "ubject"),
    "none": (lambda found: setattr(found, "token", none), "signed by none"),
    "public key": (lambda found: setattr(found, "token", by_the_public_key(found)), "signed by HS256"),
    "another key": (lambda found: setattr(found, "token", by_another_key), "signature is wrong"),
    "crit": (lambda found: setattr(found, "token", crit(found)), "crit"),
    "no token": (lambda found: setattr(found, "token", lambda _: 7), "no ID token"),
    "rubbish": (lambda found: setattr(found, "token", lambda _: "a.b.c"), "cannot be read"),
    "long": (lambda found: setattr(found, "token", lambda _: "a" * 100_000), "no ID token"),
    "back issuer": (lambda found: found.back.update(iss="https://evil.example"), "another login provider (iss)"),
    "state": (lambda found: found.back.update(state="x"), "begin anew"),
    "code": (lambda found: found.back.update(code="x"), "does not take this code"),
    "no": (lambda found: found.back.update(error="access_denied", error_description="a <b>\0"), "says no: access_denied a"),
    "no role": (lambda found: found.groups.clear(), "has no role here"),
    "groups of a kind": (lambda found: found.claims.update(groups={"plant-engineers": 1}), "has no role here"),
}  # fmt: skip


async def test_nobody_comes_in_by_what_is_wrong_and_each_is_told_and_audited(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.trust.logins.FREE", {1: 999, 2: 999, 3: 999})
    async with at(running, tmp_path) as (plant, found):
        for name, (spoil, why) in WRONG.items():
            before = found.claims, found.back, found.token, found.groups
            found.claims, found.back, found.groups = {}, {}, list(found.groups)
            spoil(found)
            person = Person()
            seen = await log_in(plant, person)
            assert (seen.status, seen.url.partition("?")[0]) == (403, f"{plant.address}login/oidc/back"), (
                name,
                seen.text,
            )
            assert why in seen.alert, name
            assert (await person.open(f"{plant.address}api/v1/status")).status == 401, name
            found.claims, found.back, found.token, found.groups = before
        assert (await log_in(plant)).status == 200
        told = refusals(plant)
        assert len({line["why"] for line in told}) > 18
        assert all(line["source"] == "127.0.0.1" for line in told)
        assert {line["who"] for line in told} == {"somebody", "김 anna"}


async def test_a_login_counts_in_the_browser_that_began_it_alone(running: Running, tmp_path: Path) -> None:
    async with at(running, tmp_path) as (plant, _):
        person = Person()
        await log_in(plant, person)
        begun = await plant.browser().get("/login/oidc")
        lured = await Person().open(begun.headers["location"])
        assert (lured.status, "another browser" in lured.alert) == (403, True)


async def test_who_fails_often_is_made_to_wait_and_our_own_users_are_not(running: Running, tmp_path: Path) -> None:
    async with at(running, tmp_path) as (plant, _):
        add(plant, "anna", "operator")
        seen = await Person().open(f"{plant.address}login/oidc/back?state=x&code=y")
        while seen.status == 403:
            seen = await Person().open(f"{plant.address}login/oidc/back?state=x&code=y")
        assert (seen.status, 0 < int(seen.headers["retry-after"]) <= 300) == (429, True)
        seen = await Person().open(f"{plant.address}login")
        seen = await Person().submit(seen, name="anna", password=PASSWORD)
        assert 1 <= len(refusals(plant)) < 5  # of one reason, once a minute


async def test_a_key_that_is_not_known_is_looked_for_once_a_minute(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_options, "ROLLED", 1e9)
    async with at(running, tmp_path) as (plant, found):
        assert (await log_in(plant)).status == 200
        assert found.asked["/keys"] == 1
        found.roll("second", curve=True)
        assert (await log_in(plant)).status == 200
        assert found.asked["/keys"] == 2
        found.token = lambda claims: found.signed(claims, kid="none such")
        for _ in range(2):
            seen = await log_in(plant)
            assert (seen.status, "does not show (kid)" in seen.alert) == (403, True)
        assert found.asked["/keys"] == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"[" * 100_000, "no JSON"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b" " * 900_000, "more than"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000, "does not speak HTTP"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://evil.example\r\ncontent-length: 0\r\n\r\n", "302, and no JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "cannot be meant"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull", "cannot be meant"),
    ],
)
async def test_rubbish_from_the_provider_is_told_in_a_sentence(
    running: Running, tmp_path: Path, answer: bytes, why: str
) -> None:
    async with at(running, tmp_path) as (plant, found):
        found.answers["/.well-known/openid-configuration"] = answer
        add(plant, "anna", "operator")
        person = Person()
        seen = await log_in(plant, person)
        assert (seen.status, why in seen.alert) == (503, True), seen.alert
        assert "anna (operator)" in (await person.submit(seen, name="anna", password=PASSWORD)).text
        service = (await plant.site.ask("status"))["services"][0]
        assert service["state"] == "up"


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 7},
        {"token_endpoint": None},
    ],
)
async def test_what_the_provider_says_of_itself_is_looked_at(
    running: Running, tmp_path: Path, document: dict[str, Any]
) -> None:
    async with at(running, tmp_path) as (plant, found):
        found.document = document
        seen = await log_in(plant)
        assert (seen.status, "the login provider" in seen.alert) == (503, True)


async def test_a_silent_provider_costs_its_own_login_alone(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.3)
    monkeypatch.setattr(provider_options, "PAUSE", 1e9)
    async with at(running, tmp_path) as (plant, found):
        found.silent = True
        seen = await log_in(plant)
        assert (seen.status, "does not answer within" in seen.alert) == (503, True)
        await plant.more_is_read()
        asked = found.asked.total()
        seen = await log_in(plant)  # told at once, without another try
        assert (seen.status, found.asked.total()) == (503, asked)


async def test_what_the_provider_said_is_kept_for_when_it_is_away(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart only what has to be asked anew is: who handed over a code is proven by the keys that were kept."""
    async with at(running, tmp_path) as (plant, found):
        assert (await log_in(plant)).status == 200
        kept = next(plant.site.path.rglob("oidc.json"))
        for path in ("/.well-known/openid-configuration", "/keys"):
            found.answers[path] = b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n"
        plant.site.config.write_text(
            plant.site.config.read_text().replace("login_to_look = true", "session_idle = '1h'")
        )
        await plant.site.ask("reload")
        plant.address = ""
        await plant.is_up()
        assert (await log_in(plant)).status == 200
        kept.write_bytes(b'{"issuer": []}')
        plant.site.config.write_text(
            plant.site.config.read_text().replace("session_idle = '1h'", "session_idle = '2h'")
        )
        await plant.site.ask("reload")
        plant.address = ""
        await plant.is_up()
        assert (await log_in(plant)).status == 503


async def test_who_loses_his_role_by_the_configuration_is_out_with_its_reload(running: Running, tmp_path: Path) -> None:
    async with at(running, tmp_path) as (plant, _):
        person = Person()
        assert (await log_in(plant, person)).status == 200
        port = plant.address.rstrip("/").rpartition(":")[2]
        changed = plant.site.config.read_text().replace("plant-engineers", "plant-others")
        plant.site.config.write_text(changed.replace("port = 0", f"port = {port}"))
        await plant.site.ask("reload")
        plant.address = ""
        await plant.is_up()
        assert (await person.open(f"{plant.address}api/v1/status")).status == 401
        seen = await log_in(plant, person)
        assert (seen.status, "has no role here" in seen.alert) == (403, True)


async def test_check_says_whether_the_provider_knows_the_gateway(tmp_path: Path) -> None:
    from plugins.web.config import WebConfig
    from plugins.web.service import Web

    async with provider() as found:
        secret = tmp_path / "secret"
        secret.touch(mode=0o600)
        secret.write_text(SECRET)
        said = {
            "issuer": found.issuer, "client_id": CLIENT, "client_secret": {"file": str(secret)}, "roles": {"a": "viewer"},
        }  # fmt: skip
        config = WebConfig.model_validate({"name": "page", "plugin": "web", "oidc": said})
        assert "takes client_id and client_secret" in await Web.check(config)
        secret.write_text("another")
        with pytest.raises(asking.ProviderError, match="does not take client_id or client_secret"):
            await Web.check(config)
