"""What stands below the folder Objects, as a tree with names and types; circles are followed once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from asyncua import ua

from ..address import NamePath
from ..requests.browsing import references
from ..requests.ways import HIERARCHICAL, OBJECTS, PLACES, step_of
from ..session.session import OpcUaSession

MOST_NODES = 100_000
MOST_LEVELS = 60
AT_ONCE = 500
"""Nodes whose children are asked for together."""
_SERVER = ua.NodeId(ua.ObjectIds.Server)
_HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)


@dataclass(slots=True, eq=False)
class Node:
    """An object or a variable."""

    id: ua.NodeId
    name: str
    type: ua.NodeId
    """Its type definition."""
    is_variable: bool = False
    is_property: bool = False
    above: "Node | None" = None
    """Where it was found first."""
    children: dict[str, list["Node"]] = field(default_factory=dict)
    """By their names; several of one name where the server has that."""

    def below(self) -> Iterator["Node"]:
        """All of its children."""
        for same in self.children.values():
            yield from same

    def way(self) -> tuple[str, ...]:
        """The names from the folder Objects to it."""
        names: list[str] = []
        node: Node | None = self
        while node is not None and node.above is not None:
            names.append(node.name)
            node = node.above
        return tuple(reversed(names))

    def child(self, path: str) -> list["Node"]:
        """The nodes on the way to a member; empty where there is none, or several of one name."""
        found: list[Node] = []
        node = self
        for name in path.split("/"):
            same = node.children.get(name, ())
            if len(same) != 1:
                return []
            node = same[0]
            found.append(node)
        return found


def path_to(node: Node, member: Sequence[str] = ()) -> NamePath | None:
    """The path of names to a member of a node; None where the names fit several nodes."""
    way = node.way()
    at: Node | None = node
    while at is not None and at.above is not None:
        if len(at.above.children[at.name]) > 1:
            return None
        at = at.above
    return NamePath((*way, *member)) if way else None


async def grown(session: OpcUaSession, missing: Counter[str]) -> Node:
    """The folder Objects with all below it, but for the server's own object. `missing` counts what was left out, by what to
    say of it."""
    root = Node(OBJECTS, "", ua.NodeId())
    known = {OBJECTS: root, _SERVER: Node(_SERVER, "Server", ua.NodeId())}
    level = [root]
    for _ in range(MOST_LEVELS):
        if not level:
            return root
        below: list[Node] = []
        for at in range(0, len(level), AT_ONCE):
            some = level[at : at + AT_ONCE]
            found = await references(session, [node.id for node in some], HIERARCHICAL, PLACES)
            for node, ends in zip(some, found, strict=True):
                missing["nodes below which the server does not say what there is"] += bool(ends.refused)
                missing["nodes with more below them than is looked at"] += ends.cut
                below += _join(node, ends.references, known, missing)
        level = below
    missing[f"nodes below level {MOST_LEVELS}"] += len(level)
    return root


def _join(
    node: Node, found: Sequence[ua.ReferenceDescription], known: dict[ua.NodeId, Node], missing: Counter[str]
) -> list[Node]:
    """Hang these below a node. Returns those that are new, and may have something below them."""
    new = []
    for each in found:
        is_property = each.ReferenceTypeId == _HAS_PROPERTY
        if is_property and node.is_variable:
            continue
        child = known.get(each.NodeId)
        if child is None:
            if len(known) >= MOST_NODES:
                missing[f"nodes beyond {MOST_NODES}"] += 1
                continue
            child = known[each.NodeId] = Node(
                each.NodeId,
                step_of(each),
                each.TypeDefinition,
                each.NodeClass == ua.NodeClass.Variable,
                is_property,
                node,
            )
            if not is_property:
                new.append(child)
        same = node.children.setdefault(child.name, [])
        if child not in same:
            same.append(child)
    return new
