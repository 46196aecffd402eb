"""A destination in memory; `Memory.far` is what stands there, over all connections."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from gateway.plugin import Device, LinkError, Record, Secret, Sink, SinkConfig


class Far:
    def __init__(self) -> None:
        self.down = False
        self.connects = 0
        self.closes = 0
        self.records: list[Record] = []
        self.story: list[tuple[str, Any]] = []
        """Topic and body of every message, in their order."""
        self.news = asyncio.Event()

    def hear(self, topic: str, payload: bytes) -> None:
        self.story.append((topic, json.loads(payload)))
        self.news.set()


class MemoryConfig(SinkConfig):
    note: str = ""
    """To change something."""

    word: Secret | None = None
    """To show something of itself."""


class Memory(Sink[MemoryConfig]):
    far: Far

    async def connect(self) -> None:
        if self.far.down:
            raise LinkError("the far side is down")
        self.far.connects += 1
        self._encoder = self.host.encoder("{site}/{area}/{device}", False)

    async def serve(self) -> None:
        while not self.far.down:
            await asyncio.sleep(0.01)
        raise LinkError("cut")

    def send(self, records: Sequence[Record]) -> None:
        for record in records:
            self.far.records.append(record)
            for message in self._encoder.messages(record):
                self.far.hear(message.topic, message.payload)
        asyncio.get_running_loop().call_soon(self.host.acknowledged, list(records))

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        for message in (self._encoder.description(device), self._encoder.state(device, online, reason)):
            self.far.hear(message.topic, message.payload)

    async def close(self) -> None:
        self.far.closes += 1
        self.far.hear("closed", b"{}")
