"""`/api/v1`: each command of the gateway's table, asked for as the control socket does it: the same checks, roles, audit."""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.plugin import (
    Actor,
    Declared,
    ForbiddenError,
    GatewayError,
    RequestError,
    ServiceHost,
    cleaned,
    for_spreadsheet,
    parse_json,
    to_json,
)
from gateway.plugin.openapi import BASE, LIMIT, LONGEST, document, from_query, method_of

from . import described
from .guard import BODY, SAFE
from .replies import Refusal, reply
from .visitors import Visitors, login_needed

DEPTH = 16
"""Levels that a request may be nested."""
AT_ONCE = 16
"""Commands that wait for a device or a disk at the same time; further ones wait, as many as there are connections."""
MANY = 500
"""Entries of a list beyond which it is written in a thread."""


class Api:
    """The routes below `/api/v1`."""

    def __init__(self, host: ServiceHost, visitors: Visitors) -> None:
        self._host = host
        self._visitors = visitors
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            _of_any_method(f"{BASE}/openapi.json", self.openapi),
            _of_any_method(f"{BASE}/session", self.session),
            _of_any_method(f"{BASE}/{{command}}", self.command),
        ]

    async def openapi(self, request: Request) -> Response:
        if request.method not in SAFE:
            raise Refusal(405, "ask for it by GET", {"allow": ", ".join(SAFE)})
        await self._visitors.must_be(request)
        return reply(document(self._host.commands, self._host.gateway, self._host.version, described.PATHS))

    async def session(self, request: Request) -> Response:
        """One's own: ask for it, begin it, end it."""
        methods = {"GET": self._who, "HEAD": self._who, "POST": self._log_in, "DELETE": self._log_out}
        if request.method not in methods:
            raise Refusal(405, "ask for it by GET, log in by POST, log out by DELETE", {"allow": ", ".join(methods)})
        return await methods[request.method](request)

    async def _who(self, request: Request) -> Response:
        """Who one is, and what a browser has to send with what it asks for."""
        session = self._visitors.session(request)
        actor = await self._visitors.must_be(request)
        form = session.form if session is not None and session.actor is actor else None
        return reply({"name": actor.name, "roles": sorted(actor.roles), "csrf_token": form})

    async def _log_in(self, request: Request) -> Response:
        given = await _json(request)
        name, password = given.get("name"), given.get("password")
        if not isinstance(name, str) or not isinstance(password, str) or len(given) != 2:
            raise Refusal(400, 'a login is {"name": …, "password": …}')
        session, cookie = await self._visitors.log_in(request, name, password)
        said = {"name": session.actor.name, "roles": sorted(session.actor.roles), "csrf_token": session.form}
        return reply(said, headers={"set-cookie": cookie})

    async def _log_out(self, request: Request) -> Response:
        session = self._visitors.session(request)
        await self._visitors.must_be(request)
        if session is not None:
            await self._visitors.people.log_out(session.key)
        return reply(None, headers={"set-cookie": self._visitors.forgotten(request)})

    async def command(self, request: Request) -> Response:
        actor = await self._visitors.must_be(request)
        name = request.path_params["command"]
        declared = self._host.commands.get(name)
        if declared is None:
            raise Refusal(404, "there is no such command: /api/v1/openapi.json lists them")
        allowed = ("GET", "HEAD") if method_of(declared) == "get" else ("POST",)
        if request.method not in allowed:
            raise Refusal(405, f"ask for it by {allowed[0]}", {"allow": ", ".join(allowed)})
        limit, offset = _number(request, "limit", LIMIT, 1, LONGEST), _number(request, "offset", 0, 0, 10**9)
        arguments = await self._arguments(request, declared)
        answer = await self.ask(actor, name, arguments, at_once=declared.at_once)
        headers = {"gateway-remark": "; ".join(map(_ascii, actor.remarks))} if actor.remarks else {}
        if isinstance(answer, Iterator | list | tuple):
            return await self._list(request, answer, limit, offset, headers)
        return reply(answer, headers=headers)

    async def ask(self, actor: Actor, name: str, arguments: Mapping[str, Any], *, at_once: bool) -> Any:
        """Its answer. Raises Refusal. What has begun goes on when the browser goes, or when it exchanges this very page."""
        if at_once:
            return await self._asked(actor, name, arguments)
        async with self._turns:
            task = asyncio.create_task(self._asked(actor, name, arguments))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # told to who asked, if he is there
            return await asyncio.shield(task)

    async def _asked(self, actor: Actor, name: str, arguments: Mapping[str, Any]) -> Any:
        try:
            return await self._host.ask(actor, name, arguments)
        except ForbiddenError as error:
            if self._visitors.may_look and actor.name.startswith("anybody"):
                raise login_needed() from None
            raise Refusal(403, str(error)) from None
        except RequestError as error:
            raise Refusal(400, str(error)) from None
        except GatewayError as error:
            raise Refusal(409, str(error)) from None

    async def _arguments(self, request: Request, declared: Declared) -> dict[str, Any]:
        if request.method == "POST":
            return await _json(request)
        given: dict[str, Any] = {}
        for key in request.query_params:
            if key in ("limit", "offset"):
                continue
            said = request.query_params.getlist(key)
            given[key] = from_query(declared.arguments[key], said) if key in declared.arguments else said
        return given

    async def _list(self, request: Request, answer: Any, limit: int, offset: int, headers: dict[str, str]) -> Response:
        total = None if isinstance(answer, Iterator) else len(answer)
        some = list(islice(answer, offset, offset + limit + 1))
        items, more = some[:limit], len(some) > limit
        if _wants_csv(request):
            data = await asyncio.to_thread(_csv, items)
            return Response(data, headers={**headers, "content-disposition": "attachment"}, media_type="text/csv")
        following = {**dict(request.query_params), "limit": limit, "offset": offset + limit}
        body = {
            "items": items,
            "total": total,
            "next": f"{request.url.path}?{urlencode(following)}" if more else None,
        }
        data = await asyncio.to_thread(to_json, body) if len(items) > MANY else to_json(body)
        return Response(data, headers=headers, media_type="application/json")


