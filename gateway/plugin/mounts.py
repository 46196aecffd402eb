"""ASGI applications that services offer, and that another service, such as the page's, carries."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
"""ASGI 3.0."""

PATH = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
"""What one is called in addresses."""
ACTOR = "gateway.actor"
"""Where an application finds who asks, in its scope: an Actor, to be handed on to `ServiceHost.ask`."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """One of them."""

    service: str
    app: App
    role: str
    """Who has it may ask."""
