"""What was asked of a broker that it answers with a packet of its own: SUBSCRIBE and UNSUBSCRIBE."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.core.errors import LinkError

if TYPE_CHECKING:
    from gateway.mqtt.link import BrokerLink


class Questions:
    """The open ones of one connection, by packet identifier."""

    def __init__(self) -> None:
        self._open: dict[int, asyncio.Future[list[int]]] = {}

    def __contains__(self, mid: int) -> bool:
        return mid in self._open

    async def ask(self, link: "BrokerLink", call: Callable[[Any], tuple[int, int | None]]) -> list[int]:
        """The broker's reason codes. Raises LinkError when the connection ends first."""
        if not link.ended.done():
            _, mid = call(link.client)
            if mid is not None:
                answer = self._open[mid] = asyncio.get_running_loop().create_future()
                link.flush()
                codes: list[int] = await answer
                return codes
        raise link.ended.result() if link.ended.done() else LinkError("the session has ended")

    def answered(self, client: Any, userdata: Any, mid: int, codes: Any, properties: Any) -> None:
        """paho's callback for both answers."""
        answer = self._open.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result([code.value for code in codes])

    def abandon(self, ended: asyncio.Future[Exception]) -> None:
        """The connection has ended: so do all open questions."""
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(ended.result())
        self._open.clear()
