"""The addresses of the views."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.plugin import Actor, ServiceHost, Tag, cleaned, seen_by

from ..api import Api
from ..document import Documents, filled_in, to
from ..html import Html
from ..replies import Refusal
from ..screen import View, device_address
from ..visitors import Visitors, login_needed, must_cover
from ..words import Words
from . import upkeep
from .alarm import alarm_page
from .device import device_page
from .models import models_page
from .receipts import day_of, receipts_page
from .trend import POINTS, looked, trend_page
from .write import Target, answer_page, form_page, question_page, writable

DAY_NS = 86_400_000_000_000
ROWS = 1000
"""Tags on a device's page."""

Show = Callable[[Request, Actor, Words], Awaitable[Response]]
"""A page for who asks, in the visitor's language. Raises Refusal."""
Done = Callable[[Request, Actor, Words, Mapping[str, str]], Awaitable[Response]]
"""The same, of what a form brought."""


class Views:
    """The routes of the views."""

    def __init__(self, host: ServiceHost, visitors: Visitors, api: Api, documents: Documents) -> None:
        self._host = host
        self._visitors = visitors
        self._api = api
        self._documents = documents

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/alarm", self._for_visitors(self.alarm)),
            Route("/device", self._for_visitors(self.device)),
            Route("/trend", self._for_visitors(self.trend)),
            Route("/receipts", self._for_visitors(self.receipts)),
            Route("/system", self._for_visitors(self.system)),
            Route("/write", self._write, methods=["GET", "POST"]),
            Route("/do/{command}", self._for_forms(self.do), methods=["POST"]),
        ]

    async def _write(self, request: Request) -> Response:
        """One route for both, or a refused method would be told half of what there is."""
        answer = self._for_forms(self.written) if request.method == "POST" else self._for_visitors(self.write)
        return await answer(request)

    def _for_visitors(self, show: Show) -> Callable[[Request], Awaitable[Response]]:
        """Who may not look comes to the login, and what is refused is said on a page."""

        async def answer(request: Request) -> Response:
            actor = await self._visitors.actor(request)
            if actor is None:
                return to("/login")
            word = self._documents.words(request)
            try:
                must_cover(actor, "status")
                return await show(request, actor, word)
            except Refusal as refusal:
                return self._documents.refused(request, word, refusal)

        return answer

    def _for_forms(self, done: Done) -> Callable[[Request], Awaitable[Response]]:
        """The same for a form that comes from one of our own pages."""

        async def answer(request: Request) -> Response:
            form = await filled_in(request)
            actor = await self._visitors.actor(request, form=form.get("form", ""))
            if actor is None:
                return to("/login")
            word = self._documents.words(request)
            try:
                return await done(request, actor, word, form)
            except Refusal as refusal:
                return self._documents.refused(request, word, refusal)

        return answer

    async def alarm(self, request: Request, actor: Actor, word: Words) -> Response:
        event = request.query_params.get("event", "")[:1000]
        try:
            told = await self._api.ask(actor, "why", {"alarm": event}, at_once=False)
        except Refusal as refusal:
            raise Refusal(404, str(refusal)) from None
        body = alarm_page(self._view(request, actor, word), told)
        return self._documents.page(request, word, body, title=_title(told))

    async def device(self, request: Request, actor: Actor, word: Words) -> Response:
        name = request.query_params.get("name", "")
        view = self._view(request, actor, word, seen_by(actor, self._host.status()))
        found = next((each for each in view.status["devices"] if each["name"] == name), None)
        if found is None:
            raise Refusal(404, word("no device", cleaned(name, 100)))
        rows = list(islice(await self._ask(actor, "tags", {"device": name}), ROWS))
        body = device_page(view, found, rows, found["tags"], self._writable(view, name))
        return self._documents.page(request, word, body, title=cleaned(name, 100))

    async def trend(self, request: Request, actor: Actor, word: Words) -> Response:
        asked = looked(request.query_params, request.query_params.getlist("tag"), time.time_ns() // 1_000_000)
        if not asked.tags:
            return to(device_address(asked.device))
        span = {"device": asked.device, "from_ns": asked.start * 1_000_000, "to_ns": asked.to * 1_000_000}
        series = await self._ask(actor, "history", {**span, "tags": list(asked.tags), "points": POINTS})
        events = await self._ask(actor, "events", span)
        rows = await self._ask(actor, "tags", {"device": asked.device})
        some = [row for row in rows if row["tag"] in asked.tags]
        writable = self._writable(self._view(request, actor, word), asked.device)
        body = trend_page(word, asked, series, events, some, writable)
        return self._documents.page(
            request, word, body, title=cleaned(f"{asked.device} {', '.join(asked.tags)}", 100),
            scripts=("page.js", "uPlot.iife.min.js", "trend.js"), styles=("uPlot.min.css", "page.css"),
        )  # fmt: skip

    async def receipts(self, request: Request, actor: Actor, word: Words) -> Response:
        day = day_of(request.query_params, time.time_ns() // 1_000_000)
        span = {"from_ns": day.start * 1_000_000, "to_ns": max(day.end, day.start + 1) * 1_000_000}
        told = await self._ask(actor, "receipts", span)
        body = receipts_page(word, day, told, [device.name for device in self._host.devices])
        return self._documents.page(request, word, body, title=word("receipts"))

    async def system(self, request: Request, actor: Actor, word: Words) -> Response:
        matter = request.query_params.get("show", upkeep.MATTERS[0])
        matter = matter if matter in upkeep.MATTERS else upkeep.MATTERS[0]
        view = self._view(request, actor, word, seen_by(actor, self._host.status()))
        anew = {"anew": 1} if request.query_params.get("anew") == "1" else {}
        said = await self._matter(view, actor, matter, anew)
        return self._documents.page(request, word, upkeep.upkeep_page(view, matter, said), title=word(matter))

    async def _matter(self, view: View, actor: Actor, matter: str, anew: dict[str, Any]) -> Html:
        """What it shows; `anew`: for the audit trail. Raises Refusal where a command does not answer."""
        match matter:
            case "dead letters":
                return upkeep.dead_letters(view, await self._ask(actor, "dead_letters", {}))
            case "configuration":
                return upkeep.configuration(view, await self._ask(actor, "plan", {}) if "plan" in view.may else None)
            case "audit trail":
                return upkeep.audit_trail(view, await self._ask(actor, "audit", anew) if "audit" in view.may else None)
            case "certificates":
                return upkeep.certificates(view, await self._ask(actor, "certificates", {}))
            case "plugins":
                return upkeep.plugins(view)
        return await self._models(view, actor)

    async def _models(self, view: View, actor: Actor) -> Html:
        """With the scores of each that runs."""
        told, now = await self._ask(actor, "models", {}), time.time_ns()
        scores: dict[str, Any] = {}
        for model in told:
            if model["state"] == "up":
                with suppress(Refusal):  # it has just failed
                    scores[model["name"]] = await self._ask(actor, "scores", {"model": model["name"]})
        events = await self._ask(actor, "events", {"from_ns": now - DAY_NS}) if scores else []
        return models_page(view, told, scores, events, now // 1_000_000)

    async def write(self, request: Request, actor: Actor, word: Words) -> Response:
        """The form that writes to a tag."""
        target = await self._target(actor, word, request.query_params)
        body = form_page(self._view(request, actor, word), target)
        return self._documents.page(request, word, body, title=word("write"))

    async def written(self, request: Request, actor: Actor, word: Words, form: Mapping[str, str]) -> Response:
        """The question, once the form is filled in, and what came of it, once that is said yes to."""
        view, target = self._view(request, actor, word), await self._target(actor, word, form)
        if view.session is None:
            raise login_needed()
        try:
            value = target.value(form.get("value", ""))
        except ValueError:
            raise Refusal(400, word("no value", cleaned(form.get("value", ""), 100))) from None
        reason = form.get("reason", "")
        if form.get("step") == "ask":
            said = question_page(view, target, value, reason)
        else:
            wanted = {"device": target.device, "tag": target.tag.name, "value": value, "reason": reason}
            said = answer_page(view, target, await self._ask(actor, "write", wanted))
        return self._documents.page(request, word, said, title=word("write"))

    async def _target(self, actor: Actor, word: Words, asked: Mapping[str, str]) -> Target:
        """Raises Refusal for a tag that there is not."""
        device, name = asked.get("device", ""), asked.get("tag", "")
        found = next((each for each in self._tags(device) if each.name == name), None)
        if found is None:
            raise Refusal(404, word("no tag", cleaned(f"{device}/{name}", 100)))
        rows = await self._ask(actor, "tags", {"device": device})
        return Target(found, next((row for row in rows if row["tag"] == name), None))

    def _tags(self, device: str) -> Sequence[Tag]:
        return next((each.tags for each in self._host.devices if each.name == device), ())

    def _writable(self, view: View, device: str) -> set[str]:
        """Tags that who looks may write to."""
        return {each.name for each in self._tags(device) if writable(each)} if "write" in view.may else set()

    async def do(self, request: Request, actor: Actor, word: Words, form: Mapping[str, str]) -> Response:
        """What a form of the upkeep's pages asks for."""
        command = request.path_params["command"]
        if command not in upkeep.FORMS:
            raise Refusal(404, "there is no such form")
        arguments: dict[str, Any] = {name: form.get(name, "") for name in upkeep.FORMS[command]}
        if "ids" in arguments:
            arguments["ids"] = [arguments["ids"]]
        answer = await self._ask(actor, command, arguments)
        if command == "reload":
            view = self._view(request, actor, word, seen_by(actor, self._host.status()))
            said = upkeep.upkeep_page(view, "configuration", upkeep.applied(view, answer))
            return self._documents.page(request, word, said, title=word("configuration"), scripts=())
        matter = {"model": "models", "ids": "dead letters", "thumbprint": "certificates"}[upkeep.FORMS[command][0]]
        return to(upkeep.address(matter))

    async def _ask(self, actor: Actor, command: str, arguments: dict[str, Any]) -> Any:
        """The answer of a command. Raises Refusal."""
        return await self._api.ask(actor, command, arguments, at_once=self._host.commands[command].at_once)

    def _view(self, request: Request, actor: Actor, word: Words, status: Mapping[str, Any] | None = None) -> View:
        """What a page needs beside its own matter."""
        session = self._visitors.session(request, used=False)
        needed = self._host.commands["acknowledge"].role
        may = {
            name
            for name, declared in self._host.commands.items()
            if session is not None and declared.role in actor.roles
        }
        return View(
            word, self._host.gateway, status or {}, (), session, needed in actor.roles and session is not None, may
        )


def _title(told: Any) -> str:
    alarm = told["alarm"]
    return cleaned(alarm["name"] if alarm else told["event"].get("device", ""), 100)
