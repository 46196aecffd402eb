"""Servers of a few lines, which leave nothing open."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serve each connection so, on a free port, which it gives; at the end all of them are cut off."""
    tasks: set[asyncio.Task[Any]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError, EOFError, asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(one, host, port) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            await asyncio.sleep(0.01)  # what was accepted is begun
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # what was aborted is closed
