"""A real control socket with made-up answers behind it, in a thread of its own, and the command line in this process."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.command import Actor
from gateway.core.errors import GatewayError
from gateway.operate.commands import TABLE, Commands
from gateway.operate.socket.control import ControlServer

Answers = Mapping[str, Any]


class Asked:
    """The server, and what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}

    def command(self, name: str) -> Callable[..., Any]:
        async def answer(by: Actor, **arguments: Any) -> Any:
            self.requests.append((name, arguments))
            told = self.answers[name]
            if isinstance(told, Exception):
                raise told
            return told

        return answer


@contextmanager
def serving(asked: Asked) -> Iterator[None]:
    """Serve until the block ends."""
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    commands = Commands({name: asked.command(name) for name in TABLE})

    async def serve() -> None:
        async with ControlServer(asked.path, commands, patience=60.0):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    asked = Asked(tmp_path / "control.sock")
    monkeypatch.setenv("EDGE_GATEWAY_SOCKET", str(asked.path))
    with serving(asked):
        yield asked


@pytest.fixture
def refusing(gateway: Asked) -> Asked:
    gateway.answers = dict.fromkeys(("status", "tags", "read", "reload"), GatewayError('no device "press-9"'))
    return gateway
