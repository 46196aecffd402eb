"""`/api/v1` answers as the control socket does, to those who may."""

import asyncio
import csv
import io
import json
from typing import Any

import pytest

from gateway.core.command import VIEWER, Declared
from gateway.operate.commands import TABLE
from gateway.plugin.openapi import method_of
from gateway.trust.access import ALL, including
from plugins.web import described
from plugins.web.guard import BODY
from plugins.web.tests.browser import Answer, Browser, answer
from plugins.web.tests.conftest import Running
from plugins.web.tests.people import PASSWORD, add, change, logged_in, token
from tests.app.plant import device


async def ask(browser: Browser, name: str, declared: Declared, **headers: str) -> Answer:
    """As the method of the command is, without any argument."""
    path = f"/api/v1/{name}"
    return await (browser.get(path, **headers) if method_of(declared) == "get" else browser.post(path, {}, **headers))


async def test_every_command_is_for_who_has_its_role_and_for_nobody_else(running: Running) -> None:
    """The matrix, from the table: each command of the gateway, and of its services, with each role and none."""
    async with running("login_to_look = true") as plant:
        add(plant, "anna", *ALL)
        tokens = {role: token(plant, "anna", role) for role in ALL}
        table = plant.gateway._commands.table
        assert table.keys() > TABLE.keys()
        for name, declared in table.items():
            assert (await ask(plant.browser(), name, declared)).status == 401, name
            for role in ALL:
                if name in ("reload", "dead_retry", "dead_drop", "drain") and declared.role in including([role]):
                    continue  # they need no argument, so they would be done
                got = await ask(plant.browser(), name, declared, authorization=f"Bearer {tokens[role]}")
                if declared.role not in including([role]):
                    assert got.status == 403, (name, role, got)
                    assert f"needs the role {declared.role}" in got.detail
                else:
                    needs = any(argument.needed for argument in declared.arguments.values())
                    assert got.status == (400 if needs else 200), (name, role, got)


async def test_on_this_machine_anybody_looks_and_nobody_changes_anything(running: Running) -> None:
    async with running() as plant:
        for name, declared in plant.gateway._commands.table.items():
            needs = any(argument.needed for argument in declared.arguments.values())
            expected = 401 if declared.role != VIEWER else 400 if needs else 200
            assert (await ask(plant.browser(), name, declared)).status == expected, name


async def test_it_answers_what_the_socket_answers(running: Running) -> None:
    async with running() as plant:
        browser = plant.browser()
        status = (await browser.get("/api/v1/status")).json()
        assert status.keys() == (await plant.site.ask("status")).keys()
        (first, second) = (await browser.get("/api/v1/tags?device=oven")).json()["items"]
        assert (first["tag"], first["unit"], second["tag"]) == ("temp", "°C", "speed")
        got = await browser.get("/api/v1/receipts?from_ns=0&to_ns=1")
        assert (got.status, got.json()["items"]) == (200, [])


async def test_lists_come_in_pages(running: Running) -> None:
    async with running("", device("press"), device("mill")) as plant:
        while len(await plant.site.ask("tags")) < 6:
            await plant.more_is_read()
        path: str | None = "/api/v1/tags?limit=4"
        seen = []
        while path:
            page = (await plant.browser().get(path)).json()
            assert len(page["items"]) <= 4
            seen += [(row["device"], row["tag"]) for row in page["items"]]
            path = page["next"]
        assert len(seen) == len(set(seen)) == 6


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=-1", "limit=1e9", "limit=999999999", "offset=-1", "limit=٣"]
)
async def test_a_page_that_there_cannot_be_is_refused(running: Running, query: str) -> None:
    async with running() as plant:
        got = await plant.browser().get(f"/api/v1/tags?{query.encode().hex() if not query.isascii() else query}")
        assert got.status == 400


async def test_a_table_comes_as_csv_that_no_spreadsheet_takes_for_formulas(running: Running) -> None:
    async with running("", device("=cmd", tags="[device.tags]\n'@x' = {}\n")) as plant:
        got = await plant.browser().get("/api/v1/tags", accept="text/csv")
        assert got.headers["content-type"] == "text/csv; charset=utf-8"
        assert got.headers["content-disposition"] == "attachment"
        rows = list(csv.DictReader(io.StringIO(got.body.decode("utf-8-sig"))))
        assert {(row["device"], row["tag"]) for row in rows} == {("oven", "temp"), ("oven", "speed"), ("'=cmd", "'@x")}
        assert rows[0]["good"] in ("true", "false")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b'{"device":' * 20 + b"1" + b"}" * 20, 400),
        (b"[1]", 400),
        (b"\xff\xfe", 400),
        (b'{"alarm": NaN}', 400),
        (b'{"alarm": ' + b"9" * 5_000 + b"}", 400),
        (b'{"alarm": "' + b"x" * 2_000 + b'"}', 400),
        (b'{"alarm": "\\ud800"}', 400),
        (b'{"no": 1}', 400),
        (b'{"alarm": "none/such"}', 409),
    ],
    ids=["deep", "nested", "list", "binary", "nan", "digits", "long", "surrogate", "unknown", "no such"],
)
async def test_a_body_that_cannot_be_meant_is_refused_in_words(running: Running, body: bytes, status: int) -> None:
    async with running() as plant:
        add(plant, "anna", "operator")
        headers = {"authorization": f"Bearer {token(plant, 'anna', 'operator')}"}
        got = await plant.browser().ask("POST", "/api/v1/acknowledge", body, content_type="application/json", **headers)
        assert got.status == status
        assert got.detail
        got = await plant.browser().ask("POST", "/api/v1/acknowledge", body, content_type="text/plain", **headers)
        assert got.status == 415


