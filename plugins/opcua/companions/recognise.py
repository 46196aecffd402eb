"""Finds the objects of known types on a server, and offers their members as tags."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from asyncua import ua

from gateway.plugin import Found, cleaned, encodable, listed

from ..requests.nodes import DESCRIBED, LONGEST_ADDRESS, describe_nodes
from ..requests.services import read
from ..session.session import OpcUaSession
from ..values.plain import plain
from ..values.units import ours
from .lineage import TypeName, lineages
from .models import COMPANIONS, NAMEPLATE, WITHIN, Companion, Members
from .states import about_values
from .tree import Node, grown, path_to

MOST_MEMBERS = 20_000
"""Tags that are offered."""
SHOWN = 10
"""Members that are named among those that are missing."""
_CONDITION = ("http://opcfoundation.org/UA", "ConditionType")

Lineages = Mapping[ua.NodeId, Sequence[TypeName]]


@dataclass(slots=True)
class _Instance:
    """An object of a known type."""

    node: Node
    title: str
    """Its model and type, for people."""
    above: "_Instance | None"
    members: list[Members]
    nameplate: list[str] = field(default_factory=list)

    def heading(self) -> str:
        """What stands above its tags: its own, or that of the device that it belongs to."""
        instance = self
        while not instance.nameplate and instance.above is not None:
            instance = instance.above
        about = f": {', '.join(instance.nameplate)}" if instance.nameplate else ""
        return f"{instance.title} {'/'.join(instance.node.way())}{about}"


@dataclass(slots=True)
class _Member:
    """A variable that is worth a tag."""

    instance: _Instance
    path: str
    node: Node


async def recognised(
    session: OpcUaSession, miss: Callable[[str], None] = lambda what: None
) -> AsyncGenerator[tuple[str, Found], None]:
    """The members of all objects of known types: address, by names where these fit one node only, and what is known of each.
    `miss` is told, at the end, of what is missing."""
    missing: Counter[str] = Counter()
    root = await grown(session, missing)
    types = await lineages(session, dict.fromkeys(node.type for node in _objects(root)))
    instances = list(_instances(root, types))
    lacking: list[str] = []
    members = list(_members(instances, lacking))
    if len(members) > MOST_MEMBERS:
        missing[f"members beyond {MOST_MEMBERS}"] += len(members) - MOST_MEMBERS
        del members[MOST_MEMBERS:]
    await _read_nameplates(session, instances)
    without: list[str] = []
    for at in range(0, len(members), DESCRIBED):
        async for offer in _described(session, members[at : at + DESCRIBED], without):
            yield offer
    for what, count in (+missing).items():
        miss(f"{what}: {count}")
    if lacking:
        miss(f"members that their types demand: {listed(lacking, SHOWN)}")
    if without:
        miss(f"members whose value no tag can have: {listed(without, SHOWN)}")


def _objects(root: Node) -> Iterator[Node]:
    """Each once, parents first."""
    seen = {root.id}
    stack = [root]
    while stack:
        node = stack.pop()
        if not node.is_variable:
            yield node
        for child in reversed(list(node.below())):
            if child.id not in seen and not child.is_property:
                seen.add(child.id)
                stack.append(child)


def _instances(root: Node, types: Lineages) -> Iterator[_Instance]:
    """Objects of known types; what only matters within one of them is taken there alone. Conditions are left to events."""
    seen = {root.id}
    stack: list[tuple[Node, _Instance | None]] = [(root, None)]
    while stack:
        node, within = stack.pop()
        lineage = types.get(node.type, ())
        if _CONDITION in lineage:
            continue
        known = None if node.is_variable and not lineage else _known(lineage, within is not None)
        if known is not None:
            title, members = known
            within = _Instance(node, title, within, members)
            yield within
        for child in reversed(list(node.below())):
            if child.id not in seen and not child.is_property:
                seen.add(child.id)
                stack.append((child, within))


def _known(lineage: Sequence[TypeName], inside: bool) -> tuple[str, list[Members]] | None:
    """What is declared of a type and of those above it, and what to call it."""
    found: list[tuple[Companion, str]] = [
        (companion, name)
        for uri, name in lineage
        for companion in ((*COMPANIONS, WITHIN) if inside else COMPANIONS)
        if uri in companion.uris and name in companion.types
    ]
    named = next(((companion, name) for companion, name in found if companion.name), None)
    if named is None and not found:
        return None
    if not inside or named is not None:
        within = [(WITHIN, name) for uri, name in lineage if uri in WITHIN.uris and name in WITHIN.types]
        found += [each for each in within if each not in found]
    companion, name = named or found[0]
    name = next(name for uri, name in lineage if uri in companion.uris)
    return f"{companion.name} {name}".strip(), [each.types[type_name] for each, type_name in found]


def _members(instances: Sequence[_Instance], lacking: list[str]) -> Iterator[_Member]:
    """Each variable once, in the order of the declarations."""
    seen: set[ua.NodeId] = set()
    for instance in instances:
        for declared in instance.members:
            needed = declared.needed.split()
            for path in (*needed, *declared.optional.split()):
                way = instance.node.child(path)
                if not way or not way[-1].is_variable:
                    if path in needed:
                        lacking.append(f"{path} of {'/'.join(instance.node.way())}")
                elif way[-1].id not in seen:
                    seen.add(way[-1].id)
                    yield _Member(instance, path, way[-1])


async def _read_nameplates(session: OpcUaSession, instances: Sequence[_Instance]) -> None:
    wanted: list[tuple[_Instance, str, ua.NodeId]] = []
    for instance in instances:
        for name in NAMEPLATE:
            way = instance.node.child(name) or instance.node.child(f"Identification/{name}")
            if way and way[-1].is_variable:
                wanted.append((instance, name, way[-1].id))
    answers = await read(session, [(node, ua.AttributeIds.Value) for _, _, node in wanted])
    for (instance, name, _), answer in zip(wanted, answers, strict=True):
        good = answer.StatusCode is None or answer.StatusCode.is_good()
        text = cleaned(plain(answer.Value) or "", 100).strip() if good and answer.Value is not None else ""
        if text:
            instance.nameplate.append(f"serial number {text}" if name == "SerialNumber" else text)


async def _described(
    session: OpcUaSession, members: Sequence[_Member], without: list[str]
) -> AsyncGenerator[tuple[str, Found], None]:
    nodes = [member.node.id for member in members]
    found = await describe_nodes(session, nodes, written=ours)
    about = await about_values(session, [member.node for member in members])
    for member, what, (role, words) in zip(members, found, about, strict=True):
        steps = (*member.instance.node.way(), *member.path.split("/"))
        if what is None:
            without.append("/".join(steps))
            continue
        path = path_to(member.instance.node, member.path.split("/"))
        address = str(path) if path is not None else ""
        if not address or address != encodable(address) or len(address) > LONGEST_ADDRESS:
            address = str(session.address(member.node.id))
        description = " ".join(filter(None, (what.description, *words)))
        yield (
            address,
            replace(what, description=description, path="/".join(steps), role=role, group=member.instance.heading()),
        )