def _of_any_method(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
    """A route whose endpoint says itself which methods are meant: that depends on what is asked for."""
    route = Route(path, endpoint)
    route.methods = None  # as Starlette has it for endpoints that are applications
    return route


async def _json(request: Request) -> dict[str, Any]:
    """The body as a table. Raises Refusal."""
    data = await request.body()
    if not data:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "send it as application/json")
    try:
        given = parse_json(data, size=BODY, depth=DEPTH)
    except ValueError as error:
        raise Refusal(400, f"not understood: {cleaned(error, 200)}") from None
    if not isinstance(given, dict):
        raise Refusal(400, "not understood: arguments are a table, {…}")
    return given


def _number(request: Request, name: str, default: int, low: int, high: int) -> int:
    said = request.query_params.get(name, str(default))
    if not (said.isascii() and said.isdecimal()) or len(said) > 10 or not low <= int(said) <= high:
        raise Refusal(400, f"{name} must be a whole number from {low} to {high}")
    return int(said)


def _wants_csv(request: Request) -> bool:
    accepted = request.headers.get("accept", "").lower()
    at = accepted.find("text/csv")
    return at >= 0 and not -1 < accepted.find("application/json") < at


def _csv(items: Sequence[Any]) -> bytes:
    """A table, with what stands within an entry as JSON; a byte order mark, so that spreadsheet programs read UTF-8."""
    rows = [each if isinstance(each, dict) else {"value": each} for each in items]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode(errors="replace")


def _cell(value: Any) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return for_spreadsheet(to_json(value).decode() if isinstance(value, dict | list) else value)


def _ascii(text: str) -> str:
    return cleaned(text).encode("ascii", "replace").decode()
