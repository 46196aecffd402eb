"""Applications that other services offer (`ServiceHost.mount`), carried at `/apps/PATH/` behind our guards and logins."""

from starlette.requests import Request

from gateway.plugin import ACTOR, ServiceHost

from .guard import SAFE, Message, Receive, Send
from .replies import Refusal
from .visitors import Visitors, login_needed

SECRET = (b"authorization", b"cookie", b"x-csrf-token")
"""Headers that an application does not get: with them it could ask for more than `ACTOR` is handed on for."""


class Apps:
    """An ASGI application that looks who asks, and hands on."""

    def __init__(self, host: ServiceHost, visitors: Visitors) -> None:
        self._host = host
        self._visitors = visitors

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        actor = await self._visitors.must_be(request)
        if scope["method"] not in SAFE and not self._visitors.is_named(request):
            raise login_needed()  # the command that it leads to would ask for it too, but there may be none
        found = self._host.mounted.get(scope["path_params"]["app"])
        if found is None:
            raise Refusal(404, "no service offers this")
        if actor.commands is not None:
            raise Refusal(403, "this token may ask for commands alone")
        if found.role not in actor.roles:
            raise (
                Refusal(403, f"this needs the role {found.role}")
                if self._visitors.is_named(request)
                else login_needed()
            )
        headers = [(name, value) for name, value in scope["headers"] if name not in SECRET]
        await found.app({**scope, "headers": headers, ACTOR: actor}, receive, send)
