"""What the contract suites of drivers and sinks have in common."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
import pytest_asyncio

from gateway.core.errors import DeviceError, LinkError
from gateway.testing.attack import ATTACKS, GAP, MEMORY, Attack, watching
from gateway.testing.blocking import Blocking
from gateway.testing.link import Link, TcpLink
from gateway.testing.waiting import eventually

LINK_LOST = (LinkError, OSError, EOFError, TimeoutError)
"""What ends a connection, and is no bug."""


class Contract:
    """A link with a switch between the plugin and its far side, and a watch on what the plugin leaves behind."""

    patience: float = 20.0
    """Seconds after which an unanswered wait fails; the protocol's own time-outs must lie below."""
    attacked_for: float = 0.4
    """Seconds for which a far side that attacks is borne, each time."""
    attacked_at_once: int = 4
    """Lines that are attacked beside each other, with two connections each; 1 for a server that allows few."""
    attacks: Mapping[str, Mapping[str, Attack]] = ATTACKS
    """What the far side does, by kind; to find which one fails, give a part of it."""
    holes: Mapping[str, str] = {}
    """Kinds of attack that the plugin does not bear yet, and why: they must fail, so that nobody forgets to take them out."""
    loops: Sequence[str] = ("asyncio",)
    """The event loops that it runs on, where they are installed; see `gateway.testing.loops`."""
    has_link: bool = True
    """False for a plugin that dials nothing: then what needs a link to cut does not apply."""

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        """The far side, in this process or another; yields its TCP port."""
        if self.has_link:
            raise NotImplementedError("give your test class a fixture `server` that yields a port")
        yield 0

    @pytest_asyncio.fixture
    async def link(self, server: int) -> AsyncIterator[Link]:
        """The way to the server."""
        async with TcpLink(server) as link:
            yield link

    async def _in_time(self, wait: Any, missing: Callable[[], str] = lambda: "") -> Any:
        """The result of waiting; fails after `patience`, also if what is waited for will not be cancelled, and when it has
        blocked the event loop. `missing` says what did not come."""
        blocking = Blocking()
        task = asyncio.ensure_future(wait if asyncio.isfuture(wait) else blocking.measured(wait))
        done, _ = await asyncio.wait([task], timeout=self.patience)
        if not done:
            if task.cancelling():
                pytest.fail(
                    f"it was cancelled, and went on for {self.patience:g} s: what swallows the cancellation? "
                    "(asyncio.wait_for does, asyncio.timeout does not; so does an except that takes CancelledError)"
                )
            task.cancel()
            pytest.fail(f"no answer within {self.patience:g} s. {missing()}".rstrip())
        blocking.check()
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

    @contextlib.asynccontextmanager
    async def _harmless(self, link: Link, trouble: str, request: pytest.FixtureRequest) -> AsyncIterator[None]:
        """Fails if memory or the loop suffered in the body, or an error got lost."""
        if not isinstance(link, TcpLink):
            pytest.skip("only a far side that is reached by TcpLink can be made to attack")
        if trouble in self.holes:
            request.applymarker(pytest.mark.xfail(strict=True, reason=self.holes[trouble]))
        async with watching() as watch:
            yield
        assert watch.grown < MEMORY, f"it took {watch.grown >> 20} MiB of memory"
        assert watch.gap < GAP, f"it kept the event loop for {watch.gap:.1f} s"
        assert not watch.errors, "errors that nobody caught"

    async def _outlives(self, call: Awaitable[Any]) -> None:
        """Lets it work for a while, after which it is cancelled, as by the gateway after its time-out; fails for errors that
        are taken for bugs."""
        task = asyncio.ensure_future(call)
        await asyncio.wait([task], timeout=self.attacked_for)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, DeviceError, *LINK_LOST):
            await self._in_time(task)

    def _needs_link(self) -> None:
        if not self.has_link:
            pytest.skip("this plugin has no link that could be cut")


def _workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("line-")]
