"""The Kafka sink. A record is acknowledged when all replicas in sync have all messages that it became."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.plugin import Record, RefusedError, Sink, SinkHost

from .config import KafkaConfig

if TYPE_CHECKING:
    from .session import KafkaSession

EXPOSED = "the network can read the password: set tls"


class KafkaSink(Sink[KafkaConfig]):
    def __init__(self, config: KafkaConfig, host: SinkHost) -> None:
        super().__init__(config, host)
        self._session: KafkaSession | None = None

    @property
    def promise(self) -> Mapping[str, Any]:
        said = {} if self._session is None else self._session.promise
        return {**said, "exposed": EXPOSED} if self.config.exposed else said

    @property
    def progress(self) -> int:
        return 0 if self._session is None else self._session.progress

    @property
    def own_fault(self) -> bool:
        """Always: brokers answer what they do not take, and hang up over no record; so none is suspected when a connection
        ends, and none is tried before another, which would change the order."""
        return True

    async def connect(self) -> None:
        self._session = self._made()
        await self._session.connect()

    def _made(self) -> "KafkaSession":
        try:
            from .session import KafkaSession  # aiokafka is loaded only where it is used
        except ModuleNotFoundError as error:
            raise RefusedError(
                f"Kafka needs a library that is not installed ({error.name}): {sys.executable} -m pip install aiokafka"
            ) from error
        return KafkaSession(self.config, self.host, self.log)

    async def serve(self) -> None:
        assert self._session is not None
        await self._session.serve()

    def send(self, records: Sequence[Record]) -> None:
        assert self._session is not None
        self._session.send(records)

    async def check(self) -> str:
        """Asks for the cluster, the topics and our rights to them, and for a producer id; writes nothing."""
        session = self._made()
        await session.connect()
        try:
            return await session.check()
        finally:
            await session.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
