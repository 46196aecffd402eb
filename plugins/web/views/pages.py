"""The addresses of the views."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.plugin import Actor, ServiceHost, cleaned

from ..api import Api
from ..document import Documents, to
from ..replies import Refusal
from ..screen import View
from ..visitors import Visitors
from ..words import Words
from .alarm import alarm_page


class Views:
    """The routes of the views."""

    def __init__(self, host: ServiceHost, visitors: Visitors, api: Api, documents: Documents) -> None:
        self._host = host
        self._visitors = visitors
        self._api = api
        self._documents = documents

    def routes(self) -> list[Route]:
        """All of them."""
        return [Route("/alarm", self.alarm)]

    async def alarm(self, request: Request) -> Response:
        actor = await self._visitors.actor(request)
        if actor is None:
            return to("/login")
        word = self._documents.words(request)
        event = request.query_params.get("event", "")[:1000]
        try:
            told = await self._api.ask(actor, "why", {"alarm": event}, at_once=False)
        except Refusal as refusal:
            return self._documents.refused(request, word, Refusal(404, str(refusal)))
        body = alarm_page(self._view(request, actor, word), told)
        return self._documents.page(request, word, body, title=_title(told))

    def _view(self, request: Request, actor: Actor, word: Words) -> View:
        """Without a status: what a page needs beside its own matter."""
        session = self._visitors.session(request, used=False)
        needed = self._host.commands["acknowledge"].role
        return View(word, self._host.gateway, {}, (), session, session is not None and needed in actor.roles)


def _title(told: Any) -> str:
    alarm = told["alarm"]
    return cleaned(alarm["name"] if alarm else told["event"].get("device", ""), 100)
