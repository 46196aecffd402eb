"""What the contract suites of drivers and sinks have in common."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.core.errors import LinkError
from gateway.testing.link import Link, TcpLink, eventually

LINK_LOST = (LinkError, OSError, EOFError, TimeoutError)
"""What ends a connection, and is no bug."""


class Contract:
    """A link with a switch between the plugin and its far side, and a watch on what the plugin leaves behind."""

    patience: float = 20.0
    """Seconds after which an unanswered wait fails; the protocol's own time-outs must lie below."""
    has_link: bool = True
    """False for a plugin that dials nothing: then what needs a link to cut does not apply."""

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        """The far side, in this process or another; yields its TCP port."""
        raise NotImplementedError("give your test class a fixture `server` that yields a port")
        yield 0

    @pytest_asyncio.fixture
    async def link(self, server: int) -> AsyncIterator[Link]:
        """The way to the server."""
        async with TcpLink(server) as link:
            yield link

    async def _in_time(self, wait: Any) -> Any:
        """The result of waiting; fails after `patience`, also if what is waited for will not be cancelled."""
        task = asyncio.ensure_future(wait)
        done, _ = await asyncio.wait([task], timeout=self.patience)
        if not done:
            task.cancel()
            pytest.fail(f"no answer within {self.patience} s")
        return task.result()

    @contextlib.asynccontextmanager
    async def _nothing_left(self, link: Link) -> AsyncIterator[None]:
        """Fails if tasks, connections or worker threads outlive the body."""
        tasks = asyncio.all_tasks()
        yield
        with contextlib.suppress(AssertionError):
            await eventually(lambda: not (asyncio.all_tasks() - tasks or link.connections or _workers()), self.patience)
        assert not asyncio.all_tasks() - tasks, "tasks are left running"
        assert not link.connections, "a connection is left open"
        assert not _workers(), "a worker thread is left running"

    def _needs_link(self) -> None:
        if not self.has_link:
            pytest.skip("this plugin has no link that could be cut")


def _workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("line-")]
