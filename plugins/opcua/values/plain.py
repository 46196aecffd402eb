"""What a server's values become: numbers, texts, bytes, lists, and the members of structures by name."""

import base64
import json
from dataclasses import is_dataclass
from datetime import UTC, datetime
from enum import Enum
from math import isfinite
from typing import Any, TypeGuard

from asyncua import ua

from gateway.plugin import Exact, encodable

from .structures import NO_TYPES, EnumValue, Members, Types, members_of

_EXACT_INT = 2**53

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
_TEXTS = {ua.VariantType.String, ua.VariantType.LocalizedText, ua.VariantType.XmlElement}


def type_of(variant: ua.Variant, types: Types) -> str | None:
    """The tag type of a variant's values; empty for arrays, None for what no tag can be."""
    known = plain(variant, types) is not None
    if isinstance(variant.Value, ua.ExtensionObject) and not known:
        return "bytes"
    if not known:
        return None
    if variant.is_array:
        return ""
    return "string" if variant.VariantType == ua.VariantType.ExtensionObject else TYPES.get(variant.VariantType, "")


def type_of_member(value: Any) -> str | None:
    """The tag type of a structure's member of which only the value is known."""
    match value:
        case None:
            return None
        case bool():
            return "bool"
        case EnumValue() | Enum():
            return "int32"
        case int():
            return "int64"
        case float():
            return "float64"
        case bytes():
            return "bytes"
        case list():
            return ""
    return "string"


Plain = float | Exact | Members


def plain(variant: ua.Variant | None, types: Types = NO_TYPES) -> Plain | None:
    """A variant's value as a float, or exactly where a float64 cannot hold it: a list for an array, the members of a
    structure. None for no value, and for one of a kind that no tag can have."""
    if variant is None:
        return None
    if variant.Value is None:
        return "" if variant.VariantType in _TEXTS and not variant.is_array else None
    return one(variant.Value, types)


def _elements(values: Any, types: Types) -> list[Any] | None:
    """None if one of them is of a kind that no tag can have."""
    found = [one(value, types) for value in values]
    if any(each is None and value is not None for each, value in zip(found, values, strict=True)):
        return None
    return found


def one(value: Any, types: Types) -> Plain | None:
    """As `plain`, of the value alone."""
    match value:
        case bool() | float():
            return float(value)
        case int():
            return float(value) if -_EXACT_INT <= value <= _EXACT_INT else int(value)
        case ua.StatusCode():
            return float(value.value)
        case bytes():
            return value
        case ua.ExtensionObject():
            return types.members(value)
        case list() | tuple():
            return _elements(value, types)
        case ua.Variant():
            return plain(value, types)
        case None | dict():
            return value
    return members_of(value) if is_structure(value) else _text(value)


def is_structure(value: Any) -> bool:
    """Whether it is a structure whose members the library knows."""
    return is_dataclass(value) and not isinstance(
        value, ua.ExtensionObject | ua.NodeId | ua.LocalizedText | ua.QualifiedName
    )


def as_exact(value: Exact | Members) -> Exact:
    """A value as the gateway carries it: structures become JSON, their enumerations names, their bytes base64."""
    if isinstance(value, dict):
        return json.dumps(_written(value), ensure_ascii=False)
    return [as_exact(each) if isinstance(each, list | dict) else each for each in value] if _is_list(value) else value


def encodable_value(value: Exact) -> tuple[Exact, bool]:
    """The value as UTF-8 can hold it, and whether it could as it was."""
    if isinstance(value, str):
        text = encodable(value)
        return text, text is value or text == value
    if not isinstance(value, list):
        return value, True
    parts = [encodable_value(each) for each in value]
    return [part for part, _ in parts], all(whole for _, whole in parts)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _written(value: Any) -> Any:
    if isinstance(value, ua.Variant | ua.DataValue):
        value = value.Value
    if is_structure(value):
        value = members_of(value)
    if isinstance(value, dict):
        return {name: _written(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_written(each) for each in value]
    return _written_leaf(value)


def _written_leaf(value: Any) -> Any:
    match value:
        case ua.StatusCode():
            return value.value
        case Enum():
            return value.name
        case EnumValue():
            return value.name or int(value)
        case bool() | int() | str() | None:
            return value
        case float():
            return value if isfinite(value) else None
        case bytes():
            return base64.b64encode(value).decode()
        case ua.ExtensionObject():
            return _written_leaf(value.Body)
    return _text(value)


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


def kind_of(variant: ua.Variant) -> str:
    """A variant's kind in words, such as "an array of Double"."""
    if isinstance(variant.Value, ua.ExtensionObject):
        return f"a structure of the unknown type {variant.Value.TypeId.to_string()}"
    name = variant.VariantType.name
    return f"an array of {name}" if variant.is_array else f"a value of type {name}"
