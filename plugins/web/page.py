"""The first page, and forms of alarms: HTML from the server, which works without JavaScript, and is live with it."""

from collections.abc import Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.plugin import Actor, GatewayError, ServiceHost, cleaned, seen_by

from .api import Api
from .document import Documents, filled_in, to
from .html import Html, tag
from .replies import Refusal, reply
from .screen import View, alarm_address, overview, parts, tags_table
from .visitors import Visitors, must_cover
from .words import Words

ROWS = 200
"""Tags on a page."""


class Page:
    """The page's routes and answers."""

    def __init__(self, host: ServiceHost, visitors: Visitors, api: Api, documents: Documents) -> None:
        self._host = host
        self._visitors = visitors
        self._api = api
        self._documents = documents

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/", self.first),
            Route("/parts", self.parts),
            Route("/acknowledge", self.acknowledge, methods=["POST"]),
            Route("/shelve", self.shelve, methods=["POST"]),
        ]

    async def first(self, request: Request) -> Response:
        actor = await self._visitors.actor(request)
        if actor is None:
            return to("/login")
        must_cover(actor, "status")
        word = self._documents.words(request)
        view = await self._view(request, actor, word)
        return self._documents.page(request, word, overview(parts(view), await self._tags(request, actor, word)))

    async def parts(self, request: Request) -> Response:
        """What changes, for the page's own script; that it asks keeps no login going."""
        actor = await self._visitors.actor(request, used=False)
        if actor is None:
            raise Refusal(401, "the login is over")
        must_cover(actor, "status")
        return reply(parts(await self._view(request, actor, self._documents.words(request))))

    async def acknowledge(self, request: Request) -> Response:
        return await self._done(request, "acknowledge", ("alarm", "comment"))

    async def shelve(self, request: Request) -> Response:
        return await self._done(request, "shelve", ("alarm", "reason", "minutes"))

    async def _done(self, request: Request, command: str, fields: Sequence[str]) -> Response:
        form = await filled_in(request)
        actor = await self._visitors.actor(request, form=form.get("form", ""))
        if actor is None:
            return to("/login")
        arguments: dict[str, Any] = {name: form.get(name, "") for name in fields}
        if "minutes" in arguments:
            said = arguments.pop("minutes")
            arguments["seconds"] = int(said) * 60 if said.isascii() and said.isdecimal() and len(said) < 6 else 0
        try:
            await self._api.ask(actor, command, arguments, at_once=False)
        except Refusal as refusal:
            return self._documents.refused(request, self._documents.words(request), refusal)
        return to(alarm_address(arguments["alarm"]) if form.get("back") else "/")

    async def _view(self, request: Request, actor: Actor, word: Words) -> View:
        status = seen_by(actor, self._host.status())
        session = self._visitors.session(request, used=False)
        needed = self._host.commands["acknowledge"].role
        can_act = session is not None and needed in actor.roles
        return View(word, self._host.gateway, status, self._host.troubles(status), session, can_act)

    async def _tags(self, request: Request, actor: Actor, word: Words) -> Html:
        """Those whose names hold what was searched for, or all of a device; a page of them."""
        search, only = cleaned(request.query_params.get("q", ""), 100), request.query_params.get("device", "")
        said = request.query_params.get("from", "0")
        start = int(said) if said.isascii() and said.isdecimal() and len(said) < 8 else 0
        found = [
            (device.name, each.name)
            for device in self._host.devices
            if only in ("", device.name)
            for each in device.tags
            if search.casefold() in f"{device.name} {each.name}".casefold()
        ]
        some = found[start : start + ROWS]
        rows = await self._rows(actor, some)
        field = tag("input", name="q", value=search, type="search", placeholder=word("search hint"))
        form = tag(
            "form",
            tag("label", word("search"), field, class_="grow"),
            tag("button", word("search")),
            action="/#tags",
            class_="act",
        )
        count = tag("p", word("shown of", f"{len(some):,}", f"{len(found):,}"), class_="quiet")
        more = None
        if start + ROWS < len(found):
            query = urlencode({"q": search, "device": only, "from": start + ROWS})
            more = tag("p", tag("a", word("next page"), href=f"/?{query}#tags"))
        listed = tags_table(word, rows) if rows else tag("p", word("nothing found"), class_="quiet")
        return tag("section", tag("h2", word("tags")), form, count, listed, more, id="tags")

    async def _rows(self, actor: Actor, some: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        wanted: dict[str, set[str]] = {}
        for device, name in some:
            wanted.setdefault(device, set()).add(name)
        rows: list[dict[str, Any]] = []
        for device, names in wanted.items():
            try:
                told = await self._host.ask(actor, "tags", {"device": device})
            except GatewayError:  # it has just left the configuration
                continue
            rows += [row for row in islice(told, 100_000) if row["tag"] in names]
        return rows
