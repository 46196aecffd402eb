"""Types and those they are subtypes of, as the server tells it (HasSubtype, OPC 10000-3 §7.10)."""

from collections.abc import Iterable, Mapping, Sequence

from asyncua import ua

from gateway.plugin import cleaned

from ..requests.browsing import references
from ..requests.services import read
from ..session.session import OpcUaSession

DEEPEST = 50
"""Subtypes of subtypes that are followed, should they make a circle."""
_HAS_SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)

TypeName = tuple[str, str]
"""Namespace without the last "/", and browse name."""


async def lineages(session: OpcUaSession, types: Iterable[ua.NodeId]) -> Mapping[ua.NodeId, Sequence[TypeName]]:
    """Of each type its own name and the names of all above it, the nearest first; what the server does not tell left out."""
    wanted = [each for each in dict.fromkeys(types) if not each.is_null()]
    names = await _names(session, wanted)
    above: dict[ua.NodeId, ua.NodeId] = {}
    level = wanted
    for _ in range(DEEPEST):
        found = await references(session, level, _HAS_SUBTYPE, direction=ua.BrowseDirection.Inverse)
        tops = [(each, ends.references[0]) for each, ends in zip(level, found, strict=True) if ends.references]
        above |= {each: top.NodeId for each, top in tops}
        names |= {top.NodeId: _named(session, top.BrowseName) for _, top in tops}
        level = [each for each in dict.fromkeys(top.NodeId for _, top in tops) if each not in above]
        if not level:
            break
    return {each: [names[up] for up in _upwards(each, above) if up in names] for each in wanted}


def _upwards(node: ua.NodeId, above: Mapping[ua.NodeId, ua.NodeId]) -> list[ua.NodeId]:
    """Each once, so that a circle ends."""
    way = {node: None}
    while (node := above.get(node, node)) not in way:
        way[node] = None
    return list(way)


async def _names(session: OpcUaSession, nodes: Sequence[ua.NodeId]) -> dict[ua.NodeId, TypeName]:
    answers = await read(session, [(node, ua.AttributeIds.BrowseName) for node in nodes])
    told = [answer.Value.Value if answer.Value is not None else None for answer in answers]
    return {
        node: _named(session, name)
        for node, name in zip(nodes, told, strict=True)
        if isinstance(name, ua.QualifiedName)
    }


def _named(session: OpcUaSession, name: ua.QualifiedName) -> TypeName:
    index = int(name.NamespaceIndex)
    uri = "http://opcfoundation.org/UA" if not index else (session.namespaces[index : index + 1] or [""])[0]
    return uri.rstrip("/"), cleaned(name.Name or "", 200)
