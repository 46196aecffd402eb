"""What a server's values become: numbers, texts, bytes, lists."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from asyncua import ua

from gateway.plugin import Exact

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


def type_of(variant: ua.Variant) -> str:
    """The tag type of a variant's values; empty for arrays, and for what no tag can be."""
    if variant.is_array:
        return ""
    if variant.VariantType == ua.VariantType.ExtensionObject:
        return "string" if _is_structure(variant.Value) else ""
    return TYPES.get(variant.VariantType, "")


def plain(variant: ua.Variant | None) -> float | Exact | None:
    """A variant's value as a float, or exactly where a float64 cannot hold it: a list for an array, JSON for a structure.
    None for no value, and for one of a kind that no tag can have."""
    if variant is None:
        return None
    if variant.Value is None:
        return "" if variant.VariantType in _TEXTS and not variant.is_array else None
    if isinstance(variant.Value, list | tuple):
        return _elements(variant.Value)
    return _one(variant.Value)


def _elements(values: Any) -> list[Any] | None:
    """None if one of them is of a kind that no tag can have."""
    found = [_elements(value) if isinstance(value, list | tuple) else _one(value) for value in values]
    if any(each is None and value is not None for each, value in zip(found, values, strict=True)):
        return None
    return found


def _one(value: Any) -> float | Exact | None:
    match value:
        case bool() | float():
            return float(value)
        case int():
            return float(value) if -_EXACT_INT <= value <= _EXACT_INT else int(value)
        case ua.StatusCode():
            return float(value.value)
        case bytes():
            return value
        case None | ua.ExtensionObject():
            return None
    if _is_structure(value):
        return json.dumps(_members(value), ensure_ascii=False, default=_text)
    return _text(value)


def _is_structure(value: Any) -> bool:
    """Whether it is a structure whose members the library knows."""
    return is_dataclass(value) and not isinstance(
        value, ua.ExtensionObject | ua.NodeId | ua.LocalizedText | ua.QualifiedName
    )


def _members(value: Any) -> Any:
    match value:
        case list() | tuple():
            return [_members(each) for each in value]
        case ua.Variant() | ua.DataValue():
            return _members(value.Value)
        case ua.StatusCode():
            return value.value
        case Enum():
            return value.name
    if _is_structure(value):
        return {each.name: _members(getattr(value, each.name)) for each in fields(value) if each.name != "Encoding"}
    return value


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
