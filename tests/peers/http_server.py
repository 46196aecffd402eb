"""A real HTTP server, uvicorn with starlette, that keeps what is posted to /ingest by its Idempotency-Key.

async with HttpServer() as server:
    post_to(server.url)
    assert server.kept
"""

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.testing import eventually

Answer = Callable[[Request, list[dict[str, Any]]], Response | None]
"""What it says instead of keeping a body; None: it is kept."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """On a port of its own; `answer` may say no. `tls`: cert and key, and the authority of clients, as files."""

    def __init__(
        self, answer: Answer = lambda *_: None, tls: tuple[str, str, str] | None = None, **options: Any
    ) -> None:
        self.answer = answer
        self.kept: dict[str, list[dict[str, Any]]] = {}
        """Messages, by the key of their request; those without one under their number."""
        self.requests: list[Request] = []
        self.repeats: Counter[str] = Counter()
        """Requests whose key was known."""
        self._socket = socket.socket(
            proto=socket.IPPROTO_TCP
        )  # named, else asyncio leaves Nagle's algorithm on: 40 ms each
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/ingest"
        routes = [
            Route("/ingest", self._ingest, methods=["POST"]),
            Route("/moved", lambda _: RedirectResponse("/ingest", 308), methods=["POST"]),
        ]
        if tls:
            options |= {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]}
            options |= {"ssl_ca_certs": tls[2], "ssl_cert_reqs": ssl.CERT_REQUIRED} if tls[2] else {}
        config = uvicorn.Config(
            Starlette(routes=routes), lifespan="off", log_config=None, access_log=False, http="h11", ws="none",
            **{"timeout_keep_alive": 60, "timeout_graceful_shutdown": 1, **options},
        )  # fmt: skip
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        await eventually(lambda: self._server.started, what="uvicorn listens")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._server.should_exit = True
        await self._task
        self._socket.close()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that was kept."""
        return [each for batch in self.kept.values() for each in batch]

    async def _ingest(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        said = (
            [json.loads(line) for line in body.splitlines()]
            if "ndjson" in request.headers["content-type"]
            else json.loads(body)
        )
        self.requests.append(request)
        if (answer := self.answer(request, said)) is not None:
            return answer
        key = request.headers.get("idempotency-key", f"#{len(self.requests)}")
        if key in self.kept:
            self.repeats[key] += 1
            assert self.kept[key] == said, "a key names one body for ever"
        self.kept[key] = said
        return JSONResponse({"taken": len(said)})
