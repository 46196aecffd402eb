"""Descriptions and states that are on their way. One over which the broker ends the connection each time, as those of MQTT
3.1.1 do with a message that is too large for them, must not keep the readings from being sent."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from gateway.plugin import Message

TIMES = 3
"""Connections in a row that must end with the same one unanswered before it is left out."""
LEFT_OUT = 600.0
"""Seconds until it is tried again."""

_BLAMED, _TOO_MUCH = "retained_blamed", "retained_too_much"


class Retained:
    """Those of one connection, in their order; what it leaves for the next stands in `memory`."""

    def __init__(
        self, memory: dict[str, Any], log: structlog.stdlib.BoundLogger, publish: Callable[[Message], None]
    ) -> None:
        self._memory = memory
        self._log = log
        self._publish = publish
        self._waiting: deque[Message] = deque()
        self._under_way: deque[Message] = deque()

    def send(self, message: Message) -> None:
        """Send it now; after a connection that ended with such ones unanswered, one at a time, so that the next end tells
        which it was."""
        size, until = self._memory.get(_TOO_MUCH, (0, 0.0))
        if asyncio.get_running_loop().time() >= until or len(message.payload) < size:
            self._waiting.append(message)
            self._go_on()

    @property
    def busy(self) -> bool:
        """Whether records should wait, because one of these is being tried alone."""
        return self._careful and bool(self._under_way)

    @property
    def _careful(self) -> bool:
        return bool(self._memory.get(_BLAMED, ("", 0))[1])

    def _go_on(self) -> None:
        while self._waiting and not self.busy:
            message = self._waiting.popleft()
            self._under_way.append(message)
            self._publish(message)

    def answered(self, count: int) -> None:
        """The broker has answered the oldest ones."""
        for _ in range(min(count, len(self._under_way))):
            self._under_way.popleft()
        self._go_on()

    def ended(self) -> None:
        """The connection has ended: the oldest unanswered one may be why. All of its size are left out once that has
        happened often enough."""
        if not self._under_way:
            self._memory[_BLAMED] = ("", 0)
            return
        oldest = self._under_way[0]
        topic, times = self._memory.get(_BLAMED, ("", 0))
        times = times + 1 if topic == oldest.topic else 1
        if times >= TIMES:
            self._leave_out(oldest)
            times = 0
        self._memory[_BLAMED] = (oldest.topic, times)
        self._under_way.clear()
        self._waiting.clear()

    def _leave_out(self, message: Message) -> None:
        size = len(message.payload)
        self._memory[_TOO_MUCH] = (size, asyncio.get_running_loop().time() + LEFT_OUT)
        self._log.warning(
            "the broker ends the connection over a description or state: left out for 10 min; raise the broker's limit,"
            " or allow the topic",
            topic=message.topic,
            bytes=size,
        )
