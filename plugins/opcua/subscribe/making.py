"""Making monitored items by the ten thousand: requests are encoded from columns, several are under way at a time, and the
answers are decoded into columns (OPC 10000-4 §5.13.2).

A request that is too much is divided, and one that is refused, or whose answer makes no sense, too, until the item is found
that is the cause.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import extensionobject_to_binary, nodeid_to_binary
from asyncua.ua.uaerrors import BadTooManyMonitoredItems
from numpy.typing import NDArray

from gateway.plugin import doubting

from ..session.errors import TOO_MUCH, in_words, of_what_was_asked
from ..session.session import OpcUaSession
from ..values.bounds import CountError, NotUnderstoodError, after_header
from ..values.extent import extension_object_end

FULL = int(ua.StatusCodes.BadTooManyMonitoredItems)
"""Of an item for which a subscription, or the server, has no more room."""
AT_A_TIME = 4
"""Requests under way, once the server has answered one of that size: it goes on making items while we write the next."""
MOST_SPOILT = 8
"""Items that spoil a request before any other one was made: then it is no trouble of single items."""
REPORTING = 2
"""Monitoring mode."""

_COUNT = struct.Struct("<i")
_BEGIN = struct.Struct("<IIi")
"""Subscription, timestamps to return, items."""
_RANGE = struct.Struct("<Ii")
"""Attribute, length of the index range."""
_CODING_AND_MODE = struct.pack("<HiI", 0, -1, REPORTING)
_WISHES = struct.Struct("<Id")
_QUEUE = struct.Struct("<I?")
_NO_FILTER = bytes(3)
_RESULT = np.dtype([("status", "<u4"), ("item", "<u4"), ("sampling", "<f8"), ("queue", "<u4")])
"""A result up to its filter's."""
_PLAIN = np.dtype([*_RESULT.descr, ("filter", "V3")])
"""One whose filter's result is none, as nearly all are."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of the server, one row for each item."""

    nodes: Sequence[ua.NodeId]
    handles: Sequence[int]
    """Under which the values come."""
    sampling: NDArray[np.float64]
    """Milliseconds; -1 for as often as is reported."""
    queue: NDArray[np.uint32]
    ranges: Sequence[str | None]
    filters: Sequence[ua.DataChangeFilter | ua.EventFilter | None]
    attribute: int = ua.AttributeIds.Value

    def encoded(self, subscription: int, begin: int, end: int) -> bytes:
        """The parameters of a request for some of them."""
        parts = [_BEGIN.pack(subscription, ua.TimestampsToReturn.Both, end - begin)]
        sampling, queue = self.sampling[begin:end].tolist(), self.queue[begin:end].tolist()
        for row, interval, size in zip(range(begin, end), sampling, queue, strict=True):
            filter_ = self.filters[row]
            parts += (
                nodeid_to_binary(self.nodes[row]),
                self._range(row),
                _CODING_AND_MODE,
                _WISHES.pack(self.handles[row], interval),
                _NO_FILTER if filter_ is None else extensionobject_to_binary(filter_),
                _QUEUE.pack(size, True),
            )
        return b"".join(parts)

    def _range(self, row: int) -> bytes:
        raw = (self.ranges[row] or "").encode()
        return _RANGE.pack(self.attribute, len(raw) or -1) + raw


@dataclass(slots=True)
class Made:
    """The server's word on each item, in order."""

    status: NDArray[np.uint32]
    item: NDArray[np.uint32]
    """The server's number."""
    sampling: NDArray[np.float64]
    queue: NDArray[np.uint32]


async def make(session: OpcUaSession, subscription: int, wishes: Wishes) -> Made:
    """Add items to a subscription; status `FULL` for those that it has no room for, whether the server says so of each or
    refuses the request."""
    return await _Making(session, subscription, wishes).run()


