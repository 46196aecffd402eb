"""The messages of a subscription, from their bytes."""

import struct
from dataclasses import dataclass, field

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary
from numpy.typing import NDArray

from .decode import Block, as_block, empty_block
from .fast import Decoder, UnexpectedLayoutError
from .structures import NO_TYPES, Types

_COUNT = struct.Struct("<i")
_HEAD = struct.Struct("<?Iqi")
"""More to come, number of the message, its time, parts."""
_DATA_CHANGE = bytes.fromhex("01002b03") + b"\x01"
"""Type id (i=811) and encoding of a part with data values."""
_NO_HANDLES = np.empty(0, np.intp)


@dataclass(slots=True)
class Notification:
    """One message."""

    subscription: int
    sequence: int
    """Number of the message; for a keep-alive the number that the next message will have."""
    keep_alive: bool
    more: bool
    """The server has further messages waiting."""
    handles: NDArray[np.intp]
    """Client handle of each row of the block."""
    block: Block
    ended: int | None = None
    """The status code with which the server ended the subscription; None while it lives."""
    events: list[ua.EventFieldList] = field(default_factory=list)

    @property
    def acknowledgement(self) -> ua.SubscriptionAcknowledgement:
        """What lets the server forget it."""
        return ua.SubscriptionAcknowledgement(self.subscription, self.sequence)


def decode_publish(data: Buffer, decoder: Decoder, now_ns: int) -> Notification:
    """A publish answer from its bytes. Raises what the library raises, see `errors.NOT_UNDERSTOOD`."""
    try:
        return _fast(data.copy(), decoder, now_ns)
    except (UnexpectedLayoutError, struct.error, IndexError):
        response = struct_from_binary(ua.PublishResponse, data)
        response.ResponseHeader.ServiceResult.check()
        result = response.Parameters
        return decode_message(
            int(result.SubscriptionId),
            result.NotificationMessage,
            now_ns,
            decoder.types,
            more=bool(result.MoreNotifications),
        )


def _fast(data: Buffer, decoder: Decoder, now_ns: int) -> Notification:
    """An answer with one part of data values, or none; any other is an unexpected layout."""
    nodeid_from_binary(data)
    struct_from_binary(ua.ResponseHeader, data).ServiceResult.check()
    raw, at = bytes(data), 0
    subscription, available = struct.unpack_from("<Ii", raw, at)
    at += 8 + 4 * max(0, available)
    more, sequence, _, parts = _HEAD.unpack_from(raw, at)
    at += _HEAD.size
    if parts <= 0:
        return Notification(subscription, sequence, True, more, _NO_HANDLES, empty_block(0))
    if parts != 1 or raw[at : at + 5] != _DATA_CHANGE:
        raise UnexpectedLayoutError
    (length,) = _COUNT.unpack_from(raw, at + 5)
    (count,) = _COUNT.unpack_from(raw, at + 9)
    if length < 8 or at + 9 + length > len(raw):
        raise UnexpectedLayoutError
    handles, block = decoder.items(raw, at + 13, at + 9 + length, max(0, count), now_ns)
    return Notification(subscription, sequence, False, more, handles, block)


def decode_message(
    subscription: int, message: ua.NotificationMessage, now_ns: int, types: Types = NO_TYPES, *, more: bool = False
) -> Notification:
    """A message that the library has decoded."""
    handles: list[int] = []
    values: list[ua.DataValue] = []
    events: list[ua.EventFieldList] = []
    ended = None
    for part in message.NotificationData or ():
        if isinstance(part, ua.DataChangeNotification):
            handles += [item.ClientHandle for item in part.MonitoredItems]
            values += [item.Value for item in part.MonitoredItems]
        elif isinstance(part, ua.EventNotificationList):
            events += part.Events or ()
        elif isinstance(part, ua.StatusChangeNotification):
            ended = int(part.Status.value)
    block = as_block(values, now_ns, types)
    keep_alive = not message.NotificationData
    sequence = int(message.SequenceNumber)
    return Notification(subscription, sequence, keep_alive, more, np.array(handles, np.intp), block, ended, events)
