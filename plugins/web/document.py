"""What every page has around it: its head, its header with the ways to the others, its language; and the files beside it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.plugin import ServiceHost

from .html import Html, tag
from .replies import Refusal
from .visitors import Visitors
from .words import LANGUAGES, Words, language_of

STATIC = Path(__file__).parent / "static"
KINDS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "trend.js": "text/javascript",
    "uPlot.iife.min.js": "text/javascript",
    "uPlot.min.css": "text/css",
}
FIELDS = 20
"""Of a form."""
LANGUAGE = "language"
"""Name of a cookie."""
PLACES = (("/", "overview"), ("/receipts", "receipts"), ("/system", "system"))
"""What the header leads to."""


class Documents:
    """Makes whole HTML documents."""

    def __init__(self, host: ServiceHost, visitors: Visitors) -> None:
        self._host = host
        self._visitors = visitors
        self._files = {name: (STATIC / name).read_bytes() for name in KINDS}
        self._marks = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self._files.items()}

    def routes(self) -> list[Route]:
        """Of the files."""
        return [Route("/favicon.ico", self.icon), *(Route(f"/static/{name}", self.file) for name in KINDS)]

    async def file(self, request: Request) -> Response:
        """What the page needs beside itself; an address holds its content's hash, so it may be kept."""
        name = request.url.path.rpartition("/")[2]
        return Response(
            self._files[name], media_type=KINDS[name], headers={"cache-control": "public, max-age=31536000"}
        )

    async def icon(self, request: Request) -> Response:
        """There is none, and browsers ask all the same."""
        return Response(b"", 204, {"cache-control": "public, max-age=86400"})

    def words(self, request: Request) -> Words:
        """In the language that was chosen, else that of the browser."""
        asked = request.query_params.get("lang") or request.cookies.get(LANGUAGE)
        return Words(asked if asked in LANGUAGES else language_of(request.headers.get("accept-language", "")))

    def page(
        self,
        request: Request,
        word: Words,
        body: Html,
        *,
        title: str = "",
        status: int = 200,
        scripts: Sequence[str] = ("page.js",),
        styles: Sequence[str] = ("page.css",),
    ) -> Response:
        """A whole page. Without scripts it never says that it is not live."""
        head = (
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", f"{title} · {self._host.gateway}" if title else self._host.gateway),
            *(tag("link", rel="stylesheet", href=self._address(name)) for name in styles),
            *(tag("script", src=self._address(name), defer=True) for name in scripts),
        )
        whole = tag(
            "html", tag("head", *head),
            tag(
                "body", tag("a", word("skip"), href="#main", class_="skip"), self._header(request, word),
                _lost(word) if scripts else None, tag("main", body, id="main"),
            ),
            lang=word.language,
        )  # fmt: skip
        answer = Response(f"<!DOCTYPE html>{whole}", status, media_type="text/html")
        if request.query_params.get("lang") in LANGUAGES:
            chosen = f"{LANGUAGE}={word.language}; Path=/; SameSite=Strict; Max-Age=31536000"
            answer.headers.append("set-cookie", chosen)
        return answer

    def refused(self, request: Request, word: Words, refusal: Refusal) -> Response:
        """Why something was not done, for a person."""
        said = (
            tag("p", str(refusal), class_="severe", role="alert"),
            tag("p", tag("a", word("to the top"), href="/")),
        )
        answer = self.page(request, word, tag("div", *said), status=refusal.status, scripts=())
        answer.headers.update(refusal.headers)
        return answer

    def _header(self, request: Request, word: Words) -> Html:
        session = self._visitors.session(request, used=False)
        other = LANGUAGES[1 - LANGUAGES.index(word.language)]
        here = request.url.path
        query = urlencode({**dict(request.query_params), "lang": other})
        places = (
            tag("a", word(name), href=path, aria_current="page" if path == here else None) for path, name in PLACES
        )
        who: Html | None
        if session is not None:
            hidden = tag("input", type="hidden", name="form", value=session.form)
            who = tag(
                "form", hidden, tag("span", session.actor.name.partition(" (")[0], title=session.actor.name),
                tag("button", word("log out")), method="post", action="/logout",
            )  # fmt: skip
        else:
            who = tag("a", word("log in"), href="/login")
        there = here if request.method == "GET" else "/"
        return tag(
            "header", tag("h1", tag("a", self._host.gateway, href="/")),
            tag("nav", *places, aria_label=word("pages")),
            tag("a", word("other language"), href=f"{there}?{query}", lang=other), who,
        )  # fmt: skip

    def _address(self, name: str) -> str:
        return f"/static/{name}?{self._marks[name]}"


def _lost(word: Words) -> Html:
    return tag("div", "", id="lost", role="alert", hidden=True, data_text=word("not live", "{}"))


def to(path: str, headers: dict[str, str] | None = None) -> Response:
    """After a form: another page, asked for by GET."""
    return Response(b"", 303, {"location": path, **(headers or {})})


async def filled_in(request: Request) -> dict[str, str]:
    """What a form brought. Raises Refusal."""
    data = await request.body()
    try:
        return dict(parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=bool(data), max_num_fields=FIELDS))
    except ValueError:
        raise Refusal(400, "this is no form of ours") from None
