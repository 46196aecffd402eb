"""Descriptions and states that are on their way. One over which the broker ends the connection each time, as those of MQTT
3.1.1 do with a message that is too large for them or not allowed, must keep neither readings nor its neighbours from being
sent."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from gateway.plugin import Message

TRIALS = 3
"""How often the connection must end over one that was alone on its way, each time after something else was taken."""
TRIED = 50
"""After an end so many of those that were unanswered, the oldest, are tried alone; the answers to the ones before may have
been lost with the connection."""
FIRST = 6
"""Connections of a search on which they are tried before any record; on later ones records go first, so that a long search
holds up no data."""
PATIENCE = 2.0
"""Seconds after which they are tried then, though nothing else was taken."""
LEFT_OUT = 600.0
"""Seconds for which a guilty one is left out."""
ALIKE = 2
"""If so many are guilty, and each is larger than any that was taken, it is their size, and the others as large are too."""

_MEMORY = "retained"


@dataclass(slots=True)
class _Doubtful:
    ends: int = 0
    """Connections that ended over it."""
    strikes: int = 0
    """Those of them that had carried something else before."""


class _Memory:
    """What one connection leaves for the next, by topic."""

    def __init__(self) -> None:
        self.doubts: dict[str, _Doubtful] = {}
        self.guilty: dict[str, tuple[int, float]] = {}
        """Size, and loop time until which it is left out."""
        self.largest_taken = 0
        self.ends = 0
        """Connections that have ended in the present search."""


class RetainedMessages:
    """Those of one connection, in their order; what it leaves for the next stands in `memory`. What is in doubt waits until
    the connection has carried something else, and is then sent alone: `busy` says that nothing else may go meanwhile."""

    def __init__(
        self,
        memory: dict[str, Any],
        log: structlog.stdlib.BoundLogger,
        publish: Callable[[Message], None],
        idle: Callable[[], bool],
    ) -> None:
        """`idle`: whether nothing of ours is on its way."""
        self._memory: _Memory = memory.setdefault(_MEMORY, _Memory())
        self._log = log
        self._publish = publish
        self._idle = idle
        self._waiting: list[Message] = []
        self._under_way: deque[Message] = deque()
        self._proven = False
        self._patient = True

    @property
    def under_way(self) -> bool:
        """Whether the broker has one of these unanswered."""
        return bool(self._under_way)

    @property
    def oldest(self) -> str:
        """Topic of the one that has been unanswered for longest."""
        return self._under_way[0].topic if self._under_way else ""

    @property
    def busy(self) -> bool:
        """Whether records should wait, because one of these is to be tried alone."""
        return (bool(self._waiting) and self._may_try) or self.on_trial

    @property
    def _may_try(self) -> bool:
        return self._memory.ends < FIRST or self._proven or not self._patient

    @property
    def on_trial(self) -> bool:
        """Whether one in doubt is under way, alone."""
        return len(self._under_way) == 1 and self._under_way[0].topic in self._memory.doubts

    @property
    def suspect(self) -> str:
        """The topic on which connections seem to end; empty while nothing speaks against any."""
        struck = [(doubt.strikes, topic) for topic, doubt in self._memory.doubts.items() if doubt.strikes]
        return max(struck)[1] if struck else ""

    def send(self, message: Message) -> None:
        """Send it now; what is in doubt, later and alone."""
        if self._is_left_out(message):
            return
        if message.topic in self._memory.doubts:
            self._waiting = [*(other for other in self._waiting if other.topic != message.topic), message]
            self.go_on()
        else:
            self._put(message)

    def _put(self, message: Message) -> None:
        self._under_way.append(message)
        self._publish(message)

    def go_on(self) -> None:
        """Try the next one in doubt, if it may be: those over which fewer connections ended come first."""
        if self._waiting and self._may_try and self._idle():
            message = min(self._waiting, key=lambda each: self._memory.doubts.get(each.topic, _Doubtful()).ends)
            self._waiting.remove(message)
            self._put(message)

    def lose_patience(self) -> None:
        """Enough was waited for something else to be taken."""
        self._patient = False

    def something_taken(self) -> None:
        """The broker has taken a record."""
        self._proven = True

    def answered(self, count: int) -> None:
        """The broker has answered the oldest ones."""
        for _ in range(min(count, len(self._under_way))):
            taken = self._under_way.popleft()
            self._proven = True
            self._memory.doubts.pop(taken.topic, None)
            self._memory.largest_taken = max(self._memory.largest_taken, len(taken.payload))

    def ended(self) -> None:
        """The connection has ended: one of the unanswered ones may be why."""
        doubts = self._memory.doubts
        if self.on_trial:
            (message,) = self._under_way
            doubt = doubts[message.topic]
            doubt.ends += 1
            doubt.strikes += self._proven
            if doubt.strikes >= TRIALS:
                self._leave_out(message)
        else:
            for message in list(self._under_way)[:TRIED]:
                doubts.setdefault(message.topic, _Doubtful())
        self._memory.ends = self._memory.ends + 1 if doubts else 0
        self._under_way.clear()
        self._waiting.clear()

    def _leave_out(self, message: Message) -> None:
        del self._memory.doubts[message.topic]
        self._memory.guilty[message.topic] = (len(message.payload), asyncio.get_running_loop().time() + LEFT_OUT)
        self._log.warning(
            "the broker ends the connection over a description or state: left out for 10 min; raise the broker's limit,"
            " or allow the topic",
            topic=message.topic,
            bytes=len(message.payload),
        )

    def _is_left_out(self, message: Message) -> bool:
        now, length = asyncio.get_running_loop().time(), len(message.payload)
        largest = self._memory.largest_taken
        guilty = {topic: size for topic, (size, until) in self._memory.guilty.items() if now < until}
        size = guilty.get(message.topic)
        if size is not None and (length >= size or size <= largest):
            return True
        least = min(guilty.values(), default=0)
        return len(guilty) >= ALIKE and largest < least <= length
