"""What blocks in dialling, a name server or a TLS handshake, has a thread of its own, which may be left behind."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from gateway.core.errors import LinkError

T = TypeVar("T")

AT_ONCE = 4
"""Threads that may hang on one destination; they end when their name server or peer lets them."""

_dialling: defaultdict[str, set[threading.Thread]] = defaultdict(set)


async def in_a_thread(destination: str, dial: Callable[[], T]) -> T:
    """Wait for `dial`, and raise what it raises. A cancelled wait leaves the thread to itself; so does the end of the
    process, which waits for no daemon thread. Raises LinkError when too many of them hang already."""
    for other, threads in tuple(_dialling.items()):
        threads -= {thread for thread in threads if not thread.is_alive()}
        if not threads:
            del _dialling[other]
    threads = _dialling[destination]
    if len(threads) >= AT_ONCE:
        raise LinkError(f"{AT_ONCE} attempts to dial {destination} hang: does the name server answer?")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(call: Callable[[], None]) -> None:
        if not done.done():
            call()

    def run() -> None:
        try:
            call = partial(done.set_result, dial())
        except BaseException as raised:  # noqa: BLE001 - raised again where it is waited for
            call = partial(done.set_exception, raised)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, call)

    thread = threading.Thread(target=run, name="dial", daemon=True)
    threads.add(thread)
    thread.start()
    return await done
