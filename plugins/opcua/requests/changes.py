"""Nodes that may not be any more what the server said of them at the connect: when they are asked for again, and what is
done where it says otherwise."""

import asyncio

from asyncua import ua

from gateway.plugin import Device, LinkError, listed

from ..address import parse_place
from ..session.session import OpcUaSession
from .nodes import describe_tags
from .services import unhurried

LOOK_AFTER, LOOK_EVERY = 1.0, 60.0
"""Seconds from the first sign until the nodes are looked up, and between two such looks at one server."""
MOST_NODES = 1000
"""Nodes that a server says have changed, between two looks; it may name any, also such as are no tag's."""
SHOWN = 5
"""Tags that the reason names."""


class NodeChanges:
    """Signs that tags of one device are described otherwise now."""

    def __init__(self, session: OpcUaSession, device: Device, rows: set[int]) -> None:
        """`rows`: those of tags that are to be asked for; whoever sees a sign adds to it."""
        self._session = session
        self._device = device
        self._rows = rows
        self._nodes: set[ua.NodeId] = set()
        self._since = float("inf")

    def hint(self, nodes: set[ua.NodeId]) -> None:
        """The server says that these nodes have changed."""
        if len(self._nodes) < MOST_NODES:
            self._nodes |= nodes

    def look_at(self) -> float:
        """Loop time at which the server is to be asked; infinite where nothing has changed."""
        if not self._rows and not self._nodes:
            self._since = float("inf")
            return self._since
        self._since = min(self._since, asyncio.get_running_loop().time())
        return max(self._since + LOOK_AFTER, self._session.profile.described_at + LOOK_EVERY)

    async def look(self) -> None:
        """Raises LinkError where the server says otherwise than before of these nodes: with the next connection, which takes
        all over, the gateway takes that up."""
        rows, nodes = set(self._rows), self._nodes
        self._rows.clear()
        self._nodes = set()
        if nodes:
            async for row, tag in unhurried(enumerate(self._device.tags)):
                if self._session.node_id(parse_place(tag.config.address)) in nodes:
                    rows.add(row)
        if not rows:
            return
        self._session.profile.described_at = asyncio.get_running_loop().time()
        tags = [self._device.tags[row] for row in sorted(rows)]
        found = await describe_tags(self._session, tags, anew=True)
        before = self._session.described
        others = [tag.name for tag in tags if tag in found and found[tag] != before.get(tag.name)]
        if others:
            names = listed(others, SHOWN)
            raise LinkError(f"the server describes {names} otherwise than before: connecting anew to take that up")
