"""A sink whose far side asks for things: what it puts into `Requesting.requests`, with a future for the answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.plugin import GatewayError, Record, Sink, SinkConfig


class Requesting(Sink[SinkConfig]):
    requests: "asyncio.Queue[tuple[str, dict[str, Any], asyncio.Future[Any]]]"

    async def connect(self) -> None:
        pass

    def send(self, records: Sequence[Record]) -> None:
        asyncio.get_running_loop().call_soon(self.host.acknowledged, list(records))

    async def serve(self) -> None:
        while True:
            command, arguments, answer = await self.requests.get()
            try:
                answer.set_result(await self.host.request(command, arguments))
            except GatewayError as error:
                answer.set_exception(error)
