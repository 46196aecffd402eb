"""Writing one value, in the type that its node has."""

from collections.abc import Callable
from typing import Any

from asyncua import ua

from gateway.plugin import DeviceError, Tag

from ..address import parse_place
from ..config import NodeConfig
from ..session.errors import in_words, name_of
from ..session.session import OpcUaSession
from .services import read

Value = float | bool | int | str

_RANGES = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1),
    ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
}
_REASONS = {
    "BadNotWritable": "the server says that it cannot be written",
    "BadUserAccessDenied": "this user may not write it",
    "BadTypeMismatch": "the server wants a value of another type",
    "BadOutOfRange": "the server finds the value out of range",
    "BadNodeIdUnknown": "the server has no such node",
}


async def write_tag(session: OpcUaSession, tag: Tag, value: Value) -> None:
    """Write a value. Raises DeviceError, with the reason, when the value does not fit or the server refuses it."""
    place = parse_place(tag.config.address)
    node = session.node_id(place)
    if node is None:
        raise DeviceError(f"{tag.name}: {session.why_none(place)}")
    config: NodeConfig = tag.config
    if config.field is not None:
        raise DeviceError(f"{tag.name}: members of structures are not written")
    (present,) = await read(session, [(node, ua.AttributeIds.Value, config.index_range)])
    if present.Value is None or present.Value.Value is None:
        raise DeviceError(
            f"{tag.name}: its type is not known, since the server tells no value of it ({_said(present)})"
        )
    try:
        variant = as_element(value, present.Value) if config.element else as_variant(value, present.Value)
    except ValueError as error:
        raise DeviceError(f"{tag.name}: {error}") from error
    status = await _write(session, node, variant, config.index_range)
    if not status.is_good():
        name = name_of(int(status.value))
        raise DeviceError(f"{tag.name}: {_REASONS.get(name, 'the server refuses the value')} ({name})")


def _said(data: ua.DataValue) -> str:
    return name_of(int(data.StatusCode.value)) if data.StatusCode is not None else "no value"


async def _write(session: OpcUaSession, node: ua.NodeId, variant: ua.Variant, part: str | None) -> ua.StatusCode:
    request = ua.WriteRequest()
    data = ua.DataValue(variant, StatusCode=None)
    request.Parameters.NodesToWrite = [ua.WriteValue(node, ua.AttributeIds.Value, part, data)]
    with in_words("writing", session.certificate):
        return (await session.request(request, ua.WriteResponse)).Results[0]


def as_variant(value: Value, present: ua.Variant) -> ua.Variant:
    """A value as one of the present value's type. Raises ValueError, saying what is wanted."""
    if present.is_array:
        raise ValueError("whole arrays are not written; index_range makes a tag of one element")
    return of_kind(value, present.VariantType)


def of_kind(value: Value, kind: ua.VariantType) -> ua.Variant:
    """A value as one of this type. Raises ValueError, saying what is wanted."""
    if kind in _RANGES:
        return ua.Variant(_integer(value, *_RANGES[kind]), kind)
    take: Callable[[Any], Any] | None = _TAKEN.get(kind)
    if take is None:
        raise ValueError(f"values of type {kind.name} are not written")
    return ua.Variant(take(value), kind)


def as_element(value: Value, present: ua.Variant) -> ua.Variant:
    """A value as the one element of an array of the present value's type, or of a matrix."""
    element = present.Value
    while isinstance(element, list | tuple) and element:
        element = element[0]
    found = as_variant(value, ua.Variant(element, present.VariantType)).Value
    for _ in present.Dimensions or [1]:
        found = [found]
    return ua.Variant(found, present.VariantType)


def _integer(value: Value, least: int, most: int) -> int:
    if isinstance(value, str) or not least <= value <= most or value != int(value):
        raise ValueError(f"wants an integer from {least} to {most}, not {value!r}")
    return int(value)


def _boolean(value: Value) -> bool:
    if isinstance(value, str) or value not in (0, 1):
        raise ValueError(f"wants true or false, not {value!r}")
    return bool(value)


def _float(value: Value) -> float:
    if isinstance(value, str):
        raise ValueError(f"wants a number, not {value!r}")
    return float(value)


def _string(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"wants a text, not {value!r}")
    return value


_TAKEN: dict[ua.VariantType, Callable[[Any], Any]] = {
    ua.VariantType.Boolean: _boolean,
    ua.VariantType.Float: _float,
    ua.VariantType.Double: _float,
    ua.VariantType.String: _string,
    ua.VariantType.LocalizedText: lambda value: ua.LocalizedText(_string(value)),
    ua.VariantType.ByteString: lambda value: _string(value).encode(),
}
