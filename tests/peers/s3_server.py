"""An S3 for tests: moto's server, which is kind, behind a proxy that is not.

moto has a virtual environment of its own, for what it needs is large: `sh .ci/tools.sh` makes it.
"""

import asyncio
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.peers.ports import free_port

SERVER = Path(__file__).parent / "moto" / "venv" / "bin" / "moto_server"

Fate = Callable[[str, str], str]
"""Of a request, by its method and path: "" (it goes through), "500", "503", "silence", "cut" (in the middle of what is sent),
"deaf" (it is done, and the answer is lost)."""


def fair(method: str, path: str) -> str:
    """All goes through."""
    return ""


@contextmanager
def s3_server(folder: Path) -> Iterator["S3"]:
    """Running, with a bucket `lake`."""
    if not SERVER.exists():
        pytest.skip("needs moto, an S3 for tests: sh .ci/tools.sh")
    port = free_port()
    with (folder / "moto.log").open("w") as log:
        server = subprocess.Popen([SERVER, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    try:
        _wait(port)
        with proxy(port) as s3:
            s3.make_bucket("lake")
            yield s3
    finally:
        server.terminate()
        server.wait(20)


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("moto does not answer")


class S3:
    """What is between the gateway and moto."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self.fate: Fate = fair
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and fate of each."""

    def make_bucket(self, name: str) -> None:
        """As an owner would; past the proxy."""
        self._ask("PUT", name)

    def remove_bucket(self, name: str) -> None:
        """With all that is in it."""
        urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{self._target}/moto-api/reset", method="POST"), timeout=30
        ).close()

    def _ask(self, method: str, path: str) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self._target}/{path}", method=method)
        request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request")
        urllib.request.urlopen(request, timeout=30).close()

    def config(self, **more: Any) -> dict[str, Any]:
        """Options of a sink that writes there."""
        return {
            "url": "s3://lake/line-3",
            "endpoint": f"http://127.0.0.1:{self.port}",
            "allow_http": True,
            "user": "key",
            "password": {"env": "LAKE_SECRET"},
            **more,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, request by request."""
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.decode("latin1").split(" ", 2)
        size = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        fate = self.fate(method, path)
        self.requests.append((method, path, fate))
        if fate == "cut":
            await reader.readexactly(size // 2)
            return False
        body = await reader.readexactly(size)
        if fate == "silence":
            await asyncio.sleep(3600)
        if fate in ("500", "503"):
            code = {"500": "InternalError", "503": "SlowDown"}[fate]
            said = f"<Error><Code>{code}</Code></Error>".encode()
            writer.write(b"HTTP/1.1 %s no\r\nContent-Length: %d\r\n\r\n%s" % (fate.encode(), len(said), said))
            return True
        answer = await self._forwarded(head, body)
        if fate == "deaf":
            return False
        writer.write(answer)
        await writer.drain()
        return False  # moto's answers end with their connection

    async def _forwarded(self, head: bytes, body: bytes) -> bytes:
        there, out = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            out.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
            await out.drain()
            return await there.read(-1)
        finally:
            out.close()


@contextmanager
def proxy(target: int) -> Iterator[S3]:
    """In a thread of its own."""
    s3, loop = S3(target), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(s3.serve, "127.0.0.1", 0))
    s3.port = server.sockets[0].getsockname()[1]
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()
