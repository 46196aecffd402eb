"""What waits for the broker's answer, by packet identifier: messages, and what was asked (SUBSCRIBE and UNSUBSCRIBE)."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gateway.core.errors import LinkError
from gateway.mqtt.packets import Outgoing

if TYPE_CHECKING:
    from gateway.mqtt.link import BrokerLink


class Unanswered:
    """Of one session."""

    def __init__(self) -> None:
        self._messages: dict[int, tuple[Any, float]] = {}
        """Token of each, and when it was sent (monotonic clock, s); the oldest first."""
        self._questions: dict[int, asyncio.Future[list[int]]] = {}

    def __len__(self) -> int:
        """How many messages."""
        return len(self._messages)

    def is_free(self, mid: int) -> bool:
        """Whether nothing waits under this packet identifier."""
        return mid not in self._messages and mid not in self._questions

    def is_message(self, mid: int) -> bool:
        """Whether a message waits under it."""
        return mid in self._messages

    def is_question(self, mid: int) -> bool:
        """Whether a SUBSCRIBE or UNSUBSCRIBE does."""
        return mid in self._questions

    @property
    def oldest(self) -> float:
        """Seconds since the oldest message was sent; 0 when none waits."""
        oldest = next(iter(self._messages.values()), None)
        return 0.0 if oldest is None else time.monotonic() - oldest[1]

    def sent(self, mids: Iterable[int], messages: Sequence[Outgoing]) -> None:
        """These messages were sent now, under these identifiers."""
        now = time.monotonic()
        for mid, message in zip(mids, messages, strict=True):
            self._messages[mid] = (message[3], now)

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
        """paho's callback for SUBACK and UNSUBACK."""
        answer = self._questions.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result([code.value for code in codes])

    def abandon(self, ended: asyncio.Future[Exception]) -> None:
        """The connection has ended: so do all questions. Messages are the caller's to send again."""
        for answer in self._questions.values():
            if not answer.done():
                answer.set_exception(ended.result())
        self._questions.clear()
