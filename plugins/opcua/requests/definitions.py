"""Asking a server what its own data types are (OPC 10000-3 §8.47)."""

from collections.abc import Collection, Iterable, Sequence

from asyncua import ua

from gateway.plugin import cleaned

from ..session.session import OpcUaSession
from ..values.structures import BUILT_IN, STANDARD, Types
from .browsing import references
from .services import read

_DEEPEST = 32
"""Steps up or down among data types, at most."""
MOST_TYPES = 10_000
"""Data types of one server that are learned."""
MOST_FIELDS = 1000
"""Members of a structure, or names of an enumeration; larger ones stay unknown."""
AT_ONCE = 50
"""Definitions in one answer: each may be long."""
_HAS_SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)
_HAS_ENCODING = ua.NodeId(ua.ObjectIds.HasEncoding)
_HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
_STRUCTURE = ua.NodeId(ua.ObjectIds.Structure)
_ENUMERATION = ua.NodeId(ua.ObjectIds.Enumeration)


async def learn(session: OpcUaSession, data_types: Iterable[ua.NodeId]) -> None:
    """Add to the session's types those that these data types are made of. What the server does not tell stays unknown."""
    types = session.types
    wanted = _unknown(types, data_types)
    for _ in range(_DEEPEST):
        if not wanted:
            return
        wanted = wanted[: max(0, MOST_TYPES - len(types.structures) - len(types.enumerations))]
        definitions: list[ua.DataValue] = []
        for at in range(0, len(wanted), AT_ONCE):
            some = wanted[at : at + AT_ONCE]
            definitions += await read(session, [(each, ua.AttributeIds.DataTypeDefinition) for each in some])
        found = [each.Value.Value if each.Value is not None else None for each in definitions]
        below: list[ua.NodeId] = []
        rest: list[ua.NodeId] = []
        for data_type, definition in zip(wanted, found, strict=True):
            if len(getattr(definition, "Fields", None) or ()) > MOST_FIELDS:
                types.built_in[data_type] = ua.VariantType.ExtensionObject
            elif isinstance(definition, ua.StructureDefinition):
                types.structures[data_type] = definition
                types.encodings[definition.DefaultEncodingId] = data_type
                below += [member.DataType for member in definition.Fields or ()]
            elif isinstance(definition, ua.EnumDefinition):
                fields = definition.Fields or ()
                names = {int(each.Value): cleaned(each.Name or each.DisplayName.Text or "") for each in fields}
                types.enumerations[data_type] = names
            else:
                rest.append(data_type)
        await _learn_subtypes(session, rest)
        wanted = _unknown(types, below)


def _unknown(types: Types, data_types: Iterable[ua.NodeId]) -> list[ua.NodeId]:
    known: tuple[Collection[ua.NodeId], ...] = (types.structures, types.enumerations, types.built_in, STANDARD)
    return [each for each in dict.fromkeys(data_types) if not any(each in some for some in known)]


async def _learn_subtypes(session: OpcUaSession, data_types: Sequence[ua.NodeId]) -> None:
    """Types without a definition are other names of the types above them, apart from structures; those above which stands
    Enumeration tell their names by a property."""
    above = {each: each for each in data_types}
    for _ in range(_DEEPEST):
        open_ends = [each for each, top in above.items() if top not in BUILT_IN and top != _ENUMERATION]
        if not open_ends:
            break
        tops = await _references(session, [above[each] for each in open_ends], _HAS_SUBTYPE, inverse=True)
        for each, found in zip(open_ends, tops, strict=True):
            if found:
                above[each] = found[0].NodeId
            else:
                del above[each]
    plain = {each: BUILT_IN[top] for each, top in above.items() if top in BUILT_IN and top != _STRUCTURE}
    session.types.built_in.update(plain)
    await _learn_names(session, [each for each, top in above.items() if top == _ENUMERATION])


async def _learn_names(session: OpcUaSession, enumerations: Sequence[ua.NodeId]) -> None:
    properties = await _references(session, enumerations, _HAS_PROPERTY)
    for data_type, found in zip(enumerations, properties, strict=True):
        nodes = [each.NodeId for each in found if each.BrowseName.Name in ("EnumStrings", "EnumValues")]
        values = await read(session, [(node, ua.AttributeIds.Value) for node in nodes[:2]])
        names: dict[int, str] = {}
        for answer in values:
            told = answer.Value.Value if answer.Value is not None else None
            for place, each in enumerate(told[:MOST_FIELDS] if isinstance(told, list) else ()):
                if isinstance(each, ua.EnumValueType):
                    names[int(each.Value)] = cleaned(each.DisplayName.Text or "")
                elif isinstance(each, ua.LocalizedText):
                    names[place] = cleaned(each.Text or "")
        session.types.enumerations[data_type] = names


async def data_types_of(session: OpcUaSession, encodings: Sequence[ua.NodeId]) -> list[ua.NodeId]:
    """The data types of structures, by what stands before their bytes; those that the server knows."""
    found = await _references(session, encodings, _HAS_ENCODING, inverse=True)
    for encoding, above in zip(encodings, found, strict=True):
        if above:
            session.types.encodings[encoding] = above[0].NodeId
    return [above[0].NodeId for above in found if above]


async def _references(
    session: OpcUaSession, nodes: Sequence[ua.NodeId], kind: ua.NodeId, *, inverse: bool = False
) -> list[list[ua.ReferenceDescription]]:
    """The nodes at the other ends of these references, for each node."""
    direction = ua.BrowseDirection.Inverse if inverse else ua.BrowseDirection.Forward
    return [each.references for each in await references(session, nodes, kind, direction=direction)]
