"""How soon a link that swallows everything is given up: proven in a time that only passes while everybody waits, so that the
machine's own delays are not in it."""

import asyncio
import selectors
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.core.record import Record
from gateway.publish import publisher

from .far_side import Far, FarSink, swallow
from .memory_log import MemoryLog
from .test_publisher import build, numbered

ACK_TIMEOUT = 2.0


class Leap(selectors.SelectSelector):
    """Waits for nothing: the clock leaps to when the wait would be over."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


def in_leaps(run: Callable[[], Any]) -> None:
    """Run a coroutine function in an event loop of such a time."""
    selector = Leap()

    def loop() -> asyncio.AbstractEventLoop:
        leaping = asyncio.SelectorEventLoop(selector)
        leaping.time = lambda: selector.now  # type: ignore[method-assign]
        return leaping

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def down_at(far: Far, log: MemoryLog) -> tuple[float, str]:
    """When, in the loop's time, the sink is down, and why."""
    subject = build(far, log, ack_timeout=f"{ACK_TIMEOUT:g}s")
    running = asyncio.create_task(subject.run())
    while subject.health.state != "down":
        await asyncio.sleep(0.01)
    at, reason = asyncio.get_running_loop().time(), subject.health.reason
    running.cancel()
    await asyncio.wait([running])
    return at, reason


@pytest.mark.parametrize(("answers_until", "late"), [(0.0, 1.25), (0.3, 1.5), (1.0, 1.5), (3.25, 1.5)])
def test_a_link_is_down_when_it_was_silent_for_ack_timeout_and_soon_after(
    answers_until: float, late: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at each quarter of it; a look that finds an answer starts anew."""
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 60.0)

    async def run() -> None:
        loop, last = asyncio.get_running_loop(), 0.0

        def falls_silent(sink: FarSink, records: Sequence[Record]) -> None:
            nonlocal last
            if loop.time() < answers_until:
                last = loop.time()
                sink.host.acknowledged(records)
                loop.call_later(0.1, log.append, *numbered(records[-1].seq + 1))
            else:
                last = last or loop.time()
                swallow(sink, records)

        log = MemoryLog()
        log.append(*numbered(1))
        at, reason = await down_at(Far(falls_silent), log)
        assert "no acknowledgement for 2 s with 1 record on the way" in reason
        assert ACK_TIMEOUT <= at - last <= ACK_TIMEOUT * late + 0.02, "0.02 s until the test looks"

    in_leaps(run)
