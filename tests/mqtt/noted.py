"""A session whose answers are noted, for tests to wait for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.mqtt import MqttOptions, MqttSession, Received


class Noted:
    """What came back of a session."""

    def __init__(self) -> None:
        self.acknowledged: list[Any] = []
        self.refused: list[tuple[Any, int, str]] = []
        self.messages: list[Received] = []
        self.largest_in_flight = 0
        self.session: MqttSession
        self._changed = asyncio.Event()

    def take(self, tokens: list[Any]) -> None:
        self.largest_in_flight = max(self.largest_in_flight, self.session.status()["in_flight"])
        self.acknowledged += tokens
        self._changed.set()

    def refuse(self, token: Any, code: int, reason: str) -> None:
        self.refused.append((token, code, reason))
        self._changed.set()

    def message(self, message: Received) -> None:
        self.messages.append(message)
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout: float = 60.0) -> None:
        """Wait, event by event, until the condition holds."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def options(port: int, **more: Any) -> MqttOptions:
    """A broker on a busy machine has time to answer."""
    return MqttOptions(**{"host": "127.0.0.1", "port": port, "client_id": "press-gw", "timeout": 30.0, **more})


def noted_session(port: int, *, will: Any = None, client_type: Any = None, **more: Any) -> Noted:
    noted = Noted()
    noted.session = MqttSession(
        options(port, **more),
        on_acknowledged=noted.take,
        on_refused=noted.refuse,
        on_message=noted.message,
        will=will,
        client_type=client_type,
    )
    return noted


@asynccontextmanager
async def connected(port: int, **more: Any) -> AsyncIterator[Noted]:
    noted = noted_session(port, **more)
    await noted.session.connect()
    try:
        yield noted
    finally:
        await noted.session.disconnect()
