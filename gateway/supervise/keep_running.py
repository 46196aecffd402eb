"""The only retry loop of the program."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn

import structlog

from gateway.core.errors import DeviceError, LinkError
from gateway.core.text import in_words
from gateway.supervise.backoff import Backoff
from gateway.supervise.contained import alone
from gateway.supervise.foreign import outcome
from gateway.supervise.health import Health

EXPECTED = (LinkError, DeviceError, OSError, TimeoutError, EOFError)
"""What plants do to connections; everything else is a bug."""


async def keep_running(
    session: Callable[[], Awaitable[None]], health: Health, backoff: Backoff | None = None
) -> NoReturn:
    """Run `session` again and again, with pauses that grow while it fails.

    The session calls `health.up()` once it works, and ends by raising: an expected error makes the part down, anything else
    faulted, be it SystemExit or a cancellation that nobody asked for. Only cancelling this task ends the loop.
    """
    backoff = backoff or Backoff()
    try:
        while True:
            pause = backoff.limit
            try:
                pause = backoff.pause(await _once(session, health))
            except Exception as error:  # noqa: BLE001 - who is told of the part's state has a bug: the part goes on
                structlog.get_logger().error("a change of state was not told", part=health.name, exc_info=error)
            health.tries_again_in(pause)
            await asyncio.sleep(pause)
            health.tries_again_in(None)
    finally:
        health.stopped()


async def _once(session: Callable[[], Awaitable[None]], health: Health) -> float:
    """One session; returns for how many seconds it was up."""
    error = await _end_of(session)
    try:
        return _judged(error, health)
    finally:
        let_go(error)


async def _end_of(session: Callable[[], Awaitable[None]]) -> Exception:
    """Why a session has ended. A cancellation is handed on to it, and raised when it has ended, whatever it made of it."""
    task = alone(session)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            cancelled = True
    try:
        outcome(task)
    except Exception as error:  # noqa: BLE001 - the supervisor is where every exception is judged
        ended = error
    else:
        ended = LinkError("the connection ended")
    if cancelled:
        raise asyncio.CancelledError
    return ended


def _judged(error: Exception, health: Health) -> float:
    up_for = health.age if health.state == "up" else 0.0
    leaf = next(leaves(error))
    if all(isinstance(each, EXPECTED) for each in leaves(error)):
        health.down(told(leaf))
    else:
        health.faulted(told(next(each for each in leaves(error) if not isinstance(each, EXPECTED))), error)
    return up_for


def told(error: BaseException) -> str:
    """An error of a plugin in words: what it says, behind its kind where it is none of the expected ones. Never raises,
    though the error may be of a class that a plugin brought."""
    said = in_words(error)
    kind = type(error).__name__
    if isinstance(error, EXPECTED):
        return said or ("no answer in time" if isinstance(error, TimeoutError) else kind)
    return f"{kind}: {said}"


def let_go(error: BaseException) -> None:
    """Take from an error that was told what hangs on it: a traceback holds frames, whose variables hold connections, buffers
    of megabytes and the error itself. Such circles stay until the collector comes, which is seldom."""
    open_ones: list[BaseException | None] = [error]
    seen = set[int]()
    while open_ones:
        each = open_ones.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        BaseException.with_traceback(each, None)
        open_ones += (
            BaseException.__getattribute__(each, "__cause__"),
            BaseException.__getattribute__(each, "__context__"),
        )
        if isinstance(each, BaseExceptionGroup):
            open_ones += each.exceptions


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The single errors within an exception group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error
