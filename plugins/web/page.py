"""The page: HTML from the server, which works without JavaScript, and is live with it."""

import hashlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.plugin import Actor, GatewayError, ServiceHost, cleaned

from .api import Api
from .html import Html, joined, tag
from .replies import Refusal, reply
from .screen import View, parts, tags_table
from .visitors import Visitors
from .words import LANGUAGES, Words, language_of

STATIC = Path(__file__).parent / "static"
KINDS = {"page.css": "text/css", "page.js": "text/javascript"}
ROWS = 200
"""Tags on a page."""
FIELDS = 20
"""Of a form."""
LANGUAGE = "language"
"""Name of a cookie."""


class Page:
    """The routes of the page."""

    def __init__(self, host: ServiceHost, visitors: Visitors, api: Api) -> None:
        self._host = host
        self._visitors = visitors
        self._api = api
        self._files = {name: (STATIC / name).read_bytes() for name in KINDS}
        self._marks = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self._files.items()}

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/", self.first),
            Route("/parts", self.parts),
            Route("/login", self.login),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
            Route("/acknowledge", self.acknowledge, methods=["POST"]),
            Route("/shelve", self.shelve, methods=["POST"]),
            Route("/favicon.ico", self.icon),
            *(Route(f"/static/{name}", self.file) for name in KINDS),
        ]

    async def file(self, request: Request) -> Response:
        """What the page needs beside itself; an address holds its content's hash, so it may be kept."""
        name = request.url.path.rpartition("/")[2]
        return Response(
            self._files[name], media_type=KINDS[name], headers={"cache-control": "public, max-age=31536000"}
        )

    async def icon(self, request: Request) -> Response:
        """There is none, and browsers ask all the same."""
        return Response(b"", 204, {"cache-control": "public, max-age=86400"})

    async def first(self, request: Request) -> Response:
        actor = await self._visitors.actor(request)
        if actor is None:
            return _to("/login")
        word = self._words(request)
        view = await self._view(request, actor, word)
        body = [tag("div", html, id=name) for name, html in parts(view).items() if name != "foot"]
        body += [await self._tags(request, actor, word), tag("footer", parts(view)["foot"], id="foot")]
        answer = self._document(request, word, joined(body), live=True)
        if request.query_params.get("lang") in LANGUAGES:
            answer.headers.append(
                "set-cookie", f"{LANGUAGE}={word.language}; Path=/; SameSite=Strict; Max-Age=31536000"
            )
        return answer

    async def parts(self, request: Request) -> Response:
        """What changes, for the page's own script; that it asks keeps no login going."""
        actor = await self._visitors.actor(request, used=False)
        if actor is None:
            raise Refusal(401, "the login is over")
        return reply(parts(await self._view(request, actor, self._words(request))))

    async def login(self, request: Request) -> Response:
        return self._login_page(request, "")

    async def log_in(self, request: Request) -> Response:
        form = await _form(request)
        try:
            _, cookie = await self._visitors.log_in(request, form.get("name", ""), form.get("password", ""))
        except Refusal as refusal:
            return self._login_page(request, str(refusal), refusal.status, refusal.headers)
        return _to("/", {"set-cookie": cookie})

    async def log_out(self, request: Request) -> Response:
        form = await _form(request)
        session = self._visitors.session(request)
        if session is not None and form.get("form") == session.form:
            await self._visitors.people.log_out(session.key)
        return _to("/", {"set-cookie": self._visitors.forgotten(request)})

    async def acknowledge(self, request: Request) -> Response:
        return await self._done(request, "acknowledge", ("alarm", "comment"))

    async def shelve(self, request: Request) -> Response:
        return await self._done(request, "shelve", ("alarm", "reason", "minutes"))

    async def _done(self, request: Request, command: str, fields: Sequence[str]) -> Response:
        form = await _form(request)
        actor = await self._visitors.actor(request, form=form.get("form", ""))
        if actor is None:
            return _to("/login")
        arguments: dict[str, Any] = {name: form.get(name, "") for name in fields}
        if "minutes" in arguments:
            said = arguments.pop("minutes")
            arguments["seconds"] = int(said) * 60 if said.isascii() and said.isdecimal() and len(said) < 6 else 0
        try:
            await self._api.ask(actor, command, arguments, at_once=False)
        except Refusal as refusal:
            word = self._words(request)
            said = joined(
                (tag("p", str(refusal), class_="severe", role="alert"), tag("a", word("to the top"), href="/"))
            )
            return self._document(request, word, said, status=refusal.status)
        return _to("/")

    async def _view(self, request: Request, actor: Actor, word: Words) -> View:
        status = self._host.status()
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
        form = tag("form", tag("label", f"{word('search')} ", field), tag("button", word("search")), action="/#tags")
        count = tag("p", word("shown of", len(some), len(found)), class_="quiet")
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

    def _words(self, request: Request) -> Words:
        asked = request.query_params.get("lang") or request.cookies.get(LANGUAGE)
        return Words(asked if asked in LANGUAGES else language_of(request.headers.get("accept-language", "")))

    def _login_page(
        self, request: Request, why: str, status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        word = self._words(request)
        known = self._visitors.people.are_known()
        form = tag(
            "form",
            tag("label", f"{word('name')} ", tag("input", name="name", autocomplete="username", required=True)),
            tag(
                "label", f"{word('password')} ",
                tag("input", name="password", type="password", autocomplete="current-password", required=True),
            ),
            tag("button", word("log in")), method="post", action="/login",
        )  # fmt: skip
        said = (
            tag("h2", word("log in")),
            tag("p", why, class_="severe", role="alert") if why else None,
            form if known else tag("p", word("no users")),
        )
        answer = self._document(request, word, joined(said), status=status)
        answer.headers.update(headers or {})
        return answer

    def _document(
        self, request: Request, word: Words, body: Html, *, status: int = 200, live: bool = False
    ) -> Response:
        script = self._address("page.js")
        head = (
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", self._host.gateway),
            tag("link", rel="stylesheet", href=self._address("page.css")),
            tag("script", src=script, defer=True) if live else None,
        )
        whole = tag(
            "html", tag("head", *head),
            tag("body", self._header(request, word), _lost(word) if live else None, tag("main", body)),
            lang=word.language,
        )  # fmt: skip
        return Response(f"<!DOCTYPE html>{whole}", status, media_type="text/html")

    def _header(self, request: Request, word: Words) -> Html:
        session = self._visitors.session(request, used=False)
        other = LANGUAGES[1 - LANGUAGES.index(word.language)]
        who: Html | None
        if session is not None:
            hidden = tag("input", type="hidden", name="form", value=session.form)
            who = tag(
                "form", hidden, session.actor.name, tag("button", word("log out")), method="post", action="/logout"
            )
        else:
            who = tag("a", word("log in"), href="/login")
        return tag(
            "header", tag("h1", tag("a", self._host.gateway, href="/")),
            tag("a", word("other language"), href=f"/?lang={other}", lang=other), who,
        )  # fmt: skip

    def _address(self, name: str) -> str:
        return f"/static/{name}?{self._marks[name]}"


def _lost(word: Words) -> Html:
    return tag("div", "", id="lost", role="alert", hidden=True, data_text=word("not live", "{}"))


def _to(path: str, headers: dict[str, str] | None = None) -> Response:
    """After a form: another page, asked for by GET."""
    return Response(b"", 303, {"location": path, **(headers or {})})


async def _form(request: Request) -> dict[str, str]:
    """What was filled in. Raises Refusal."""
    data = await request.body()
    try:
        return dict(parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=bool(data), max_num_fields=FIELDS))
    except ValueError:
        raise Refusal(400, "this is no form of ours") from None
