"""What a server tells of its nodes: types, units, descriptions, and which variables there are."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from asyncua import ua

from gateway.plugin import Found, LinkError, Tag, cleaned, encodable

from ..address import parse_member
from ..config import NodeConfig
from ..session.errors import LacksError, in_words, name_of
from ..session.session import OpcUaSession
from ..values.kinds import TEXTS
from ..values.plain import TYPES, plain, type_of, type_of_member
from ..values.structures import Types
from ..values.units import named
from ..values.value_part import NoSuchPartError, element_of, member_of
from .browsing import references
from .definitions import data_types_of, learn
from .services import nodes_of, read, unhurried
from .ways import HIERARCHICAL, OBJECTS, step_of

T = TypeVar("T")

_SERVER = ua.NodeId(ua.ObjectIds.Server)
_HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
_UNITS = ua.RelativePath([ua.RelativePathElement(_HAS_PROPERTY, False, True, ua.QualifiedName("EngineeringUnits", 0))])
DESCRIBED = 200
"""Tags that are described at a time."""
TELLS_WITHIN = 3.0
"""Seconds for one answer about nodes; a server that takes longer is asked for no more of them at this connect."""
PATIENCE = 5.0
"""Seconds after which a slow server is asked for no more descriptions; the next connect asks for the rest."""
MOST_NODES = 100_000
"""Nodes that are browsed."""
MOST_LEVELS = 100
LONGEST_ADDRESS = 4096
"""Characters of a node id that are shown; the standard allows no longer ones."""
SHOWN = 16
"""Names of an enumeration that a description shows."""


MOST_REMEMBERED = 100_000
"""Descriptions that are kept of servers that are too slow to tell all at one connect; those of the longest known go first,
whose device may be gone."""

_described: dict[str, dict[str, Found]] = {}
"""URL → address → what was told of it, by such a server."""


async def describe_tags(session: OpcUaSession, tags: Sequence[Tag], *, anew: bool = False) -> Mapping[Tag, Found]:
    """Type, unit and description of the tags whose nodes the server knows; of a slow server, as many as it tells in time, and
    what it has told at earlier connects, unless all of it is to be asked for anew."""
    session.tells_no_more |= session.suspicion.tells_nothing
    with session.suspicion.describing():
        return await _describe_tags(session, tags, anew)


async def _describe_tags(session: OpcUaSession, tags: Sequence[Tag], anew: bool) -> Mapping[Tag, Found]:
    before = _described.get(session.config.url, {})
    if anew:
        told_before = {_key(tag) for tag in tags}
        before = {key: what for key, what in before.items() if key not in told_before}
    until = asyncio.get_running_loop().time() + PATIENCE
    nodes = await nodes_of(session, tags)
    known = [(tag, node) for tag, node in zip(tags, nodes, strict=True) if node is not None]
    open_ones = [(tag, node) async for tag, node in unhurried(known) if _key(tag) not in before]
    found: dict[Tag, Found] = {}
    at = 0
    while at < len(open_ones) and (not at or asyncio.get_running_loop().time() < until):
        some = open_ones[at : at + DESCRIBED]
        at += len(some)
        told = await describe_nodes(session, [node for _, node in some], [tag.config for tag, _ in some], agreed=anew)
        found |= {tag: what for (tag, _), what in zip(some, told, strict=True) if what is not None and what.type}
    async for tag, _ in unhurried(known):
        if tag not in found and (what := before.get(_key(tag))) is not None:
            found[tag] = what
    if session.config.url in _described or at < len(open_ones):
        of_others = before.keys() - {_key(tag) for tag, _ in known}  # of another device at this URL
        mine = {_key(tag): what for tag, what in found.items()} if at < len(open_ones) else {}
        _remember(session.config.url, mine | {key: before[key] for key in of_others})
    return found


def _remember(url: str, told: dict[str, Found]) -> None:
    _described.pop(url, None)
    if told:
        _described[url] = told
    while len(_described) > 1 and sum(map(len, _described.values())) > MOST_REMEMBERED:
        del _described[next(iter(_described))]


def _key(tag: Tag) -> str:
    return f"{tag.config.address} {tag.config.index_range} {tag.config.field}"


async def describe_nodes(
    session: OpcUaSession,
    nodes: Sequence[ua.NodeId],
    tags: Sequence[NodeConfig] = (),
    *,
    agreed: bool = False,
    written: Callable[[ua.EUInformation], str] = named,
) -> list[Found | None]:
    """What is known of each node, or of the part that its tag takes, an array's type being empty; None for one that has no
    value that a tag can have, and, where that is to be `agreed`, for one whose value is a text though its type is declared as
    a number, or the reverse. The session learns the types that the server defines for them."""
    count = len(nodes)
    ranges = [tag.index_range for tag in tags] or [None] * count
    wanted = [(*each, part) for each, part in zip(_each(nodes, "Value"), ranges, strict=True)]
    untold = [ua.DataValue()] * count
    values, types, descriptions, units = await asyncio.gather(
        _or_without(session, lambda: read(session, wanted), untold),
        _or_without(session, lambda: read(session, _each(nodes, "DataType")), untold),
        _or_without(session, lambda: read(session, _each(nodes, "Description")), untold),
        _or_without(session, lambda: _units(session, nodes, written), [""] * count),
    )
    declared = [_node_id(each) for each in types]
    await _or_without(session, lambda: _learn_types(session, values, declared), None)
    paths = [parse_member(tag.field) if tag.field else [] for tag in tags] or [[]] * count
    elements = [tag.element for tag in tags] or [()] * count
    found: list[Found | None] = []
    for row, declared_type in enumerate(declared):
        kind = _type(session.types, _variant(values[row], elements[row]), declared_type, paths[row])
        if agreed and kind is not None and not _agrees(kind, session.types, declared_type, paths[row]):
            kind = None
        names = _names(session.types, declared_type, paths[row])
        description = " ".join(filter(None, (_text(descriptions[row]), names)))
        found.append(None if kind is None else Found(kind, units[row], description))
    return found


async def _or_without(session: OpcUaSession, ask: Callable[[], Awaitable[T]], instead: T) -> T:
    """What a server tells of its nodes, or what stands for it where that makes no sense, is refused or does not come: nodes
    can be read without it. Raises LinkError where the server answers nothing else either."""
    if session.tells_no_more:
        return instead
    try:
        async with asyncio.timeout(TELLS_WITHIN):
            return await ask()
    except LacksError:
        return instead
    except (LinkError, TimeoutError) as error:
        with in_words("describing", session.certificate):
            await session.sign_of_life()
        session.tells_no_more = not isinstance(error, LinkError) or isinstance(error.__cause__, TimeoutError)
        return instead


def _each(nodes: Sequence[ua.NodeId], attribute: str) -> list[tuple[ua.NodeId, ua.AttributeIds]]:
    return [(node, ua.AttributeIds[attribute]) for node in nodes]


def _node_id(answer: ua.DataValue) -> ua.NodeId:
    told = answer.Value.Value if answer.Value is not None else None
    return told if isinstance(told, ua.NodeId) else ua.NodeId()


async def _learn_types(session: OpcUaSession, values: Sequence[ua.DataValue], declared: Sequence[ua.NodeId]) -> None:
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


def _agrees(kind: str, types: Types, declared: ua.NodeId, path: Sequence[str | int]) -> bool:
    """Whether a value of this kind is one of the declared type, as far as that says so: a text, or a number."""
    told = TYPES.get(_built_in(types, declared, path))
    return told is None or (kind in TEXTS) == (told in TEXTS)


def _built_in(types: Types, declared: ua.NodeId, path: Sequence[str | int]) -> ua.VariantType | None:
    data_type = types.member_type(declared, path)
    return ua.VariantType.Int32 if data_type in types.enumerations else types.built_in.get(data_type)


def _names(types: Types, declared: ua.NodeId, path: Sequence[str | int]) -> str:
    """What the numbers of an enumeration mean; empty for any other type."""
    names = types.enumerations.get(types.member_type(declared, path)) or {}
    told = [f"{value} {cleaned(name, 100)}" for value, name in sorted(names.items()) if name]
    more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    return f"({', '.join(told[:SHOWN] + more)})" if told else ""


def _text(answer: ua.DataValue) -> str:
    good = answer.StatusCode is None or answer.StatusCode.is_good()
    return cleaned(plain(answer.Value) or "") if good else ""


async def _units(
    session: OpcUaSession, nodes: Sequence[ua.NodeId], written: Callable[[ua.EUInformation], str]
) -> list[str]:
    """The engineering units; empty where a node has none."""

    async def call(chunk: Sequence[ua.NodeId]) -> Sequence[ua.BrowsePathResult]:
        request = ua.TranslateBrowsePathsToNodeIdsRequest()
        request.Parameters.BrowsePaths = [ua.BrowsePath(node, _UNITS) for node in chunk]
        return list((await session.request(request, ua.TranslateBrowsePathsToNodeIdsResponse)).Results)

    try:
        with in_words("looking for units", session.certificate):
            paths = await session.in_chunks("translate", nodes, call)
    except LacksError:
        return [""] * len(nodes)
    targets = {row: path.Targets[0].TargetId for row, path in enumerate(paths) if path.Targets}
    answers = await read(session, [(target, ua.AttributeIds.Value) for target in targets.values()])
    units = [""] * len(nodes)
    for row, answer in zip(targets, answers, strict=True):
        unit = answer.Value.Value if answer.Value is not None else None
        if isinstance(unit, ua.EUInformation):
            units[row] = written(unit)
    return units


async def browse_variables(
    session: OpcUaSession, miss: Callable[[str], None] = lambda what: None
) -> AsyncGenerator[tuple[str, Found], None]:
    """All variables below Objects, the server's own left out: address with namespace URI, and what is known of it. `miss` is
    told, at the end, of what is missing."""
    paths = {OBJECTS: "", _SERVER: "Server"}
    level = [OBJECTS]
    missing: Counter[str] = Counter()
    depth = 0
    while level and depth < MOST_LEVELS:
        below: list[ua.NodeId] = []
        for some in _parts(level):
            fresh = await _fresh(session, some, paths, missing)
            below += [child.NodeId for child in fresh]
            for variables in _parts([each.NodeId for each in fresh if each.NodeClass == ua.NodeClass.Variable]):
                for node, found in zip(variables, await describe_nodes(session, variables), strict=True):
                    address = str(session.address(node))
                    if found is None:
                        continue
                    if address == encodable(address) and len(address) <= LONGEST_ADDRESS:
                        yield address, replace(found, path=paths[node])
                    else:
                        missing["nodes whose id is no text"] += 1
        level, depth = below, depth + 1
    missing[f"nodes below level {MOST_LEVELS}"] += len(level)
    for what, count in (+missing).items():
        miss(f"{what}: {count}")


def _parts(nodes: Sequence[ua.NodeId]) -> Iterator[Sequence[ua.NodeId]]:
    return (nodes[at : at + DESCRIBED] for at in range(0, len(nodes), DESCRIBED))


async def _fresh(
    session: OpcUaSession, nodes: Sequence[ua.NodeId], paths: dict[ua.NodeId, str], missing: Counter[str]
) -> list[ua.ReferenceDescription]:
    """What is below these nodes and not known yet; `paths` learns where it is."""
    fresh = []
    for parent, child in await _children(session, nodes, missing):
        if child.NodeId in paths:
            continue
        if len(paths) >= MOST_NODES:
            missing[f"nodes beyond {MOST_NODES}"] += 1
            continue
        paths[child.NodeId] = f"{paths[parent]}/{step_of(child)}".lstrip("/")
        fresh.append(child)
    return fresh


async def _children(
    session: OpcUaSession, nodes: Sequence[ua.NodeId], missing: Counter[str]
) -> list[tuple[ua.NodeId, ua.ReferenceDescription]]:
    """Objects and variables one step below, each with the node above it; properties are left out."""
    classes = ua.NodeClass.Object | ua.NodeClass.Variable
    children = []
    for node, ends in zip(nodes, await references(session, nodes, HIERARCHICAL, classes), strict=True):
        if ends.refused:
            missing[f"nodes below which the server does not say what there is ({name_of(ends.refused)})"] += 1
        if ends.cut:
            missing["nodes with more below them than is looked at"] += 1
        children += [(node, child) for child in ends.references if child.ReferenceTypeId != _HAS_PROPERTY]
    return children
