"""Offers a page of its own, which the service with the plugin `web` carries: who asks, and how many devices there are."""

import asyncio

from gateway.plugin import ACTOR, GatewayError, Service, ServiceConfig


class GreetingConfig(ServiceConfig):
    """Options of the service."""

    path: str = "greeting"
    """Where it is, below /apps/."""

    role: str = "viewer"
    """Who has it may look."""


class Greeting(Service[GreetingConfig]):
    """Greets."""

    async def run(self) -> None:
        self.host.mount(self.config.path, self.page, self.config.role)
        self.host.started()
        await asyncio.Event().wait()

    async def page(self, scope, receive, send):
        by = scope[ACTOR]
        assert not {name for name, _ in scope["headers"]} & {b"authorization", b"cookie", b"x-csrf-token"}
        if scope["path"].endswith("/fails"):
            raise SystemExit("a bug of the plugin")
        if scope["path"].endswith("/reload"):
            try:
                said = str(await self.host.ask(by, "reload"))
            except GatewayError as error:
                said = str(error)
        else:
            said = f"{scope['path'].removeprefix(scope['root_path'])}: {by.name}, {len(self.host.devices)} devices"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": said.encode()})
