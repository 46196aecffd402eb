"""What `discover` finds of OPC UA: what a server tells without a login."""

import asyncio

from gateway.plugin import Search
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig, OpcUaConfig


async def at_once() -> None:
    """The pace of tests."""


async def find(port: int, timeout: float = 30):
    search = Search(at_once, host="127.0.0.1", ports=(port,), timeout=timeout)
    return [each async for each in OpcUa.discover(search)]


async def test_an_unprotected_server_is_written_as_what_it_is(serve):
    peer = await serve()
    (found,) = await find(peer.port)
    assert found.options["security"] == "none"
    OpcUaConfig.model_validate({"name": "found", "driver": "opcua", **found.options})
    assert [NodeConfig.model_validate(options) for options in found.tags.values()]
    assert found.name


async def test_the_best_protection_and_the_certificate_are_told(serve):
    peer = await serve("--security", "Basic256Sha256")
    (found,) = await find(peer.port)
    assert "security" not in found.options
    assert any("Basic256Sha256 sign_and_encrypt" in line for line in found.about)
    assert any(peer.thumbprint in line for line in found.about)
    assert any(line.startswith("login: ") and "anonymous" in line for line in found.about)


async def test_who_speaks_something_else_or_nothing_is_nobody():
    async def babble(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async def hang_up(reader, writer):
        writer.close()

    for manner in (babble, hang_up):
        server = await asyncio.start_server(manner, "127.0.0.1", 0)
        async with server:
            assert await find(server.sockets[0].getsockname()[1]) == []
