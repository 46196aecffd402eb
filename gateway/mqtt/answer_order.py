"""Whether a broker answers in the order of what it is sent, found out on a connection that has just been made."""

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.core.errors import LinkError
from gateway.mqtt.broker_options import Barrier

if TYPE_CHECKING:
    from gateway.mqtt.link import BrokerLink
    from gateway.mqtt.unanswered import Unanswered

MARKERS = 10
"""Sent before the UNSUBSCRIBE; or as many as the broker takes at once."""


class AnswerOrder:
    """Markers are sent, and right behind them an UNSUBSCRIBE. A broker that answers the UNSUBSCRIBE before it has
    taken the markers may do so with messages of QoS 0 too."""

    def __init__(self, link: "BrokerLink", unanswered: "Unanswered", receive_maximum: int) -> None:
        self._link = link
        self._unanswered = unanswered
        self._markers = min(MARKERS, receive_maximum)
        self._answers: list[Any] = []
        """Whose answers came, in their order: of markers that were taken, True; of the UNSUBSCRIBE, False."""
        self._refused = False
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def barrier(self) -> Barrier:
        """What is needed with this broker. Raises LinkError when the connection ends before it is known."""
        topic, payload = self._link.options.marker_topic, self._link.options.marker
        markers = [(topic, payload, False, True)] * self._markers
        self._unanswered.sent(self._link.client.send(markers), markers)
        last = [(topic, payload, False, False)]
        self._unanswered.sent_group(self._link.send_group(last, "unsubscribe"), last, "unsubscribe")
        heard: set[asyncio.Future[Any]] = {self._all, self._link.ended}
        await asyncio.wait(heard, timeout=self._link.options.timeout, return_when=asyncio.FIRST_COMPLETED)
        if not self._all.done():
            self._link.close()
            raise LinkError(f"broker {self._link.options.address} does not answer what it is sent")
        return "unsubscribe" if self._refused or self._answers[-1] is False else "marker"

    def take(self, client: Any) -> None:
        """Answers came in."""
        self._answers += self._unanswered.take(client.accepted)
        for answer in client.answered:
            self._refused |= bool(self._unanswered.take([answer.mid]))
        for heard in (client.accepted, client.answered, client.unheard):
            heard.clear()
        if not self._unanswered and not self._all.done():
            self._all.set_result(None)
