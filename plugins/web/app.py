"""The application: which address answers what."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from gateway.plugin import GatewayStatus, ServiceHost
from gateway.plugin.openapi import BASE

from . import metrics
from .api import Api
from .apps import Apps
from .config import WebConfig
from .document import Documents
from .guard import App, Guard
from .history import History
from .login import LoginPage
from .page import Page
from .replies import reply
from .streams import Streams
from .views import Views
from .visitors import Visitors

FRESH = 1.0
"""Seconds for which a status, and metrics of it, are not made anew."""


def application(config: WebConfig, host: ServiceHost, counts: MutableMapping[str, int]) -> tuple[App, Streams]:
    """All that is served, and the streams that want to be run; `counts` says how often what was refused."""
    visitors = Visitors(config, host.people)
    streams = Streams(host, visitors)
    looks = Looks(host, counts, visitors)
    api = Api(host, visitors)
    documents = Documents(host, visitors)
    routes = [
        Route("/healthz", looks.healthz),
        Route("/readyz", looks.readyz),
        Route("/metrics", looks.metrics),
        Route(f"{BASE}/stream/values", streams.values),
        Route(f"{BASE}/stream/events", streams.events),
        *History(host, visitors, api).routes(),
        *api.routes(),
        *documents.routes(),
        *_logins(config, host, visitors, documents),
        *Page(host, visitors, api, documents).routes(),
        Mount("/apps/{app}", Apps(host, visitors)),
        *Views(host, visitors, api, documents).routes(),
    ]
    names = config.names if config.host in ("0.0.0.0", "::") else (*config.names, config.host)
    return Guard(Router(routes, redirect_slashes=False), names, counts), streams


def _logins(config: WebConfig, host: ServiceHost, visitors: Visitors, documents: Documents) -> list[Route]:
    if config.oidc is None:
        return LoginPage(visitors, documents).routes()
    from .oidc.login import OidcLogin

    page = LoginPage(visitors, documents, config.oidc.issuer)
    return [*page.routes(), *OidcLogin(config.oidc, host.state_dir, visitors, page).routes()]


class Looks:
    """What probes and Prometheus ask for."""

    def __init__(self, host: ServiceHost, counts: Mapping[str, int], visitors: Visitors) -> None:
        self._host = host
        self._visitors = visitors
        self._counts = counts
        self._status = Fresh(self._look)
        self._metrics = Fresh(self._render)

    async def healthz(self, request: Request) -> Response:
        """Whether the event loop turns: that it answers says so."""
        return reply({"alive": True})

    async def readyz(self, request: Request) -> Response:
        """Whether the gateway does its work: what is read is kept. A device or a broker that is away is what it is there
        for."""
        disk = (await self._status()).outbox.disk
        ready = disk == "ok"
        return reply(
            {"ready": ready, "reason": "" if ready else "the outbox's disk takes nothing"}, 200 if ready else 503
        )

    async def metrics(self, request: Request) -> Response:
        await self._visitors.must_be(request, "status")
        return Response(await self._metrics(), media_type=metrics.TYPE)

    async def _look(self) -> GatewayStatus:
        return self._host.state()

    async def _render(self) -> bytes:
        return await asyncio.to_thread(metrics.render, await self._status(), dict(self._counts))


class Fresh:
    """What takes a moment to make, made once for all who ask within a second."""

    def __init__(self, make: Callable[[], Awaitable[Any]]) -> None:
        self._make = make
        self._made: Any = None
        self._at = float("-inf")
        self._making = asyncio.Lock()

    async def __call__(self) -> Any:
        async with self._making:
            now = asyncio.get_running_loop().time()
            if now >= self._at + FRESH:
                self._made, self._at = await self._make(), now
            return self._made
