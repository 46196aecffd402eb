"""A sink in which each callback can be made to raise; `OddSink.trouble` says which, and what."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.plugin import Device, LinkError, Record, Sink, SinkConfig


class Calm:
    """No trouble anywhere."""

    cut = False

    def at(self, place: str) -> None:
        """Nothing happens."""


class OddSinkConfig(SinkConfig):
    pass


class OddSink(Sink[OddSinkConfig]):
    trouble: Any = Calm()

    def __init__(self, *arguments: Any) -> None:
        self.trouble.at("__init__")
        super().__init__(*arguments)

    @property
    def window(self) -> int:
        self.trouble.at("window")
        return 10

    @property
    def promise(self) -> Mapping[str, Any]:
        self.trouble.at("promise")
        return {}

    async def connect(self) -> None:
        self.trouble.at("connect")
        self.trouble.cut = False

    async def serve(self) -> None:
        while not self.trouble.cut:
            self.trouble.at("serve")
            await asyncio.sleep(0.01)
        raise LinkError("cut")

    def send(self, records: Sequence[Record]) -> None:
        self.trouble.at("send")
        self.trouble.sent += len(records)
        asyncio.get_running_loop().call_soon(self.host.acknowledged, list(records))

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        self.trouble.at("device_changed")

    async def close(self) -> None:
        self.trouble.at("close")
