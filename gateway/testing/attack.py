"""What a far side may bring instead of answers: floods, giants, drips, and answers that are not what was asked for; and the
watch on memory and on the event loop meanwhile."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

MEMORY = 32 * 1024 * 1024
"""Bytes by which the process may grow while it is attacked."""

GAP = 0.5
"""Seconds of computing after which the event loop must have come round. Of our own computing, so that a busy machine does not
count."""

_BLOCK = 64 * 1024


class FarEnd(Protocol):
    """A connection of the plugin, as an attack has it in hand."""

    async def answer(self) -> bytes:
        """The next block that the real far side says, which goes no further by itself."""
        ...

    async def say(self, data: bytes) -> None:
        """Send to the plugin, as fast as it takes it."""
        ...

    def hang_up(self) -> None:
        """Close the connection."""
        ...


Attack = Callable[[FarEnd], Awaitable[None]]
"""Misbehaves on one connection until it is cancelled; when it returns, there is silence."""


def _endless(block: bytes) -> Attack:
    async def attack(far: FarEnd) -> None:
        while True:
            await far.say(block)

    return attack


async def _repeating(far: FarEnd) -> None:
    answer = await far.answer()
    while True:
        await far.say(answer * (_BLOCK // len(answer) + 1))


async def _swelling(far: FarEnd) -> None:
    answer = await far.answer()
    await far.say(answer[: (len(answer) + 1) // 2])
    await _endless(bytes(_BLOCK))(far)


async def _dripping(far: FarEnd) -> None:
    for byte in itertools.cycle(await far.answer()):
        await far.say(bytes([byte]))
        await asyncio.sleep(0.05)


async def _silent(far: FarEnd) -> None:
    while True:
        await far.answer()


async def _half(far: FarEnd) -> None:
    answer = await far.answer()
    await far.say(answer[: len(answer) // 2])


async def _half_and_gone(far: FarEnd) -> None:
    await _half(far)
    far.hang_up()


async def _doubled(far: FarEnd) -> None:
    while True:
        await far.say(2 * await far.answer())


async def _of_another_request(far: FarEnd) -> None:
    before = await far.answer()
    while True:
        now = await far.answer()
        await far.say(before)
        before = now


async def _random(far: FarEnd) -> None:
    dice = random.Random(1)
    while True:
        await far.answer()
        await far.say(dice.randbytes(dice.randint(1, 300)))


async def _spoilt(far: FarEnd) -> None:
    dice = random.Random(2)
    while True:
        answer = bytearray(await far.answer())
        answer[dice.randrange(len(answer))] ^= dice.randint(1, 255)
        await far.say(bytes(answer))


ATTACKS: Mapping[str, Mapping[str, Attack]] = {
    "floods": {
        "endless noise": _endless(random.Random(0).randbytes(_BLOCK)),
        "endless zeros": _endless(bytes(_BLOCK)),
        "endless ones": _endless(b"\xff" * _BLOCK),
        "an endless line": _endless(b"A" * _BLOCK),
        "endless empty lines": _endless(b"\r\n" * (_BLOCK // 2)),
        "the same answer for ever": _repeating,
        "an answer that swells": _swelling,
    },
    "odd answers": {
        "an answer in drips": _dripping,
        "silence": _silent,
        "half an answer": _half,
        "half an answer and the end": _half_and_gone,
        "every answer twice": _doubled,
        "answers of another request": _of_another_request,
        "random answers": _random,
        "spoilt answers": _spoilt,
    },
}


@dataclass
class Watched:
    """What was seen while the body ran."""

    grown: int = 0
    """Bytes that the process grew by, at most."""
    gap: float = 0.0
    """Seconds of computing without the loop coming round, at most."""
    errors: list[str] = field(default_factory=list)
    """What nobody caught in callbacks and tasks."""


@contextlib.asynccontextmanager
async def watching() -> AsyncIterator[Watched]:
    """Watch memory and the loop while the body runs."""
    loop = asyncio.get_running_loop()
    watch, before = Watched(), _resident()

    async def beat() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.01)
            now = time.thread_time()
            watch.gap, last = max(watch.gap, now - last), now
            watch.grown = max(watch.grown, _resident() - before)

    def uncaught(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # A server in this process meets those when a link is reset; on uvloop a RuntimeError, when it writes then.
        of_server = isinstance(error, RuntimeError) and "client_connected_cb" in context["message"]
        if not isinstance(error, OSError) and not of_server:
            watch.errors.append(f"{context['message']}: {error!r}")

    beating = loop.create_task(beat())
    loop.set_exception_handler(uncaught)
    try:
        yield watch
    finally:
        loop.set_exception_handler(None)
        beating.cancel()
        await asyncio.wait([beating])


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
