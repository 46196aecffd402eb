"""The page to log in at, by a password or by a provider of logins, and the log-out."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .document import Documents, filled_in, to
from .html import joined, tag
from .replies import Refusal
from .visitors import Visitors

BEGIN = "/login/oidc"
"""Where the way to the provider begins."""


class LoginPage:
    """The page's routes and answers."""

    def __init__(self, visitors: Visitors, documents: Documents, provider: str = "") -> None:
        """`provider`: its address, where there is one."""
        self._visitors = visitors
        self._documents = documents
        self._provider = provider

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
        ]

    async def login(self, request: Request) -> Response:
        if request.method != "POST":
            return self.page(request)
        form = await filled_in(request)
        try:
            _, cookie = await self._visitors.log_in(request, form.get("name", ""), form.get("password", ""))
        except Refusal as refusal:
            return self.page(request, str(refusal), refusal.status, refusal.headers)
        return to("/", {"set-cookie": cookie})

    async def log_out(self, request: Request) -> Response:
        form = await filled_in(request)
        session = self._visitors.session(request)
        if session is not None and form.get("form") == session.form:
            await self._visitors.people.log_out(session.key)
        return to("/", {"set-cookie": self._visitors.forgotten(request)})

    def page(
        self, request: Request, why: str = "", status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        """With why it did not go, in a sentence."""
        word = self._documents.words(request)
        known = self._visitors.people.are_known()
        form = tag(
            "form",
            tag("label", word("name"), tag("input", name="name", autocomplete="username", required=True)),
            tag(
                "label", word("password"),
                tag("input", name="password", type="password", autocomplete="current-password", required=True),
            ),
            tag("button", word("log in")), method="post", action="/login", class_="ask",
        )  # fmt: skip
        by = word("log in by", urlsplit(self._provider).hostname)
        said = (
            tag("h2", word("log in")),
            tag("p", why, class_="severe", role="alert") if why else None,
            # A link and no form: a form's answer may not lead a browser to another site (form-action of our policy).
            tag("p", tag("a", by, href=BEGIN)) if self._provider else None,
            form if known else None if self._provider else tag("p", word("no users")),
        )
        answer = self._documents.page(request, word, joined(said), title=word("log in"), status=status, scripts=())
        answer.headers.update(headers or {})
        return answer

    def goes_on(self, request: Request, cookie: str) -> Response:
        """After a login elsewhere: a page of ours that leads to the first one, with the new cookie."""
        word = self._documents.words(request)
        body = tag("p", tag("a", word("logged in"), href="/"))
        answer = self._documents.page(request, word, body, title=word("log in"), scripts=())
        answer.headers.update({"refresh": "0; url=/", "set-cookie": cookie})
        return answer