async def test_a_gigabyte_in_pieces_is_refused_while_it_comes(running: Running) -> None:
    async with running() as plant, plant.browser().connected() as (reader, writer):
        add(plant, "anna", "operator")
        secret = token(plant, "anna", "operator")
        head = f"POST /api/v1/acknowledge HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {secret}"
        writer.write(f"{head}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        piece = b"%x\r\n%s\r\n" % (32_768, b" " * 32_768)
        sending = asyncio.create_task(_send(writer, piece))
        got = await answer(reader)
        sending.cancel()
        assert (got.status, got.headers["connection"]) == (413, "close")
        assert str(BODY) in got.detail
        await plant.more_is_read()


async def _send(writer: asyncio.StreamWriter, piece: bytes) -> None:
    for _ in range((1 << 30) // len(piece)):
        writer.write(piece)
        await writer.drain()


async def test_what_is_done_is_audited_by_who_did_it_and_as_what(running: Running) -> None:
    async with running() as plant:
        add(plant, "anna", "engineer")
        browser = await logged_in(plant, "anna")
        got = await browser.post("/api/v1/reload", {})
        assert (got.status, got.json()) == (200, {"applied": True, "changes": []})
        got = await browser.post("/api/v1/dead_drop", {})
        assert got.status == 403
        trail = [(line["action"], line["who"]) for line in plant.site.audit()]
        assert ("login", "anna (engineer)") in trail
        assert ("config.reload", "anna (engineer)") in trail
        assert ("access.refused", "anna (engineer)") in trail


async def test_a_login_counts_with_its_forms_secret_alone(running: Running) -> None:
    async with running() as plant:
        add(plant, "anna", "engineer")
        browser = await logged_in(plant, "anna")
        form, browser.form = browser.form, ""
        assert "x-csrf-token" in (await browser.post("/api/v1/reload", {})).detail
        assert (await browser.post("/api/v1/reload", {}, x_csrf_token=form[:-1] + "!")).status == 403
        assert (await browser.post("/api/v1/reload", {}, x_csrf_token=form, origin="http://evil.example")).status == 403
        own = f"http://127.0.0.1:{browser.port}"
        assert (await browser.post("/api/v1/reload", {}, x_csrf_token=form, origin=own)).status == 200


async def test_a_cookie_is_for_our_pages_alone(running: Running) -> None:
    async with running() as plant:
        add(plant, "anna", "viewer")
        got = await plant.browser().post("/api/v1/session", {"name": "anna", "password": PASSWORD})
        name, _, rest = got.headers["set-cookie"].partition("=")
        assert name == f"session-{plant.browser().port}"
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in rest.split(";")}


async def test_a_stolen_session_is_worth_nothing_after_log_out(running: Running) -> None:
    async with running("login_to_look = true") as plant:
        add(plant, "anna", "viewer")
        browser = await logged_in(plant, "anna")
        stolen = dict(browser.cookies)
        assert (await browser.get("/api/v1/status")).status == 200
        assert (await browser.ask("DELETE", "/api/v1/session", x_csrf_token=browser.form)).status == 200
        thief = plant.browser()
        thief.cookies = stolen
        assert (await thief.get("/api/v1/status")).status == 401


async def test_a_disabled_user_is_out_at_once_with_all_tokens(running: Running) -> None:
    async with running("login_to_look = true") as plant:
        add(plant, "anna", "viewer")
        browser, secret = await logged_in(plant, "anna"), token(plant, "anna", "viewer")
        assert (await plant.browser().get("/metrics", authorization=f"Bearer {secret}")).status == 200
        change(plant, "anna", disabled=True)
        assert (await browser.get("/api/v1/status")).status == 401
        got = await plant.browser().get("/metrics", authorization=f"Bearer {secret}")
        assert (got.status, got.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert (await plant.browser().post("/api/v1/session", {"name": "anna", "password": PASSWORD})).status == 401
        refused = [line for line in plant.site.audit() if line["action"] == "login.refused"]
        assert {line["why"] for line in refused} == {"its user anna is disabled", "disabled"}


async def test_a_token_may_only_what_it_was_made_for(running: Running) -> None:
    async with running() as plant:
        add(plant, "anna", "engineer")
        headers = {"authorization": f"Bearer {token(plant, 'anna', 'engineer', only=('status',))}"}
        assert (await plant.browser().get("/api/v1/status", **headers)).status == 200
        got = await plant.browser().get("/api/v1/tags", **headers)
        assert (got.status, "nothing but: status" in got.detail) == (403, True)
        assert (await plant.browser().get("/metrics", **headers)).status == 200
        other = {"authorization": f"Bearer {token(plant, 'anna', 'engineer', only=('tags',))}"}
        for path in ("/", "/parts", "/metrics", "/system", "/device?name=oven", "/api/v1/stream/events"):
            assert (await plant.browser().get(path, **other)).status == 403, path
        assert (await plant.browser().post("/api/v1/reload", {}, **headers)).status == 403


async def test_who_guesses_is_made_to_wait(running: Running) -> None:
    async with running() as plant:
        add(plant, "anna", "viewer")
        for _ in range(5):
            got = await plant.browser().post("/api/v1/session", {"name": "anna", "password": "wrong"})
            assert (got.status, got.detail) == (401, "name or password is wrong")
        got = await plant.browser().post("/api/v1/session", {"name": "anna", "password": PASSWORD})
        while got.status == 200:  # the machine stood still for longer than the wait
            await plant.browser().post("/api/v1/session", {"name": "anna", "password": "wrong"})
            got = await plant.browser().post("/api/v1/session", {"name": "anna", "password": PASSWORD})
        assert got.status == 429
        assert 0 < int(got.headers["retry-after"]) <= 300


@pytest.mark.parametrize(
    "value", [None, [], {"name": "anna"}, {"name": 1, "password": "x"}, {"name": "a", "password": "b", "c": 1}]
)
async def test_a_login_that_is_none_is_told(running: Running, value: Any) -> None:
    async with running() as plant:
        assert (await plant.browser().post("/api/v1/session", value)).status == 400


async def test_the_wrong_method_names_the_right_one(running: Running) -> None:
    async with running() as plant:
        got = await plant.browser().get("/api/v1/reload")
        assert (got.status, got.headers["allow"]) == (405, "POST")
        got = await plant.browser().post("/api/v1/status", {})
        assert (got.status, got.headers["allow"]) == (405, "GET, HEAD")
        got = await plant.browser().ask("OPTIONS", "/api/v1/session")
        assert (got.status, got.headers["allow"]) == (405, "GET, HEAD, POST, DELETE")
        assert (await plant.browser().ask("PUT", "/api/v1/status")).status == 405
        assert (await plant.browser().get("/api/v1/nothing")).status == 404


async def test_it_says_what_it_can_in_openapi(running: Running) -> None:
    async with running() as plant:
        said = (await plant.browser().get("/api/v1/openapi.json")).json()
        assert said["openapi"] == "3.1.0"
        assert said["paths"].keys() == {f"/{name}" for name in plant.gateway._commands.table} | described.PATHS.keys()
        write = said["paths"]["/write"]["post"]
        schema = write["requestBody"]["content"]["application/json"]["schema"]
        assert schema["required"] == ["device", "tag", "value", "reason"]
        assert "engineer" in write["description"]
        assert said["paths"]["/tags"]["get"]["parameters"][0]["schema"] == {"type": "string", "maxLength": 1000}
        assert all(operation["summary"] for path in said["paths"].values() for operation in path.values())


async def test_a_bug_is_told_as_one_and_ends_nothing(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as plant:

        async def broken(by: Any) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setitem(plant.gateway._commands._bodies, "alarms", broken)
        got = await plant.browser().get("/api/v1/alarms")
        assert (got.status, "secret" in got.detail) == (500, False)
        assert (await plant.browser().get("/api/v1/models")).status == 200


async def test_what_has_begun_goes_on_when_its_browser_goes(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as plant:
        add(plant, "anna", "engineer")
        begun, done, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def slow(by: Any) -> None:
            begun.set()
            await go.wait()
            done.set()

        monkeypatch.setitem(plant.gateway._commands._bodies, "reload", slow)
        browser = await logged_in(plant, "anna")
        async with browser.connected() as (_, writer):
            writer.write(
                browser.request(
                    "POST", "/api/v1/reload", b"{}", content_type="application/json", x_csrf_token=browser.form
                )
            )
            await begun.wait()
        go.set()
        await done.wait()


async def test_a_reload_that_exchanges_the_page_is_carried_out(running: Running) -> None:
    async with running() as plant:
        add(plant, "anna", "engineer")
        browser = await logged_in(plant, "anna")
        config = plant.site.config.read_text()
        plant.site.config.write_text(config.replace('name = "page"', 'name = "page"\nlogin_to_look = true'))
        async with browser.connected() as (reader, writer):
            writer.write(
                browser.request(
                    "POST", "/api/v1/reload", b"{}", content_type="application/json", x_csrf_token=browser.form
                )
            )
            await reader.read()
        while not any(line["action"] == "config.reload.result" for line in plant.site.audit()):
            await plant.more_is_read()
        plant.address = ""
        await plant.is_up()
        while (await plant.browser().get("/api/v1/status")).status != 401:
            await plant.more_is_read()
        browser.address, browser.port = plant.address, plant.browser().port
        assert json.loads((await plant.browser().get("/readyz")).body)["ready"]
