"""What a server tells of its nodes: types, units, descriptions, and which variables there are."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asyncua import ua

from gateway.plugin import Found, Tag

from .address import parse_address
from .errors import in_words
from .services import read
from .session import Session
from .values import TYPES, plain, type_of

_OBJECTS = ua.NodeId(ua.ObjectIds.ObjectsFolder)
_SERVER = ua.NodeId(ua.ObjectIds.Server)
_HIERARCHICAL = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
_HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
_UNITS = ua.RelativePath([ua.RelativePathElement(_HAS_PROPERTY, False, True, ua.QualifiedName("EngineeringUnits", 0))])
_ATTRIBUTES = (ua.AttributeIds.Value, ua.AttributeIds.DataType, ua.AttributeIds.Description)


async def describe_tags(session: Session, tags: Sequence[Tag]) -> Mapping[Tag, Found]:
    """Type, unit and description of the tags whose nodes the server knows."""
    nodes = {tag: session.node_id(parse_address(tag.config.address)) for tag in tags}
    known = {tag: node for tag, node in nodes.items() if node is not None}
    found = await describe_nodes(session, list(known.values()))
    return {tag: what for tag, what in zip(known, found, strict=True) if what is not None and what.type}


async def describe_nodes(session: Session, nodes: Sequence[ua.NodeId]) -> list[Found | None]:
    """What is known of each node, an array's type being empty; None for one that has no value that a tag can have."""
    answers = await read(session, [(node, attribute) for node in nodes for attribute in _ATTRIBUTES])
    units = await _units(session, nodes)
    width = len(_ATTRIBUTES)
    described = [answers[row * width : (row + 1) * width] for row in range(len(nodes))]
    return [
        None if (kind := _type(value, data_type)) is None else Found(kind, unit, _text(description))
        for (value, data_type, description), unit in zip(described, units, strict=True)
    ]


def _type(value: ua.DataValue, data_type: ua.DataValue) -> str | None:
    """By the value that is there now, which settles enumerations and subtypes too, else by the declared built-in type."""
    if value.Value is not None and value.Value.Value is not None:
        return None if plain(value.Value) is None else type_of(value.Value)
    declared = data_type.Value.Value if data_type.Value is not None else None
    if isinstance(declared, ua.NodeId) and declared.NamespaceIndex == 0 and declared.Identifier in _BUILT_IN:
        return TYPES.get(_BUILT_IN[declared.Identifier])
    return None


_BUILT_IN: dict[Any, ua.VariantType] = {kind.value: kind for kind in TYPES}


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
