"""Structures and enumerations that a server defines itself: what their bytes mean (OPC 10000-6 §5.2.6).

The library would make classes of them, but keeps those in one table for all servers, though the same node id means another
type on the next server. Here each session has types of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import unpack_uatype

from .bounds import Measured, decoded

Members = dict[str, Any]
"""A structure: each member's name → its value; a structure again, or a list, where it is one."""

DEEPEST = 32
"""Structures within structures, at most."""
BUILT_IN = {ua.NodeId(kind.value): kind for kind in ua.VariantType if kind.value}
"""Data type → the built-in type that it is."""
STANDARD = {kind.data_type: kind for kind in ua.extension_objects_by_typeid.values() if hasattr(kind, "data_type")}
"""Data type → the library's class, of the structures that the standard defines."""
_COUNT = ua.VariantType.Int32
_KINDS = ua.StructureType


class EnumValue(int):
    """A value of an enumeration, with its name; empty where the server has none for it."""

    name: str

    def __new__(cls, value: int, name: str) -> "EnumValue":
        number = super().__new__(cls, value)
        number.name = name
        return number


class NoSuchTypeError(Exception):
    """The server has not told what a type is, or says it in a way that is not understood."""


class Types:
    """The types that one server defines."""

    def __init__(self) -> None:
        self.structures: dict[ua.NodeId, ua.StructureDefinition] = {}
        """By data type."""
        self.encodings: dict[ua.NodeId, ua.NodeId] = {}
        """What stands before the bytes of a structure → its data type."""
        self.enumerations: dict[ua.NodeId, Mapping[int, str]] = {}
        """By data type: value → name."""
        self.built_in = dict(BUILT_IN)
        """Data type → the built-in type that its values are written as."""

    def members(self, value: ua.ExtensionObject, depth: int = DEEPEST) -> Members | None:
        """The structure that these bytes are; None when its type is not known, or the bytes are not of it."""
        data_type = self.encodings.get(value.TypeId)
        if data_type is None or value.Body is None:
            return None
        data = Measured(value.Body)
        try:
            found = self._structure(self.structures[data_type], data, depth)
        except Exception:  # noqa: BLE001 - bytes of another type may happen to mean anything
            return None
        return found if len(data) == 0 else None

    def named(self, data_type: ua.NodeId, value: int) -> EnumValue:
        """The value of an enumeration."""
        return EnumValue(value, self.enumerations[data_type].get(value, ""))

    def member_type(self, data_type: ua.NodeId, path: Sequence[str | int]) -> ua.NodeId | None:
        """The data type of a member, or of the elements of its array; None where that is not known."""
        for step in path:
            if isinstance(step, int):
                continue
            definition = self.structures.get(data_type)
            members = {each.Name: each.DataType for each in definition.Fields} if definition is not None else {}
            if step not in members:
                return None
            data_type = members[step]
        return data_type

    def _structure(self, definition: ua.StructureDefinition, data: Buffer, depth: int) -> Members:
        if not depth:
            raise NoSuchTypeError
        members = list(definition.Fields or ())
        there = _members_there(definition.StructureType, members, data)
        return {each.Name: self._member(each, data, depth - 1) if each.Name in there else None for each in members}

    def _member(self, member: ua.StructureField, data: Buffer, depth: int) -> Any:
        rank = member.ValueRank
        if rank == ua.ValueRank.Scalar:
            return self._one(member.DataType, data, depth)
        if rank == ua.ValueRank.OneDimension:
            return self._list(unpack_uatype(_COUNT, data), data, lambda: self._one(member.DataType, data, depth))
        if rank < ua.ValueRank.OneDimension:
            raise NoSuchTypeError
        sizes = self._list(unpack_uatype(_COUNT, data), data, lambda: unpack_uatype(_COUNT, data))
        return self._matrix(sizes, data, lambda: self._one(member.DataType, data, depth))

    def _matrix(self, sizes: list[int], data: Buffer, take: Callable[[], Any]) -> list[Any]:
        if len(sizes) > DEEPEST or not sizes:
            raise NoSuchTypeError
        if len(sizes) == 1:
            return self._list(sizes[0], data, take)
        return self._list(sizes[0], data, lambda: self._matrix(sizes[1:], data, take))

    def _list(self, count: int, data: Buffer, take: Callable[[], Any]) -> list[Any]:
        if not 0 <= count <= len(data):
            if count == -1:
                return []
            raise NoSuchTypeError
        return [take() for _ in range(count)]

    def _one(self, data_type: ua.NodeId, data: Buffer, depth: int) -> Any:
        if data_type in self.structures:
            return self._structure(self.structures[data_type], data, depth)
        if data_type in self.enumerations:
            return self.named(data_type, unpack_uatype(ua.VariantType.Int32, data))
        if data_type in self.built_in:
            return self._known(unpack_uatype(self.built_in[data_type], data), depth)
        if data_type not in STANDARD:
            raise NoSuchTypeError
        return members_of(decoded(STANDARD[data_type], data))

    def _known(self, value: Any, depth: int) -> Any:
        """The members of a structure in place of its bytes, where its type is known."""
        known = self.members(value, depth) if isinstance(value, ua.ExtensionObject) and depth else None
        return value if known is None else known


def _members_there(kind: ua.StructureType, members: Sequence[ua.StructureField], data: Buffer) -> set[str]:
    """Names of the members that a value really has."""
    match kind:
        case _KINDS.Structure:
            return {each.Name for each in members}
        case _KINDS.StructureWithOptionalFields:
            mask = unpack_uatype(ua.VariantType.UInt32, data)
            optional = [each.Name for each in members if each.IsOptional]
            return {each.Name for each in members} - {name for bit, name in enumerate(optional) if not mask >> bit & 1}
        case _KINDS.Union:
            chosen = unpack_uatype(ua.VariantType.UInt32, data)
            return {members[chosen - 1].Name} if chosen else set()
    raise NoSuchTypeError


def members_of(value: Any) -> Members:
    """The members of a structure that the library knows."""
    return {each.name: getattr(value, each.name) for each in fields(value) if each.name != "Encoding"}


NO_TYPES = Types()
"""Of a server that defines none."""
