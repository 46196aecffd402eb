"""Where paths of names lead: browsed step by step, from the folder Objects."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from asyncua import ua

from gateway.plugin import LinkError, cleaned

from ..address import Address, NamePath, parse_place
from ..config import OpcUaConfig
from ..session.errors import LacksError
from ..session.session import OpcUaSession
from .browsing import references

OBJECTS = ua.NodeId(ua.ObjectIds.ObjectsFolder)
HIERARCHICAL = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
PLACES = ua.NodeClass.Object | ua.NodeClass.Variable
LONGEST_NAME = 120
"""Characters of one step of a path."""
WITHIN = 5.0
"""Seconds that a server may take at a connect; what it has not told by then is asked for with what it refuses."""

Steps = tuple[str, ...]


def paths_of(config: OpcUaConfig, addresses: Iterable[str]) -> list[NamePath]:
    """The paths among the addresses of tags, and of what else the config names."""
    objects = [each.object for each in config.methods.values()]
    places = [parse_place(each) for each in dict.fromkeys((*addresses, *config.notifiers, *objects))]
    return [each for each in places if isinstance(each, NamePath)]


async def find_ways(session: OpcUaSession, paths: Iterable[NamePath]) -> None:
    """The session learns the node of each of these paths, or why there is none. A slow server is asked no longer than
    `WITHIN`, and than half of what a connect may take. Raises LinkError where the connection is lost."""
    wanted = [path for path in paths if not isinstance(session.ways.get(path), ua.NodeId)]
    if not wanted:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(min(WITHIN, session.config.timeout / 2)):
            try:
                await _find(session, wanted)
            except LacksError as error:
                session.ways |= dict.fromkeys(wanted, f"the server does not tell where its path leads: {error}")
            except LinkError as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise TimeoutError from error
                raise


async def find_ways_anew(session: OpcUaSession, places: Iterable[Address | NamePath]) -> None:
    """The same for places that the server refuses: what stood there before may be another node now."""
    paths = [each for each in places if isinstance(each, NamePath)]
    for path in paths:
        session.ways.pop(path, None)
    await find_ways(session, paths)


async def _find(session: OpcUaSession, paths: list[NamePath]) -> None:
    """Level by level, so that what several paths have in common is browsed once."""
    nodes: dict[Steps, ua.NodeId] = {(): OBJECTS}
    for depth in range(max(len(path.steps) for path in paths)):
        below: defaultdict[Steps, dict[str, list[ua.NodeId]]] = defaultdict(dict)
        for path in paths:
            if len(path.steps) > depth and path.steps[:depth] in nodes:
                below[path.steps[:depth]][path.steps[depth]] = []
        parents = list(below)
        found = await references(session, [nodes[parent] for parent in parents], HIERARCHICAL, PLACES)
        for parent, ends in zip(parents, found, strict=True):
            named = below[parent]
            for child in ends.references:
                same = named.get(step_of(child))
                if same is not None and child.NodeId not in same:
                    same.append(child.NodeId)
            nodes |= {(*parent, step): ids[0] for step, ids in named.items() if len(ids) == 1}
            reasons = {(*parent, step): _why(parent, step, ids) for step, ids in named.items() if len(ids) != 1}
            session.ways |= {
                path: reasons[path.steps[: depth + 1]] for path in paths if path.steps[: depth + 1] in reasons
            }
    session.ways |= {path: nodes[path.steps] for path in paths if path.steps in nodes}


def _why(parent: Steps, step: str, found: list[ua.NodeId]) -> str:
    where = "/".join(parent) or "Objects"
    if found:
        return f'the server has {len(found)} nodes that are named "{step}" below {where}: write the node id'
    return f'the server has nothing that is named "{step}" below {where}: compare address with what browse shows'


def step_of(child: ua.ReferenceDescription) -> str:
    """A node's name as one step of a path."""
    return cleaned(child.BrowseName.Name or "", LONGEST_NAME).replace("/", "_")
