"""From the server's data values to columns.

The library decodes a whole publish answer into objects, which are taken apart here. Everything that knows of its layout
is in this file, so that a decoder of our own can take its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import struct_from_binary
from numpy.typing import NDArray

from gateway.plugin import Device, Exact, Readings, quality

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EXACT_INT = 2**53
_NAN = float("nan")
OVERFLOW = 0x0480
"""Info bits of a status code: the server's queue was full and values before this one are gone (OPC 10000-4 §7.39)."""

TYPES = {
    ua.VariantType.Boolean: "bool",
    ua.VariantType.SByte: "int8",
    ua.VariantType.Byte: "uint8",
    ua.VariantType.Int16: "int16",
    ua.VariantType.UInt16: "uint16",
    ua.VariantType.Int32: "int32",
    ua.VariantType.UInt32: "uint32",
    ua.VariantType.Int64: "int64",
    ua.VariantType.UInt64: "uint64",
    ua.VariantType.Float: "float32",
    ua.VariantType.Double: "float64",
    ua.VariantType.String: "string",
    ua.VariantType.DateTime: "string",
    ua.VariantType.Guid: "string",
    ua.VariantType.XmlElement: "string",
    ua.VariantType.LocalizedText: "string",
    ua.VariantType.QualifiedName: "string",
    ua.VariantType.NodeId: "string",
    ua.VariantType.ExpandedNodeId: "string",
    ua.VariantType.ByteString: "bytes",
    ua.VariantType.StatusCode: "uint32",
}
"""Built-in types that a tag can have, and what they become."""


_unpack_array = ua_binary.unpack_uatype_array


def _unpack_array_of_something(kind: ua.VariantType, data: Any) -> Any:
    """The library believes an array of nulls whatever length it claims, since a null takes no byte: a damaged answer of a
    few bytes then costs minutes and gigabytes."""
    if kind == ua.VariantType.Null:
        raise ua.UaError("an array of nulls, which OPC UA does not have")
    return _unpack_array(kind, data)


ua_binary.unpack_uatype_array = _unpack_array_of_something


@dataclass(slots=True)
class Notification:
    """One publish answer."""

    subscription: int
    sequence: int
    """Number of the message; for a keep-alive the number that the next message will have."""
    keep_alive: bool
    more: bool
    """The server has further messages waiting."""
    handles: list[int]
    """Client handle of each value."""
    values: list[ua.DataValue]
    ended: int | None
    """The status code with which the server ended the subscription; None while it lives."""

    @property
    def acknowledgement(self) -> ua.SubscriptionAcknowledgement:
        """What lets the server forget it."""
        return ua.SubscriptionAcknowledgement(self.subscription, self.sequence)


def decode_publish(data: Any) -> Notification:
    """A publish answer from its bytes. Raises what the library raises, see `errors.NOT_UNDERSTOOD`."""
    response = struct_from_binary(ua.PublishResponse, data)
    response.ResponseHeader.ServiceResult.check()
    result = response.Parameters
    return decode_message(int(result.SubscriptionId), result.NotificationMessage, more=bool(result.MoreNotifications))


def decode_message(subscription: int, message: ua.NotificationMessage, *, more: bool = False) -> Notification:
    """The message of a publish answer, or one that was asked for again."""
    handles: list[int] = []
    values: list[ua.DataValue] = []
    ended = None
    for part in message.NotificationData or ():
        if isinstance(part, ua.DataChangeNotification):
            handles += [item.ClientHandle for item in part.MonitoredItems]
            values += [item.Value for item in part.MonitoredItems]
        elif isinstance(part, ua.StatusChangeNotification):
            ended = int(part.Status.value)
    keep_alive = not message.NotificationData
    return Notification(subscription, int(message.SequenceNumber), keep_alive, more, handles, values, ended)


def as_readings(device: Device, ids: NDArray[np.uint32], values: Sequence[ua.DataValue], now_ns: int) -> Readings:
    """One block of values, one for each of the tag ids. `now_ns` stands in where the server gives no time.

    A bad value is NaN with the server's status code. A good NaN becomes a sensor failure, an array or a structure
    not supported: neither is a value that a tag can have.
    """
    count = len(values)
    t_ns = np.empty(count, np.int64)
    column = np.full(count, _NAN)
    codes = np.empty(count, np.uint32)
    exact: dict[int, Exact] = {}
    for row, data in enumerate(values):
        t_ns[row] = _time(data, now_ns)
        code = int(data.StatusCode.value) if data.StatusCode is not None else quality.GOOD
        if code < quality.BAD:
            value = plain(data.Value)
            if isinstance(value, float):
                column[row] = value
                if isnan(value):
                    code = quality.BAD_SENSOR_FAILURE
            elif value is None:
                code = quality.BAD_NOT_SUPPORTED if is_unsupported(data.Value) else BAD_NO_DATA
            else:
                exact[row] = value
        codes[row] = code & ~quality.FLAGS
    return Readings(device, t_ns, ids, column, codes, exact)


BAD_NO_DATA = 0x809B_0000
"""BadNoData: good, says the server, but it sends no value."""


def plain(variant: ua.Variant | None) -> float | Exact | None:
    """A variant's value as a float, or exactly where a float64 cannot hold it; None for none and for what no tag can be."""
    if variant is None or variant.is_array or variant.VariantType not in TYPES:
        return None
    match variant.Value:
        case None:
            return "" if variant.VariantType in _TEXTS else None
        case bool() | float() as number:
            return float(number)
        case int() as number:
            return float(number) if -_EXACT_INT <= number <= _EXACT_INT else int(number)
        case ua.StatusCode() as code:
            return float(code.value)
        case bytes() as raw:
            return raw
    return _text(variant.Value)


def _text(value: Any) -> str:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case ua.LocalizedText():
            return value.Text or ""
        case ua.QualifiedName():
            return f"{value.NamespaceIndex}:{value.Name}"
        case ua.NodeId():
            return str(value.to_string())
    return str(value)


_TEXTS = {ua.VariantType.String, ua.VariantType.LocalizedText, ua.VariantType.XmlElement}


def is_unsupported(variant: ua.Variant | None) -> bool:
    """Whether there is a value, but of a kind that no tag can have."""
    return variant is not None and variant.Value is not None and (variant.is_array or variant.VariantType not in TYPES)


def kind_of(variant: ua.Variant) -> str:
    """A variant's kind in words, such as "an array of Double"."""
    name = variant.VariantType.name
    return f"an array of {name}" if variant.is_array else f"a value of type {name}"


def _time(data: ua.DataValue, now_ns: int) -> int:
    told = data.SourceTimestamp or data.ServerTimestamp
    if told is None:
        return now_ns
    return int((told - _EPOCH) // _MICROSECOND) * 1000
