"""Requests over HTTP/1.1 to servers that answer as none should: each is an answer, or one error in words."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.core.errors import LinkError, RefusedError, UnreachableError
from gateway.kit.http_client import HttpAnswer, HttpClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[int]:
    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()


def says(*answers: bytes, stays: bool = False) -> Serve:
    """A connection that gives one of these to each request, and is then closed, unless it stays."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await request(reader)
            writer.write(answer)
            await writer.drain()
        if stays:
            await reader.read()

    return serve


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0)
    return head + await reader.readexactly(length)


async def ask(port: int, body: bytes | None = b"x") -> HttpAnswer:
    client = HttpClient(f"http://127.0.0.1:{port}/")
    try:
        async with asyncio.timeout(60):
            return await client.ask("POST", "/", {"A": "b"}, body)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (OK, 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nT: r\r\n\r\n", 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.0 500 no\r\n\r\nwhy", 500, b"why"),
        (b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 413, b""),
    ],
    ids=["plain", "no body", "interim", "chunked", "until the end", "HTTP/1.0", "closing"],
)
async def test_answers_are_read_however_they_are_framed(answer: bytes, status: int, body: bytes) -> None:
    async with server(says(answer)) as port:
        found = await ask(port)
    assert (found.status, found.body) == (status, body)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    ],
    ids=lambda answer: repr(answer[:30]),
)
async def test_what_is_no_answer_is_one_error(answer: bytes) -> None:
    async with server(says(answer)) as port:
        with pytest.raises(LinkError):
            await ask(port)


async def test_a_connection_is_kept_and_made_anew_where_the_server_has_closed_it() -> None:
    made = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        await says(OK, OK)(reader, writer)

    async with server(serve) as port:
        client = HttpClient(f"http://127.0.0.1:{port}")
        for _ in range(6):
            assert (await client.ask("POST", "/", body=b"")).status == 200
        assert (made, client.connections) == (3, 3)
        await client.close()


async def test_a_kept_connection_that_ends_at_the_request_is_made_anew_once() -> None:
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        for number in range(2):
            await request(reader)
            requests += 1
            if number or requests > 3:  # the second of a connection, and all from the fourth on
                writer.transport.abort()
                return
            writer.write(OK)

    async with server(serve) as port:
        client = HttpClient(f"http://127.0.0.1:{port}")
        for _ in range(2):
            assert (await client.ask("POST", "/", body=b"")).status == 200
        assert requests == 3
        with pytest.raises(LinkError):
            await client.ask("POST", "/", body=b"")
        assert requests == 5, "and no more often"
        await client.close()


async def test_what_is_said_unasked_is_no_answer_to_the_next_request() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK + b"HTTP/1.1 500 smuggled\r\nContent-Length: 0\r\n\r\n")
        await request(reader)
        writer.write(OK)

    async with server(serve) as port:
        client = HttpClient(f"http://127.0.0.1:{port}")
        for _ in range(3):
            assert (await client.ask("POST", "/", body=b"")).status == 200
        assert client.connections == 3
        await client.close()


async def test_an_answer_before_the_whole_request_was_read_counts() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        await reader.read()

    async with server(serve) as port:
        found = await ask(port, bytes(8 * 1024 * 1024))
    assert (found.status, found.words) == (413, "big")


async def test_nobody_there_and_no_tls_there_are_said_in_words() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with server(plain) as port:
        client = HttpClient(f"https://127.0.0.1:{port}")
        with pytest.raises(RefusedError, match="does not speak TLS"):
            await client.ask("POST", "/", body=b"")
    with pytest.raises(UnreachableError, match="connection refused; does the server run"):
        await ask(port)


async def test_a_request_that_can_be_none_is_an_error_before_it_is_sent() -> None:
    async with server(says(OK)) as port:
        client = HttpClient(f"http://127.0.0.1:{port}")
        with pytest.raises(LinkError, match="cannot be asked"):
            await client.ask("POST", "/a b", body=b"")
        with pytest.raises(LinkError, match="cannot be asked"):
            await client.ask("POST", "/", {"A": "b\r\nC: d"}, b"")
        await client.close()
