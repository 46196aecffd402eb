"""The service itself: listens, and serves one ASGI application."""

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.plugin import Actor, Declared, LinkError, RefusedError, Service

from .config import WebConfig
from .oidc.config import CALLBACK

BACKLOG = 128
"""Connections that the kernel keeps until they are accepted."""


class Web(Service[WebConfig]):
    address = ""
    """Where it is, once it listens."""

    def commands(self) -> Mapping[str, tuple[Declared, Callable[..., Awaitable[Any]]]]:
        return {"address": (Declared(at_once=True), self._told)}

    async def _told(self, by: Actor) -> dict[str, Any]:
        return {"address": self.address}

    async def run(self) -> None:
        try:
            from .app import application
            from .server import Server, tls_context
        except ModuleNotFoundError as error:
            raise RefusedError(
                f"the page needs a library that is not installed ({error.name}): "
                f"{sys.executable} -m pip install argon2-cffi prometheus-client starlette uvicorn"
            ) from error
        context = await asyncio.to_thread(tls_context, self.config.tls) if self.config.tls else None
        sockets = await self._listen()
        counts: Counter[str] = Counter()
        app, streams = application(self.config, self.host, counts)
        server = Server(app, sockets, context, counts)
        tasks = [asyncio.create_task(each) for each in (server.serve(), streams.run())]
        if self.config.tls:
            tasks.append(asyncio.create_task(server.renew(self.config.tls)))
        try:
            self.address = self._address(sockets[0])
            self.log.info("the page is at", address=self.address)
            self.host.started()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.close()
            if self.config.oidc:  # what comes next may know another provider, or give other roles
                self.host.people.end(self.config.oidc.issuer)

    @classmethod
    async def check(cls, config: WebConfig) -> str:
        if config.oidc is None:
            return ""
        from .oidc.provider import Oidc

        return await Oidc(config.oidc, Path()).check(
            config.oidc.redirect_uri or f"http://localhost:{config.port}{CALLBACK}"
        )

    async def _listen(self) -> list[socket.socket]:
        config = self.config
        sockets: list[socket.socket] = []
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(found):
                sockets.append(_bound(family, address))
                if (
                    not config.port
                ):  # "localhost" has two addresses, and a free port of the one may be taken on the other
                    break
        except OSError as error:
            for each in sockets:
                each.close()
            reason = error.strerror or str(error)
            raise LinkError(f"{config.host} port {config.port}: {reason}: another host or port is needed") from error
        return sockets

    def _address(self, bound: socket.socket) -> str:
        name = self.config.host
        if name in ("0.0.0.0", "::"):
            name = socket.gethostname()
        shown = f"[{name}]" if ":" in name else name
        return f"{'https' if self.config.tls else 'http'}://{shown}:{bound.getsockname()[1]}/"


def _bound(family: int, address: object) -> socket.socket:
    """A listening socket; raises OSError."""
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, else asyncio leaves Nagle's delay on
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)  # type: ignore[arg-type]  # as getaddrinfo gives it
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made
