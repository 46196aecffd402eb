"""What a server tells of its nodes: types, units, descriptions, and which variables there are."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import replace

from asyncua import ua

from gateway.plugin import Found, Tag

from .address import parse_address, parse_member
from .config import NodeConfig
from .definitions import data_types_of, learn
from .errors import in_words
from .part import NoSuchPartError, element_of, member_of
from .services import read
from .session import Session
from .structures import Types
from .values import TYPES, plain, type_of, type_of_member

_OBJECTS = ua.NodeId(ua.ObjectIds.ObjectsFolder)
_SERVER = ua.NodeId(ua.ObjectIds.Server)
_HIERARCHICAL = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
_HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
_UNITS = ua.RelativePath([ua.RelativePathElement(_HAS_PROPERTY, False, True, ua.QualifiedName("EngineeringUnits", 0))])
SHOWN = 16
"""Names of an enumeration that a description shows."""


async def describe_tags(session: Session, tags: Sequence[Tag]) -> Mapping[Tag, Found]:
    """Type, unit and description of the tags whose nodes the server knows."""
    nodes = {tag: session.node_id(parse_address(tag.config.address)) for tag in tags}
    known = {tag: node for tag, node in nodes.items() if node is not None}
    found = await describe_nodes(session, list(known.values()), [tag.config for tag in known])
    return {tag: what for tag, what in zip(known, found, strict=True) if what is not None and what.type}


async def describe_nodes(
    session: Session, nodes: Sequence[ua.NodeId], tags: Sequence[NodeConfig] = ()
) -> list[Found | None]:
    """What is known of each node, or of the part that its tag takes, an array's type being empty; None for one that has no
    value that a tag can have. The session learns the types that the server defines for them."""
    count = len(nodes)
    ranges = [tag.index_range for tag in tags] or [None] * count
    values = await read(session, [(*each, part) for each, part in zip(_each(nodes, "Value"), ranges, strict=True)])
    declared = [_node_id(each) for each in await read(session, _each(nodes, "DataType"))]
    descriptions = await read(session, _each(nodes, "Description"))
    await _learn_types(session, values, declared)
    paths = [parse_member(tag.field) if tag.field else [] for tag in tags] or [[]] * count
    elements = [tag.element for tag in tags] or [()] * count
    units = await _units(session, nodes)
    found: list[Found | None] = []
    for row, declared_type in enumerate(declared):
        kind = _type(session.types, _variant(values[row], elements[row]), declared_type, paths[row])
        names = _names(session.types, declared_type, paths[row])
        description = " ".join(filter(None, (_text(descriptions[row]), names)))
        found.append(None if kind is None else Found(kind, units[row], description))
    return found


def _each(nodes: Sequence[ua.NodeId], attribute: str) -> list[tuple[ua.NodeId, ua.AttributeIds]]:
    return [(node, ua.AttributeIds[attribute]) for node in nodes]


def _node_id(answer: ua.DataValue) -> ua.NodeId:
    told = answer.Value.Value if answer.Value is not None else None
    return told if isinstance(told, ua.NodeId) else ua.NodeId()


async def _learn_types(session: Session, values: Sequence[ua.DataValue], declared: Sequence[ua.NodeId]) -> None:
    await learn(session, [each for each in declared if not each.is_null()])
    unknown = {each.TypeId for value in values for each in _bodies(value) if each.TypeId not in session.types.encodings}
    await learn(session, await data_types_of(session, [each for each in unknown if not each.is_null()]))


def _bodies(value: ua.DataValue) -> Iterator[ua.ExtensionObject]:
    """Structures of which only the bytes are known."""
    found = value.Value.Value if value.Value is not None else None
    yield from (
        each for each in (found if isinstance(found, list) else [found]) if isinstance(each, ua.ExtensionObject)
    )


def _variant(value: ua.DataValue, element: tuple[int, ...]) -> ua.Variant | None:
    """What there is now, or of an array the one element that the tag takes."""
    variant = value.Value
    if variant is None or variant.Value is None or not element:
        return variant
    try:
        return ua.Variant(element_of(variant.Value, element), variant.VariantType)
    except NoSuchPartError:
        return None


def _type(types: Types, variant: ua.Variant | None, declared: ua.NodeId, path: Sequence[str | int]) -> str | None:
    """By the value that is there now, which settles subtypes too, else by the declared type. None where no tag can be made
    of it."""
    if variant is None or variant.Value is None:
        return TYPES.get(_built_in(types, declared, path))
    if not path:
        return type_of(variant, types)
    try:
        member = member_of(plain(variant, types), path)
    except NoSuchPartError:
        return None
    if isinstance(variant.Value, ua.ExtensionObject):
        declared = types.encodings.get(variant.Value.TypeId, declared)
    told = TYPES.get(_built_in(types, declared, path))
    return type_of_member(member) if told is None or isinstance(member, list) else told


def _built_in(types: Types, declared: ua.NodeId, path: Sequence[str | int]) -> ua.VariantType | None:
    data_type = types.member_type(declared, path)
    return ua.VariantType.Int32 if data_type in types.enumerations else types.built_in.get(data_type)


def _names(types: Types, declared: ua.NodeId, path: Sequence[str | int]) -> str:
    """What the numbers of an enumeration mean; empty for any other type."""
    names = types.enumerations.get(types.member_type(declared, path)) or {}
    told = [f"{value} {name}" for value, name in sorted(names.items()) if name]
    more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    return f"({', '.join(told[:SHOWN] + more)})" if told else ""


def _text(answer: ua.DataValue) -> str:
    return str(plain(answer.Value) or "") if answer.StatusCode is None or answer.StatusCode.is_good() else ""


async def _units(session: Session, nodes: Sequence[ua.NodeId]) -> list[str]:
    """The engineering units' display names; empty where a node has none."""

    async def call(chunk: Sequence[ua.NodeId]) -> Sequence[ua.BrowsePathResult]:
        request = ua.TranslateBrowsePathsToNodeIdsRequest()
        request.Parameters.BrowsePaths = [ua.BrowsePath(node, _UNITS) for node in chunk]
        response = await session.request(request, ua.TranslateBrowsePathsToNodeIdsResponse)
        return list(response.Results)

    with in_words("looking for units", session.certificate):
        paths = await session.in_chunks("translate", nodes, call)
    targets = {row: path.Targets[0].TargetId for row, path in enumerate(paths) if path.Targets}
    answers = await read(session, [(target, ua.AttributeIds.Value) for target in targets.values()])
    units = [""] * len(nodes)
    for row, answer in zip(targets, answers, strict=True):
        unit = answer.Value.Value if answer.Value is not None else None
        if isinstance(unit, ua.EUInformation):
            units[row] = unit.DisplayName.Text or ""
    return units


