"""Stands before all that is served: which requests are looked at, and what every answer carries.

Browsers of people who are logged in send requests for other sites too: so the host must be ours (DNS rebinding), and what
changes something must come from our own pages (Origin, Fetch metadata). Nothing is shared with other origins: there is no
CORS.
"""

import socket
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from email.utils import formatdate
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.exceptions import HTTPException

from gateway.plugin import cleaned

from .replies import Refusal, problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

BODY = 256 * 1024
"""Bytes of a request's body."""
SAFE = ("GET", "HEAD")
"""Methods that change nothing."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""On every answer that does not say otherwise."""

log = structlog.get_logger()


class Guard:
    """An ASGI application before another one."""

    def __init__(self, app: App, names: Collection[str], counts: MutableMapping[str, int]) -> None:
        """`names`: by which browsers may come here, beside this machine's own."""
        self._app = app
        self._names = {name.lower().rstrip(".") for name in (*names, socket.gethostname(), "localhost")}
        self._counts = counts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = _completed(message.get("headers", ()))
            await send(message)

        try:
            scope["app"] = self  # what the router refuses it then raises
            self._look(scope)
            await self._app(scope, self._bounded(receive), sent)
        except (Refusal, HTTPException) as error:
            refusal = error if isinstance(error, Refusal) else _of_router(error)
            self._counts[f"answered {refusal.status}"] += 1
            if not begun:  # what comes behind it is not read, so it ends the connection
                await problem(refusal.status, str(refusal), {**refusal.headers, "connection": "close"})(
                    scope, receive, sent
                )
        except Exception as error:
            self._counts["answered 500"] += 1
            log.error("a request failed", path=cleaned(scope["path"], 200), exc_info=error)
            if begun:
                raise
            said = f"{cleaned(type(error).__name__)} (the traceback is in the gateway's log)"
            await problem(500, said, {"connection": "close"})(scope, receive, sent)

    def _look(self, scope: Message) -> None:
        """Raises Refusal for what is not meant for us."""
        headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not self._is_ours(hosts[0], scope.get("server")):
            raise Refusal(
                421,
                f'this is no "{cleaned(", ".join(hosts), 100)}": if browsers come here by that name, write it into names',
            )
        length = next((value for name, value in headers if name == b"content-length"), "0")
        if not length.isdecimal() or len(length) > 9 or int(length) > BODY:
            raise Refusal(413, f"a request may have {BODY} bytes at most")
        if scope["method"] in SAFE:
            if length != "0" or any(name == b"transfer-encoding" for name, _ in headers):
                raise Refusal(400, f"a {scope['method']} has no body")
        else:
            _must_be_own(headers, f"{scope['scheme']}://{hosts[0].lower()}")

    def _is_ours(self, host: str, local: tuple[str, int | None] | None) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        # An address is no name that somebody else could have pointed here, if it is the one that was dialled.
        return address.is_loopback or (local is not None and str(address) == local[0])

    def _bounded(self, receive: Receive) -> Receive:
        left = BODY

        async def received() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise Refusal(413, f"a request may have {BODY} bytes at most")
            return message

        return received


def _of_router(said: HTTPException) -> Refusal:
    if said.status_code == 404:
        return Refusal(404, "there is no such page")
    return Refusal(said.status_code, str(said.detail), dict(said.headers or {}))


def _must_be_own(headers: list[tuple[bytes, str]], own: str) -> None:
    """What a browser says of where the request comes from; programs that are no browsers say nothing."""
    for name, value in headers:
        if (name == b"origin" and value.lower() != own) or (
            name == b"sec-fetch-site" and value not in ("same-origin", "none")
        ):
            raise Refusal(403, "this request comes from a page of another site")


def _completed(headers: Any) -> list[tuple[bytes, bytes]]:
    found = [(name.lower(), value) for name, value in headers]
    given = {name for name, _ in found}
    own = [(name, value) for name, value in HEADERS.items() if name not in given]
    return [*found, *own, (b"date", formatdate(usegmt=True).encode())]
