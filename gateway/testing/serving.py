"""A device or server in the test's own process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""One connection, until it returns, or the far side hangs up in the middle of it; which is not its fault."""


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[int]:
    """Serves over TCP on this machine, each connection by a `talk` of its own; gives the port. At the end all connections are
    closed."""
    talks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            with contextlib.suppress(ConnectionError, EOFError):
                await talk(reader, writer)
            writer.close()
        except RuntimeError:
            if not writer.transport.is_closing():  # uvloop raises it when something is written then
                raise
        except asyncio.CancelledError:  # the end; Python 3.11 would log it as an error if it were raised
            writer.transport.abort()
        finally:
            talks.discard(task)

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()