async def browse_variables(session: Session) -> AsyncGenerator[tuple[str, Found], None]:
    """All variables below Objects, the server's own left out: address with namespace URI, and what is known of it."""
    paths = {_OBJECTS: "", _SERVER: "Server"}
    level = [_OBJECTS]
    while level:
        variables: list[ua.NodeId] = []
        below: list[ua.NodeId] = []
        for parent, child in await _children(session, level):
            if child.NodeId not in paths:
                paths[child.NodeId] = f"{paths[parent]}/{child.BrowseName.Name}".lstrip("/")
                below.append(child.NodeId)
                if child.NodeClass == ua.NodeClass.Variable:
                    variables.append(child.NodeId)
        for node, found in zip(variables, await describe_nodes(session, variables), strict=True):
            if found is not None:
                yield str(session.address(node)), replace(found, path=paths[node])
        level = below


async def _children(session: Session, nodes: Sequence[ua.NodeId]) -> list[tuple[ua.NodeId, ua.ReferenceDescription]]:
    """Objects and variables one step below, each with the node above it; properties are left out."""

    async def call(chunk: Sequence[ua.NodeId]) -> Sequence[ua.BrowseResult]:
        request = ua.BrowseRequest()
        request.Parameters.NodesToBrowse = [_browse_of(node) for node in chunk]
        return list((await session.request(request, ua.BrowseResponse)).Results)

    with in_words("browsing", session.certificate):
        answers = list(zip(nodes, await session.in_chunks("browse", nodes, call), strict=True))
        children = []
        while answers:
            children += [(node, child) for node, result in answers for child in result.References or ()]
            answers = await _more(session, [(node, result) for node, result in answers if result.ContinuationPoint])
    return [(node, child) for node, child in children if child.ReferenceTypeId != _HAS_PROPERTY]


async def _more(
    session: Session, answers: Sequence[tuple[ua.NodeId, ua.BrowseResult]]
) -> list[tuple[ua.NodeId, ua.BrowseResult]]:
    """What did not fit into these answers."""
    if not answers:
        return []
    request = ua.BrowseNextRequest()
    request.Parameters.ContinuationPoints = [result.ContinuationPoint for _, result in answers]
    results = (await session.request(request, ua.BrowseNextResponse)).Parameters.Results
    return [(node, result) for (node, _), result in zip(answers, results, strict=True)]


def _browse_of(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=_HIERARCHICAL,
        IncludeSubtypes=True,
        NodeClassMask=ua.NodeClass.Object | ua.NodeClass.Variable,
        ResultMask=ua.BrowseResultMask.All,
    )
