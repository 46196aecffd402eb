"""The messages of a subscription, from their bytes (OPC 10000-4 §5.14.5, §7.25)."""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary
from numpy.typing import NDArray

from gateway.plugin import doubting

from .blocks import Block
from .bounds import Measured, NotUnderstoodError, after_header, decoded
from .bulk_decoder import HANDLE, LOGGED, Decoder
from .extent import DEEPEST, variant_end

EVENTS = 10
"""Events that are decoded at a time."""
MOST_EVENTS = 20_000
"""Events of one message."""
MOST_PARTS = 1000
"""Parts of one message."""

_COUNT = struct.Struct("<i")
_HANDLE = struct.Struct("<I")
_EVENT = struct.Struct("<Ii")
"""Its notifier, and how many fields follow."""
_HEAD = struct.Struct("<Iqi")
"""Number of the message, its time, parts."""
_DATA_CHANGE, _EVENTS, _STATUS_CHANGE = 811, 916, 820
"""What a part is: ids of the binary encodings."""
_AS_USUAL = bytes.fromhex("01002b03") + b"\1"
"""How a part with data values begins, as nearly all servers write it."""
_OVERFLOW = bytes.fromhex("110100db0b"), bytes.fromhex("11020000db0b0000")
"""The type of the event that tells of it (i=3035), in both ways in which it is written."""

Handles = NDArray[np.intp]


class EndUnknownError(NotUnderstoodError):
    """Where a value ends cannot be told, and so neither where the next ones begin."""

    def __init__(self, handle: int, reason: str, raw: bytes) -> None:
        super().__init__(reason)
        self.handle = handle
        """Of the value."""
        self.raw = raw


@dataclass(slots=True)
class Notification:
    """One message of a subscription."""

    subscription: int
    sequence: int
    """Number of the message; for a keep-alive the number that the next message will have."""
    more: bool
    """The server has further messages waiting."""
    keep_alive: bool = True
    ended: int | None = None
    """The status code with which the server ended the subscription; None while it lives."""
    _raw: bytes = b""
    _values: list[tuple[int, int]] = field(default_factory=list)
    """Where the parts with values begin and end."""
    _events: list[tuple[int, int]] = field(default_factory=list)
    _places: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each event: its notifier, and where it begins and ends."""
    undecodable: int = 0
    """Events that could not be decoded."""

    @property
    def acknowledgement(self) -> ua.SubscriptionAcknowledgement:
        """What lets the server forget it."""
        return ua.SubscriptionAcknowledgement(self.subscription, self.sequence)

    def values(self, decoder: Decoder, now_ns: int) -> Iterator[tuple[Handles, Block]]:
        """Client handles and values, in portions. `now_ns` stands in where the server gives no time.

        Raises EndUnknownError.
        """
        for begin, end in self._values:
            (left,) = _COUNT.unpack_from(self._raw, begin)
            at = begin + _COUNT.size
            while left > 0:
                handles, block, at = self._portion(decoder, at, end, left, now_ns)
                left -= len(handles)
                yield handles, block

    def _portion(self, decoder: Decoder, at: int, end: int, left: int, now_ns: int) -> tuple[Handles, Block, int]:
        try:
            with doubting(NotUnderstoodError):
                return decoder.items(self._raw, at, end, left, now_ns)
        except NotUnderstoodError as error:
            if at + HANDLE > end:
                raise
            (handle,) = _HANDLE.unpack_from(self._raw, at)
            raise EndUnknownError(handle, str(error), self._raw[at + HANDLE : at + HANDLE + LOGGED]) from None

    def event_counts(self) -> Counter[int]:
        """Notifier → how many events of it there are. Raises NotUnderstoodError."""
        self._find_events()
        return Counter(handle for handle, _, _ in self._places)

    def overflows(self) -> bool:
        """Whether one of the events says that the server's queue has run over."""
        return any(mark in self._raw for mark in _OVERFLOW) if self._events else False

    def events(self) -> Iterator[list[ua.EventFieldList]]:
        """The events, in portions; one that cannot be decoded is left out, and counted in `undecodable`."""
        for at in range(0, len(self._places), EVENTS):
            portion = []
            for _, begin, end in self._places[at : at + EVENTS]:
                try:
                    portion.append(decoded(ua.EventFieldList, Measured(self._raw, begin, end - begin)))
                except NotUnderstoodError:
                    self.undecodable += 1
            yield portion

    def _find_events(self) -> None:
        with doubting(NotUnderstoodError):
            for begin, end in self._events:
                (count,) = _COUNT.unpack_from(self._raw, begin)
                if count > MOST_EVENTS:
                    raise NotUnderstoodError(f"a message of {count} events")
                at = begin + _COUNT.size
                for _ in range(count):
                    handle, fields = _EVENT.unpack_from(self._raw, at)
                    start, at = at, at + _EVENT.size
                    for _ in range(fields):
                        at = variant_end(self._raw, at, end, DEEPEST)
                    self._places.append((handle, start, at))


def decode_publish(data: Buffer) -> Notification:
    """A publish answer from its bytes. Raises NotUnderstoodError, or the error that the answer tells."""
    rest = after_header(data)
    with doubting(NotUnderstoodError):
        subscription, available = struct.unpack("<Ii", rest.read(8))
        rest.skip(4 * max(0, available))
        more = rest.read(1) != b"\0"
        return _message(subscription, rest, more=more)


def decode_republish(subscription: int, data: Buffer) -> Notification:
    """A message that was asked for once more. Raises as `decode_publish` does."""
    rest = after_header(data)
    with doubting(NotUnderstoodError):
        return _message(subscription, rest, more=False)


def _message(subscription: int, rest: Measured, *, more: bool) -> Notification:
    sequence, _, parts = _HEAD.unpack(rest.read(_HEAD.size))
    if parts > MOST_PARTS:
        raise NotUnderstoodError(f"a message of {parts} parts")
    found = Notification(subscription, sequence, more, _raw=rest.data)
    stop = rest.cur_pos + len(rest)
    for _ in range(parts):
        found.keep_alive = False
        begin = rest.cur_pos
        if parts == 1 and found._raw[begin : begin + 5] == _AS_USUAL:  # spares a few µs
            (length,) = _COUNT.unpack_from(found._raw, begin + 5)
            if 8 <= length <= stop - begin - 9:
                found._values.append((begin + 9, begin + 9 + length))
                break
        kind = nodeid_from_binary(rest)
        encoding = rest.read(1)
        if encoding not in (b"\0", b"\1"):
            raise NotUnderstoodError(
                f"a part of a notification is encoded in the way {encoding.hex()}, which there is not"
            )
        (length,) = _COUNT.unpack(rest.read(4)) if encoding == b"\1" else (0,)
        begin = rest.cur_pos
        rest.skip(length if length >= 0 else stop - begin)  # old servers give none; it is the last part then
        if kind.NamespaceIndex == 0 and rest.cur_pos - begin >= _COUNT.size:
            _note(found, kind.Identifier, begin, rest.cur_pos)
    return found


def _note(found: Notification, kind: int, begin: int, end: int) -> None:
    if kind == _DATA_CHANGE:
        found._values.append((begin, end))
    elif kind == _EVENTS:
        found._events.append((begin, end))
    elif kind == _STATUS_CHANGE:
        (found.ended,) = struct.unpack_from("<I", found._raw, begin)
