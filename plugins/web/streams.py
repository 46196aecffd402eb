"""Server-Sent Events (HTML Living Standard, 9.2): values as they change, and events as they happen.

All viewers are fed from one ring of portions that were encoded once. A viewer knows how far it is; who reads too slowly to
follow, and who comes anew, gets the whole state and goes on from there. So a viewer costs a number, however slow it is.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.plugin import Readings, ServiceHost, plain, quality, sees_names, to_json, without_names

from .replies import Refusal
from .visitors import Visitors

EVERY = 1.0
"""Seconds between two looks at the values."""
ALIVE = 2.0
"""Seconds after which a stream without news shows that it lives: a page whose stream is cut says so soon."""
VIEWERS = 100
RING = 4 * 1024 * 1024
"""Bytes of portions that are kept for who is late."""
AT_ONCE = 256 * 1024
"""Bytes that a viewer is given together: a hundred who do not take them hold no more than that each."""
RUN = secrets.token_hex(4)
"""Ids of another run mean nothing in this one."""


class Ring:
    """The last portions, numbered."""

    def __init__(self, bound: int = RING) -> None:
        self._bound = bound
        self._portions: deque[tuple[int, str | None, bytes]] = deque()
        self._size = 0
        self.next = 0
        self._news: asyncio.Future[None] | None = None

    def add(self, about: str | None, event: str, value: Any) -> None:
        """`about`: the device that it is of; None: whoever looks should know."""
        portion = encoded(event, value, self.next)
        self._portions.append((self.next, about, portion))
        self.next += 1
        self._size += len(portion)
        while self._size > self._bound:
            self._size -= len(self._portions.popleft()[2])
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    @property
    def first(self) -> int:
        """The oldest that is kept."""
        return self._portions[0][0] if self._portions else self.next

    def since(self, number: int, about: str) -> tuple[bytes, int]:
        """Portions from `number` on, about `AT_ONCE` bytes of them, and where it goes on: of all devices, where `about` is
        empty, and what is for all."""
        found: list[bytes] = []
        size = 0
        for at, device, portion in self._portions:
            if size >= AT_ONCE:
                return b"".join(found), at
            if at >= number and (about in ("", device) or device is None):
                found.append(portion)
                size += len(portion)
        return b"".join(found), self.next

    async def news(self) -> None:
        """Wait until there is more, or it is time to look who is there, and to show that it lives."""
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._news], timeout=ALIVE)


def encoded(event: str, value: Any, number: int) -> bytes:
    """One event of a stream. JSON has no line breaks, so it is one line."""
    return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (RUN.encode(), number, event.encode(), to_json(value))


class Streams:
    """Both streams; `run` while the service runs."""

    def __init__(self, host: ServiceHost, visitors: Visitors) -> None:
        self._host = host
        self._visitors = visitors
        self._values = Ring()
        self._events = Ring(RING // 4)
        self._nameless = Ring(RING // 4)
        """The same, for who does not see names."""
        self._before: dict[str, Readings] = {}
        self._viewers = 0
        self._looked_at = asyncio.Event()
        self._is_news = False
        """Whether something was told since the last look."""
        host.listen(self._told)

    def _told(self, event: Mapping[str, Any]) -> None:
        device = str(event.get("device", ""))
        self._events.add(device, "event", event)
        self._nameless.add(device, "event", without_names(event))
        self._is_news = True

    async def run(self) -> None:
        """Look at the values as long as anybody looks at them, until cancelled."""
        while True:
            await self._looked_at.wait()
            self._look()
            await asyncio.sleep(EVERY)
            if not self._viewers:
                self._looked_at.clear()
                self._before.clear()
                self._values.next += 1  # what changes meanwhile is in no portion, so nobody resumes across it

    async def values(self, request: Request) -> Response:
        await self._visitors.must_be(request, "tags")
        device = request.query_params.get("device", "")
        if device and device not in {each.name for each in self._host.devices}:
            raise Refusal(404, "there is no such device")

        def whole() -> Iterator[bytes]:
            for each in self._host.devices:
                if device in ("", each.name):
                    yield encoded("values", _told(self._host.values(each.name)), self._values.next - 1)

        return self._stream(request, self._values, device, whole)

    async def events(self, request: Request) -> Response:
        actor = await self._visitors.must_be(request, "events")
        ring = self._events if sees_names(actor) else self._nameless

        def gap() -> Iterator[bytes]:
            """What was before is not here any more: ask for the alarms."""
            yield encoded("gap", {}, ring.next - 1)

        return self._stream(request, ring, request.query_params.get("device", ""), gap)

    def _stream(self, request: Request, ring: Ring, about: str, whole: Any) -> Response:
        if self._viewers >= VIEWERS:
            raise Refusal(503, f"{VIEWERS} streams are open already", {"retry-after": "10"})
        if request.method == "HEAD":  # a stream has no end, and this one would have no reader
            return Response(media_type="text/event-stream")
        feed = self._feed(request, ring, about, whole)
        return StreamingResponse(feed, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def _feed(self, request: Request, ring: Ring, about: str, whole: Any) -> AsyncIterator[bytes]:
        self._viewers += 1
        self._looked_at.set()
        try:
            yield b"retry: 2000\n\n"
            at = _resumed(request.headers.get("last-event-id", ""))
            while await self._still(request):
                if at is None or not ring.first <= at <= ring.next:
                    at = ring.next
                    for portion in whole():
                        yield portion
                portions, at = ring.since(at, about)
                yield portions or b"event: alive\ndata: {}\n\n"
                if ring.next == at:
                    await ring.news()
        finally:
            self._viewers -= 1

    async def _still(self, request: Request) -> bool:
        """Whether who opened it may still look: a login may be over, a token revoked."""
        try:
            return await self._visitors.actor(request, used=False) is not None
        except Refusal:
            return False

    def _look(self) -> None:
        there, first = set(), not self._before
        for device in self._host.devices:
            try:
                now = self._host.values(device.name)
            except KeyError:
                continue
            there.add(device.name)
            before = self._before.get(device.name)
            self._before[device.name] = now
            if first:
                continue
            if before is None or len(before) != len(now) or before.device is not now.device:
                self._values.add(device.name, "values", _told(now))
            elif (rows := _changed(before, now)).any():
                self._values.add(device.name, "values", _told(now.take(np.flatnonzero(rows))))
        for name in self._before.keys() - there:
            del self._before[name]
            self._values.add(name, "gone", {"device": name})
        if self._is_news:
            self._values.add(None, "news", {})
            self._is_news = False


def _changed(before: Readings, now: Readings) -> Any:
    rows = (before.t_ns != now.t_ns) | (before.quality != now.quality)
    return rows | ((before.value != now.value) & ~(np.isnan(before.value) & np.isnan(now.value)))


def _told(block: Readings) -> Mapping[str, Any]:
    """Of each tag value, whether it is good, its source time in milliseconds since 1970, and unless it is plainly good the
    quality in words."""
    tags = {tag.id: tag for tag in block.device.tags}
    columns = zip(block.tag.tolist(), block.value.tolist(), block.quality.tolist(), block.t_ns.tolist(), strict=True)
    exact = block.exact
    return {
        "device": block.device.name,
        "tags": {
            tags[number].name: (
                plain(exact.get(row, value), tags[number].type),
                flags < quality.UNCERTAIN,
                t_ns // 1_000_000,
                *((quality.describe(flags),) if flags else ()),
            )
            for row, (number, value, flags, t_ns) in enumerate(columns)
        },
    }


def _resumed(said: str) -> int | None:
    """Where a viewer goes on, by the id that it heard last."""
    run, _, number = said.partition("-")
    return int(number) + 1 if run == RUN and number.isascii() and number.isdecimal() and len(number) < 18 else None
