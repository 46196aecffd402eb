"""A server that answers some services in its own way, in the loop of the test."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from gateway.plugin import Device
from tests.peers.opcua_hostile import Bent, value_of

from .conftest import make_device

Answers = dict[str, Callable[[object], object]]


class BentServer:
    """`await serve(…)` gives one; `answers` may be changed while it runs."""

    def __init__(self, port: int, answers: Answers) -> None:
        self.port = port
        self.answers = answers
        self.spoil: Callable[[bytes], bytes] = bytes
        """What becomes of the bytes of each answer."""
        self.repeats = 1
        """How often each answer is sent."""
        self.asked: list[object] = []
        """All requests, in order."""
        self.connections: list[asyncio.StreamWriter] = []

    def device(self, count: int = 2, **options) -> Device:
        """A device of tags T0, T1 and so on."""
        tags = [f"T{number}" for number in range(count)]
        return make_device(f"opc.tcp://127.0.0.1:{self.port}", tags, **{"timeout": "5s", **options})

    def kinds(self, name: str) -> list[object]:
        """The requests of one kind."""
        return [each for each in self.asked if type(each).__name__ == name]

    def cut(self) -> None:
        """Break all connections."""
        for each in self.connections:
            each.transport.abort()
        self.connections.clear()


@asynccontextmanager
async def bent(**answers: Callable[[object], object]):
    """A server on this machine that answers requests of these kinds so; None is no answer, an exception a cut."""
    made = BentServer(0, answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connections.append(writer)
        server = Bent(reader, writer)
        answer_to = server.answer_to

        async def noted(request: object) -> None:
            made.asked.append(request)
            server.answers |= made.answers
            await answer_to(request)

        async def spoilt(response: object) -> None:
            body = response if isinstance(response, bytes) else struct_to_binary(response)
            for _ in range(made.repeats):
                await Bent.answer(server, made.spoil(body))

        server.answer_to, server.answer = noted, spoilt
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await server.serve()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        made.cut()


def fault(name: str) -> ua.ServiceFault:
    """The answer that a request as a whole is refused."""
    made = ua.ServiceFault()
    made.ResponseHeader.ServiceResult = ua.StatusCode(getattr(ua.StatusCodes, name))
    return made


def row_of(node: ua.NodeId) -> int:
    """Of the node of a tag; -1 for any other."""
    name = node.Identifier
    return int(name[1:]) if isinstance(name, str) and name[1:].isdigit() else -1


def reading(odd: dict[int, bytes]) -> Callable[[ua.ReadRequest], bytes]:
    """Read answers in which the values of some rows are these bytes."""

    def read(asked: ua.ReadRequest) -> bytes:
        wanted = asked.Parameters.NodesToRead
        values = [odd.get(row_of(each.NodeId)) or struct_to_binary(value_of(each.NodeId)) for each in wanted]
        return struct_to_binary(ua.ReadResponse())[:-8] + struct.pack("<i", len(values)) + b"".join(values) + bytes(4)

    return read
