"""One connection to a broker: requests out, answers back in their order (Kafka protocol, "A guide to the protocol").

aiokafka's tables say how requests and answers are written. Its connection is not used: it takes frames of any length, and
its producer sends again by itself, where the gateway has its own rules for that.
"""

import asyncio
from collections import deque
from typing import Any, cast

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v4, MetadataRequest_v5, MetadataResponse_v5
from aiokafka.protocol.produce import ProduceRequest_v3, ProduceRequest_v7, ProduceRequest_v8
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from gateway.kit import Receiver, Route, Sized, dial, shown
from gateway.plugin import LinkError, RefusedError, Tls, cleaned, doubting

ANSWER = 1024 * 1024
"""Bytes of an answer, at most: those that we ask for have a few hundred."""

_Versions = dict[int, tuple[int, int]]


def _whole(header: bytes) -> int:
    if header[0] in (0x15, 0x16) and header[1] == 3:  # a record of TLS: an alert, or a handshake
        raise ValueError("it speaks TLS on this port: set tls")
    size = int.from_bytes(header, "big")
    if size < 4:
        raise ValueError(f"an answer of {size} bytes has no number")
    return 4 + size


class MetadataResponseV8(Response):  # type: ignore[misc]
    """With what we may do to each topic (KIP-430)."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        *zip(MetadataResponse_v5.SCHEMA.names[:4], MetadataResponse_v5.SCHEMA.fields[:4], strict=True),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataRequestV8(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponseV8
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class Metadata(Request[MetadataRequest_v4 | MetadataRequest_v5 | MetadataRequestV8]):  # type: ignore[misc]
    """Which brokers there are, and who leads the partitions of these topics."""

    API_KEY = 3

    def __init__(self, topics: list[str], rights: bool = False) -> None:
        """`rights`: also what we may do, where the broker can tell."""
        self._topics = topics
        self._rights = rights

    def build(self, request_struct_class: Any) -> Any:
        more = (False, self._rights) if request_struct_class.API_VERSION >= 8 else ()
        return request_struct_class(self._topics, False, *more)


class Produce(Request[ProduceRequest_v3 | ProduceRequest_v7 | ProduceRequest_v8]):  # type: ignore[misc]
    """Batches for partitions, taken when all replicas in sync have them (acks = all)."""

    API_KEY = 0

    def __init__(self, timeout_ms: int, topics: list[tuple[str, list[tuple[int, bytes]]]]) -> None:
        self._timeout_ms = timeout_ms
        self._topics = topics

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(None, -1, self._timeout_ms, self._topics)


class BrokerLink(Receiver):
    """Made by `dial_broker`. Every request that has no answer when it ends gets a LinkError."""

    def __init__(self, name: str, client_id: str) -> None:
        super().__init__(Sized(4, _whole, 4 + ANSWER))
        self.name = name
        self.ended: asyncio.Future[LinkError] = asyncio.get_running_loop().create_future()
        """Why it has ended; its result, never an exception."""
        self._gone = asyncio.Event()
        self._client_id = client_id
        self._versions: _Versions = {}
        self._number = 0
        self._open: deque[tuple[int, Any, asyncio.Future[Any]]] = deque()
        self._transport: asyncio.Transport | None = None

    async def greet(self) -> None:
        """Ask what the broker understands. Raises LinkError, RefusedError for what is no broker."""
        answer = await self.ask(ApiVersionRequest())
        self._versions = {key: (least, most) for key, least, most in answer.api_versions}

    def knows(self, api_key: int) -> bool:
        """Whether the broker has such a request at all."""
        return api_key in self._versions

    def ask(self, request: Any) -> "asyncio.Future[Any]":
        """Send a request; its answer comes as the result, or a LinkError. Raises RefusedError for a broker that does not know
        it."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.ended.done() or self._transport is None:
            future.set_exception(LinkError(str(self.ended.result() if self.ended.done() else "not connected")))
            return future
        try:
            wanted = request.prepare(self._versions)
        except (IncompatibleBrokerVersion, NotImplementedError) as error:
            raise RefusedError(
                f"broker {self.name} does not understand what is asked of it ({cleaned(error)}); Kafka 1.0 or later does"
            ) from error
        self._number = (self._number + 1) & 0x7FFF_FFFF
        head = wanted.build_request_header(correlation_id=self._number, client_id=self._client_id).encode()
        body = wanted.encode()
        self._open.append((self._number, wanted, future))
        self._transport.writelines(((len(head) + len(body)).to_bytes(4, "big"), head, body))
        return future

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self.flow = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def frame_received(self, frame: bytes) -> None:
        if not self._open or self._open[0][0] != int.from_bytes(frame[4:8], "big"):
            self.nonsense_received("an answer to nothing that was asked")
            return
        _, wanted, future = self._open.popleft()
        try:
            with doubting(ValueError):
                answer = wanted.RESPONSE_TYPE.decode(frame[8:])
        except ValueError as error:
            self._open.appendleft((0, wanted, future))
            self.nonsense_received(str(error))
            return
        if not future.done():
            future.set_result(answer)

    def nonsense_received(self, reason: str) -> None:
        kind = LinkError if self._versions else RefusedError
        self.end(kind(f"broker {self.name}: what came is no answer of Kafka: {reason}"))

    def connection_lost(self, error: Exception | None) -> None:
        said = "the broker closed the connection" if error is None else f"connection lost ({cleaned(error)})"
        if not self._versions:
            said += " at the first word: does this port want tls, or none; is it Kafka's?"
        self.end(LinkError(f"broker {self.name}: {said}"))
        self._gone.set()

    def end(self, why: LinkError) -> None:
        """Close at once."""
        self.stop()
        if not self.ended.done():
            self.ended.set_result(why)
        while self._open:
            future = self._open.popleft()[2]
            if not future.done():
                future.set_exception(type(why)(str(why)))
                future.exception()  # whoever asked may have stopped waiting
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close, and wait until the socket is gone."""
        self.end(LinkError("the connection was closed"))
        if self._transport is not None:
            await self._gone.wait()


async def dial_broker(host: str, port: int, tls: Tls | bool, way: Route, client_id: str) -> BrokerLink:
    """A connection that has greeted. Raises LinkError, RefusedError; then nothing is left open."""
    name = shown(host, port)
    look_at = "is Kafka running there, and is this the port of a listener for clients?"
    link = await dial(lambda: BrokerLink(name, client_id), host, port, tls=tls, look_at=look_at, route=way)
    try:
        await link.greet()
    except BaseException:
        await link.close()
        raise
    return link
