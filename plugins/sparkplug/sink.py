"""The Sparkplug sink. A record is acknowledged when the broker has answered the barrier behind all of its messages."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.plugin import Device, Record, RefusedError, Sink, SinkHost

from .config import SparkplugConfig

if TYPE_CHECKING:
    from .session import EdgeSession


class SparkplugSink(Sink[SparkplugConfig]):
    def __init__(self, config: SparkplugConfig, host: SinkHost) -> None:
        super().__init__(config, host)
        self._session: EdgeSession | None = None

    def _new_session(self) -> "EdgeSession":
        try:
            from .session import EdgeSession  # here, because protobuf costs time and memory: only who connects pays
        except ModuleNotFoundError as error:
            raise RefusedError(
                f"Sparkplug needs a library that is not installed ({error.name}): {sys.executable} -m pip install protobuf"
            ) from error
        return EdgeSession(self.config, self.host, self.log)

    @property
    def _connected(self) -> "EdgeSession":
        if self._session is None:
            raise RuntimeError("the sink was not connected")
        return self._session

    @property
    def promise(self) -> Mapping[str, Any]:
        said = {} if self._session is None else self._session.promise
        return {**said, "exposed": "the network can read the password: set tls"} if self.config.exposed else said

    @property
    def progress(self) -> int:
        return 0 if self._session is None else self._session.progress

    @property
    def own_fault(self) -> bool:
        return self._session is not None and self._session.own_fault

    async def connect(self) -> None:
        session = self._new_session()
        await session.connect()
        self._session = session

    async def serve(self) -> None:
        await self._connected.serve()

    def send(self, records: Sequence[Record]) -> None:
        self._connected.send(records)

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        self._connected.device_changed(device)

    async def check(self) -> str:
        return await self._new_session().check()

    async def close(self) -> None:
        await self._connected.close()