class _Making:
    def __init__(self, session: OpcUaSession, subscription: int, wishes: Wishes) -> None:
        self._session, self._subscription, self._wishes = session, subscription, wishes
        count = len(wishes.nodes)
        self._made = Made(
            np.full(count, FULL, np.uint32),
            np.zeros(count, np.uint32),
            wishes.sampling.copy(),
            wishes.queue.copy(),
        )
        self._left: deque[tuple[int, int]] = deque([(0, count)] if count else [])
        """Rows, from and to, that are still to be asked for."""
        self._size = session.limits["subscribe"]
        self._proven = 0
        """The largest request that the server has taken."""
        self._full = False
        self._spoilt: list[Exception] = []
        """Why single items could not be made, until one could."""

    async def run(self) -> Made:
        with in_words("subscribing", self._session.certificate):
            while self._left and not self._full:
                await self._some()
            if self._spoilt and not self._session.makes_items:
                raise self._spoilt[-1]
        if not self._full:
            self._session.limits["subscribe"] = self._size
        return self._made

    async def _some(self) -> None:
        """A few requests at once; one alone as long as its size is new to the server."""
        parts = [self._next()]
        while self._left and len(parts) < AT_A_TIME and self._proven >= self._size:
            parts.append(self._next())
        sent = []
        for begin, end in parts:
            sent.append(asyncio.ensure_future(self._ask(begin, end)))
            await asyncio.sleep(0)  # it is encoded and sent, and others have their turn
        try:
            outcomes = await asyncio.gather(*sent, return_exceptions=True)
        finally:
            for each in sent:
                each.cancel()
        for part, outcome in reversed(list(zip(parts, outcomes, strict=True))):
            self._judge(*part, outcome)

    def _next(self) -> tuple[int, int]:
        begin, end = self._left.popleft()
        if end - begin > self._size:
            self._left.appendleft((begin + self._size, end))
            end = begin + self._size
        return begin, end

    async def _ask(self, begin: int, end: int) -> None:
        parameters = self._wishes.encoded(self._subscription, begin, end)
        answer = await self._session.request_encoded(ua.CreateMonitoredItemsRequest, parameters)
        _take(answer, self._made, begin, end)

    def _judge(self, begin: int, end: int, outcome: BaseException | None) -> None:
        """What became of the request for these rows."""
        if outcome is None:
            self._proven = max(self._proven, end - begin)
            self._session.makes_items = True
            self._full |= int(self._made.status[end - 1]) == FULL
        elif isinstance(outcome, (*TOO_MUCH, BadTooManyMonitoredItems)):
            self._size = min(self._size, max(1, (end - begin) // 2))
            self._full |= end - begin == 1
            self._left.appendleft((begin, end))
        elif isinstance(outcome, ua.UaStatusCodeError) and of_what_was_asked(outcome):
            self._halve(begin, end, int(outcome.code), outcome)
        elif isinstance(outcome, NotUnderstoodError):
            self._halve(begin, end, int(ua.StatusCodes.BadDecodingError), outcome)
        else:
            raise outcome

    def _halve(self, begin: int, end: int, code: int, error: Exception) -> None:
        if end - begin == 1:
            self._made.status[begin] = code
            self._spoilt.append(error)
            if len(self._spoilt) >= MOST_SPOILT and not self._session.makes_items:
                raise error
            return
        half = (begin + end) // 2
        self._left.extendleft([(half, end), (begin, half)])


def _take(answer: Buffer, made: Made, begin: int, end: int) -> None:
    """Keep the results of an answer. Raises NotUnderstoodError, or the error that the answer tells."""
    rest = after_header(answer)
    with doubting(NotUnderstoodError):
        (count,) = _COUNT.unpack(rest.read(_COUNT.size))
    asked = end - begin
    if count != asked:
        raise CountError(asked, count)
    with doubting(NotUnderstoodError):
        results = _results(rest.data, rest.cur_pos, rest.cur_pos + len(rest), count)
    made.status[begin:end], made.item[begin:end] = results["status"], results["item"]
    made.sampling[begin:end], made.queue[begin:end] = results["sampling"], results["queue"]


def _results(data: bytes, at: int, end: int, count: int) -> NDArray[np.void]:
    if count * _PLAIN.itemsize <= end - at:
        plain = np.frombuffer(data, _PLAIN, count, at)
        if not any(plain["filter"].tobytes()):
            return plain
    found = np.empty(count, _RESULT)
    for row in range(count):  # what a filter's result says is not looked at
        if at + _RESULT.itemsize > end:
            raise NotUnderstoodError("it is cut off")
        found[row] = np.frombuffer(data, _RESULT, 1, at)[0]
        at = extension_object_end(data, at + _RESULT.itemsize, end)
    return found
