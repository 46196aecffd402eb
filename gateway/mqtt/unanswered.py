"""What waits for the broker's answer, by packet identifier: messages with QoS 1; groups with QoS 0, by the barrier behind
them; and what was asked (SUBSCRIBE and UNSUBSCRIBE)."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from gateway.core.errors import LinkError
from gateway.mqtt.broker_options import Barrier
from gateway.mqtt.packets import Outgoing

if TYPE_CHECKING:
    from gateway.mqtt.link import BrokerLink


@dataclass(frozen=True, slots=True)
class _Group:
    tokens: list[Any]
    size: int
    """Bytes of all payloads."""
    sent_at: float
    barrier: Barrier


class Unanswered:
    """Of one session."""

    def __init__(self) -> None:
        self._messages: dict[int, tuple[Any, float]] = {}
        """Token of each, and when it was sent (monotonic clock, s); the oldest first."""
        self._groups: dict[int, _Group] = {}
        """The oldest first."""
        self._grouped = 0
        self.bytes_grouped = 0
        """Bytes of the payloads with QoS 0 that wait for a barrier's answer."""
        self._questions: dict[int, asyncio.Future[list[int]]] = {}

    def __len__(self) -> int:
        """How many messages."""
        return len(self._messages) + self._grouped

    @property
    def answers(self) -> int:
        """How many answers the broker owes for them."""
        return len(self._messages) + len(self._groups)

    def is_free(self, mid: int) -> bool:
        """Whether nothing waits under this packet identifier."""
        return mid not in self._messages and mid not in self._questions and mid not in self._groups

    def is_message(self, mid: int) -> bool:
        """Whether a message waits under it, be it the marker behind others."""
        return mid in self._messages or self.barrier(mid) == "marker"

    def is_question(self, mid: int) -> bool:
        """Whether a SUBSCRIBE or UNSUBSCRIBE does."""
        return mid in self._questions or self.barrier(mid) == "unsubscribe"

    def barrier(self, mid: int) -> Barrier | None:
        """What a group waits for under it; None if none does."""
        group = self._groups.get(mid)
        return None if group is None else group.barrier

    @property
    def oldest(self) -> float:
        """Seconds since the oldest message was sent; 0 when none waits."""
        since = [sent_at for _, sent_at in islice(self._messages.values(), 1)]
        since += [group.sent_at for group in islice(self._groups.values(), 1)]
        return time.monotonic() - min(since) if since else 0.0

    def sent(self, mids: Iterable[int], messages: Sequence[Outgoing]) -> None:
        """These messages were sent now, under these identifiers."""
        now = time.monotonic()
        for mid, message in zip(mids, messages, strict=True):
            self._messages[mid] = (message[3], now)

    def sent_group(self, mid: int, messages: Sequence[Outgoing], barrier: Barrier) -> None:
        """These messages were sent now, and behind them the barrier under this identifier."""
        size = sum(len(message[1]) for message in messages)
        self._groups[mid] = _Group([message[3] for message in messages], size, time.monotonic(), barrier)
        self._grouped += len(messages)
        self.bytes_grouped += size

    def token(self, mid: int) -> Any:
        """Of the message that waits; None if there is none."""
        return self._messages.get(mid, (None, 0.0))[0]

    def take(self, mids: Iterable[int]) -> list[Any]:
        """The tokens of those of these messages that waited; they do no more."""
        tokens = []
        for mid in mids:
            sent = self._messages.pop(mid, None)
            if sent is not None:
                tokens.append(sent[0])
            elif (group := self._groups.pop(mid, None)) is not None:
                self._grouped -= len(group.tokens)
                self.bytes_grouped -= group.size
                tokens += group.tokens
        return tokens

    async def ask(self, link: "BrokerLink", call: Callable[[Any], tuple[int, int | None]]) -> list[int]:
        """The broker's reason codes. Raises LinkError when the connection ends first."""
        if not link.ended.done():
            _, mid = call(link.client)
            if mid is not None:
                answer = self._questions[mid] = asyncio.get_running_loop().create_future()
                link.flush()
                codes: list[int] = await answer
                return codes
        raise link.ended.result() if link.ended.done() else LinkError("the session has ended")

    def answered(self, client: Any, userdata: Any, mid: int, codes: Any, properties: Any) -> None:
        """paho's callback for SUBACK and UNSUBACK. Whatever the broker says to a barrier: it has read what came before."""
        if self.barrier(mid) is not None:
            client.accepted.append(mid)
        answer = self._questions.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result([code.value for code in codes])

    def abandon(self, ended: asyncio.Future[Exception]) -> None:
        """The connection has ended: so do all questions. Messages are the caller's to send again."""
        for answer in self._questions.values():
            if not answer.done():
                answer.set_exception(ended.result())
        self._questions.clear()
