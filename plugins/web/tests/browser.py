"""A browser that is nothing but a socket, so that it can do what no browser does."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        """Of a problem (RFC 9457)."""
        assert self.headers["content-type"] == "application/problem+json", self
        return str(self.json()["detail"])


class Browser:
    """Asks on a new connection each time; keeps cookies."""

    def __init__(self, address: str, context: ssl.SSLContext | None = None) -> None:
        self.address = address.rstrip("/")
        self.port = int(self.address.rpartition(":")[2])
        self.context = context
        self.cookies: dict[str, str] = {}
        self.form = ""
        """The secret of our own forms, once logged in."""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """An underscore in a header's name stands for "-"."""
        async with self.connected() as (reader, writer):
            writer.write(self.request(method, path, body, **headers))
            return self.remembered(await answer(reader, head=method == "HEAD"))

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, value: Any = None, **headers: str) -> Answer:
        """JSON, as a script of our own page sends it."""
        own = {"content_type": "application/json"} | ({"x_csrf_token": self.form} if self.form else {})
        return await self.ask("POST", path, b"" if value is None else json.dumps(value).encode(), **(own | headers))

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """The bytes of it."""
        all_ = {"host": f"127.0.0.1:{self.port}", "connection": "close"}
        if self.cookies:
            all_["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body:
            all_["content-length"] = str(len(body))
        all_ |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in all_.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def remembered(self, got: Answer) -> Answer:
        if cookie := got.headers.get("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "max-age=0" in cookie.lower():
                del self.cookies[name]
        return got


async def answer(reader: asyncio.StreamReader, head: bool = False) -> Answer:
    """The next one on a connection."""
    status, headers = await begun(reader)
    if head:
        return Answer(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, b"".join([part async for part in chunks(reader)]))
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    return Answer(status, headers, await reader.read())


async def begun(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    pairs = (line.partition(":") for line in lines)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The body of a stream, as it comes."""
    while size := int(await reader.readline(), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
