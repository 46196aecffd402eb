"""Every path answers every method of HTTP as it is documented: what it does, or 405 with what it would do."""

from typing import Any

import pytest
from starlette.routing import Mount, Router

from gateway.plugin.openapi import method_of
from plugins.web import app
from plugins.web.tests.browser import Browser, begun
from plugins.web.tests.conftest import Running
from plugins.web.tests.people import add, logged_in

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW")
DONE = {200, 204, 303}
REFUSED = {400, 401, 403, 404, 409, 415, 503}


async def status_of(browser: Browser, method: str, path: str) -> tuple[int, dict[str, str]]:
    """Of the head alone: a stream has no end."""
    async with browser.connected() as (reader, writer):
        writer.write(browser.request(method, path, x_csrf_token=browser.form))
        return await begun(reader)


async def test_every_path_answers_every_method(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    routers: list[Router] = []

    def made(routes: Any, **more: Any) -> Router:
        routers.append(Router(routes, **more))
        return routers[-1]

    monkeypatch.setattr(app, "Router", made)
    oidc = 'issuer = "http://127.0.0.1:9"\nclient_id = "x"\nroles = { a = "viewer" }'
    async with running(f"[service.oidc]\n{oidc}") as plant:
        add(plant, "anna", "viewer")
        allowed: dict[str, set[str]] = {}
        commands = {f"/api/v1/{name}": method_of(each) for name, each in plant.gateway._commands.table.items()}
        for path, method in commands.items():
            allowed[path] = {"GET", "HEAD"} if method == "get" else {"POST"}
        for route in routers[0].routes:
            if isinstance(route, Mount):
                assert route.path == "/apps/{app}"
                continue
            path = getattr(route, "path", "")
            if "{" not in path:
                allowed.setdefault(path, set()).update(getattr(route, "methods", None) or ())
        allowed["/api/v1/openapi.json"] = {"GET", "HEAD"}
        allowed["/api/v1/session"] = {"GET", "HEAD", "POST", "DELETE"}
        assert len(allowed) > 50
        for path, own in allowed.items():
            for method in METHODS:
                browser = await logged_in(plant, "anna") if path in ("/logout", "/api/v1/session") else plant.browser()
                status, headers = await status_of(browser, method, path)
                if method in own:
                    assert status in DONE | REFUSED, (method, path, status)
                else:
                    assert status == 405, (method, path, status)
                    assert {each.strip() for each in headers["allow"].split(",")} == own, (method, path)
                assert "content-security-policy" in headers
        for method in METHODS:
            assert (await status_of(plant.browser(), method, "/no/such"))[0] == 404, method
            assert (await status_of(plant.browser(), method, "/api/v1/nothing"))[0] == 404, method


async def test_a_head_is_its_get_without_a_body(running: Running) -> None:
    """Of streams too, which otherwise would hold a place of a hundred for ever."""
    async with running() as plant:
        for path in ("/", "/login", "/metrics", "/healthz", "/api/v1/status", "/api/v1/stream/values", "/no/such"):
            async with plant.browser().connected() as (reader, writer):
                writer.write(plant.browser().request("HEAD", path))
                status, headers = await begun(reader)
                assert await reader.read() == b"", path  # and it closes
            got, known = await status_of(plant.browser(), "GET", path)
            assert (status, headers.get("content-type")) == (got, known.get("content-type")), path
