"""Logins by a provider that is not our own code, and certified: oidc-provider. Real requests, real forms."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.people import PASSWORD, add
from plugins.web.tests.person import Person, Seen
from tests.peers.oidc_provider import CLIENT, SECRET, oidc_provider, require_oidc_provider

ROLES = {f"plant-{role}": role for role in ("viewer", "operator", "engineer", "quality", "admin")}
PEOPLE = {role: [f"plant-{role}"] for role in ROLES.values()} | {"stranger": ["other"], "both": list(ROLES)[1:3]}


def options(issuer: str, folder: Path, **more: object) -> str:
    """Options of the page."""
    secret = folder / "client-secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(SECRET)
    roles = ", ".join(f'"{value}" = "{role}"' for value, role in ROLES.items())
    said = {"issuer": issuer, "client_id": CLIENT, "scopes": ["openid", "profile", "groups"], **more}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items())
    return (
        f'login_to_look = true\n[service.oidc]\n{lines}client_secret = {{ file = "{secret}" }}\nroles = {{ {roles} }}'
    )


@asynccontextmanager
async def judged(running: Running, folder: Path, *, in_userinfo: bool = False) -> AsyncIterator[Plant]:
    require_oidc_provider()
    async with (
        oidc_provider(PEOPLE, in_userinfo=in_userinfo) as provider,
        running(options(provider.issuer, folder)) as plant,
    ):
        await provider.serve(f"{plant.address.rstrip('/')}/login/oidc/back")
        yield plant


async def logged_in(plant: Plant, name: str) -> tuple[Person, Seen]:
    """From our own page over the provider's forms and back; who goes, and what he sees then."""
    person = Person()
    seen = await person.open(plant.address)
    assert seen.url.endswith("/login")
    seen = await person.click(seen, "/login/oidc")
    seen = await person.submit(seen, login=name, password="anything")  # its form to log in
    return person, await person.submit(seen)  # its form to agree


@pytest.mark.parametrize("in_userinfo", [False, True], ids=["ID token", "userinfo"])
async def test_who_is_known_to_the_provider_is_in_with_the_role_of_his_group(
    running: Running, tmp_path: Path, in_userinfo: bool
) -> None:
    async with judged(running, tmp_path, in_userinfo=in_userinfo) as plant:
        for name in (*ROLES.values(), "both"):
            person, seen = await logged_in(plant, name)
            roles = "operator, engineer" if name == "both" else name
            assert (seen.status, seen.url) == (200, plant.address)
            assert f"{name} (127.0.0.1, {roles})" in seen.text
            told = json.loads((await person.open(f"{plant.address}api/v1/session")).text)
            assert told["name"] == f"{name} (127.0.0.1, {roles})"
            assert set(told["roles"]) >= set(roles.split(", "))
        person, seen = await logged_in(plant, "stranger")
        assert (seen.status, seen.alert) == (
            403, "stranger has no role here: no value of &quot;groups&quot; stands in oidc.roles",
        )  # fmt: skip
        trail = plant.site.audit()
        logins = [line for line in trail if line["action"] == "login"]
        assert [line["subject"] for line in logins] == [*ROLES.values(), "both"]
        assert logins[-1]["who"] == "both (127.0.0.1, operator, engineer)"
        (refused,) = [line for line in trail if line["action"] == "login.refused"]
        assert (refused["who"], refused["provider"]) == ("stranger", logins[0]["provider"])


async def test_a_log_out_ends_our_session_and_a_callback_counts_once(running: Running, tmp_path: Path) -> None:
    async with judged(running, tmp_path) as plant:
        person, seen = await logged_in(plant, "engineer")
        again = next(url for url in person.visited if "/login/oidc/back?" in url)
        seen = await person.submit(seen)  # the log-out of the header
        assert seen.url.endswith("/login")
        assert (await person.open(f"{plant.address}api/v1/status")).status == 401
        seen = await person.open(again)
        assert (seen.status, "begin anew" in seen.alert) == (403, True)
        assert (await person.open(f"{plant.address}api/v1/status")).status == 401
        assert [line["action"] for line in plant.site.audit() if "log" in line["action"]] == [
            "login", "logout", "login.refused",
        ]  # fmt: skip


async def test_a_user_of_ours_logs_in_as_before(running: Running, tmp_path: Path) -> None:
    async with judged(running, tmp_path) as plant:
        add(plant, "anna", "operator")
        person = Person()
        seen = await person.open(plant.address)
        seen = await person.submit(seen, name="anna", password=PASSWORD)
        assert "anna (operator)" in seen.text
