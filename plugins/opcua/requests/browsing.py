"""Following references, page by page (OPC 10000-4 §5.9)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from asyncua import ua

from ..session.errors import TOO_MUCH, agreeing, in_words
from ..session.session import OpcUaSession

PAGE = 1000
"""References of one node in one answer."""
MOST_REFERENCES = 100_000
"""References of one node that are looked at."""
EMPTY_PAGES = 3
"""Pages without references, after each other, that end it though the server says that there is more."""
_NO_PLACE = int(ua.StatusCodes.BadNoContinuationPoints)


@dataclass(slots=True)
class Ends:
    """What one node is tied to."""

    references: list[ua.ReferenceDescription] = field(default_factory=list)
    refused: int = 0
    """The status code with which the server does not tell it; 0 where it does."""
    cut: bool = False
    """There was more than is looked at."""


async def references(
    session: OpcUaSession,
    nodes: Sequence[ua.NodeId],
    kind: ua.NodeId,
    classes: ua.NodeClass = ua.NodeClass.Unspecified,
    direction: ua.BrowseDirection = ua.BrowseDirection.Forward,
) -> list[Ends]:
    """What each node is tied to by references of this kind, or of one derived from it."""

    async def call(chunk: Sequence[ua.NodeId]) -> Sequence[Ends]:
        request = ua.BrowseRequest()
        request.Parameters.RequestedMaxReferencesPerNode = PAGE
        request.Parameters.NodesToBrowse = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=direction,
                ReferenceTypeId=kind,
                IncludeSubtypes=True,
                NodeClassMask=classes,
                ResultMask=ua.BrowseResultMask.All,
            )
            for node in chunk
        ]
        answers = agreeing(len(chunk), (await session.request(request, ua.BrowseResponse)).Results)
        return await _all_pages(session, answers)

    with in_words("browsing", session.certificate):
        found = await session.in_chunks("browse", nodes, call)
        for row, each in enumerate(found):
            if each.refused == _NO_PLACE and len(nodes) > 1:  # servers keep few places to go on from
                (found[row],) = await call([nodes[row]])
    return found


async def browse(
    session: OpcUaSession,
    node: ua.NodeId,
    kind: ua.NodeId,
    classes: ua.NodeClass,
    direction: ua.BrowseDirection = ua.BrowseDirection.Forward,
) -> list[ua.ReferenceDescription]:
    """The same of one node; nothing for one that is not there."""
    (found,) = await references(session, [node], kind, classes, direction)
    return found.references


async def _all_pages(session: OpcUaSession, first: Sequence[ua.BrowseResult]) -> list[Ends]:
    ends = [Ends() for _ in first]
    empty = [0] * len(first)
    pages = list(enumerate(first))
    while pages:
        points: dict[int, bytes] = {}
        for row, page in pages:
            found = ends[row]
            found.references += page.References or ()
            if not page.StatusCode.is_good():
                found.refused = int(page.StatusCode.value)
            elif page.ContinuationPoint:
                points[row] = page.ContinuationPoint
            empty[row] = 0 if page.References else empty[row] + 1
        ended = [row for row in points if len(ends[row].references) >= MOST_REFERENCES or empty[row] >= EMPTY_PAGES]
        if ended:
            await _next(session, [points.pop(row) for row in ended], release=True)
        for row in ended:
            ends[row].cut = True
        results = await _next(session, list(points.values())) if points else []
        pages = list(zip(points, results, strict=True))
    return ends


async def _next(session: OpcUaSession, points: Sequence[bytes], *, release: bool = False) -> Sequence[ua.BrowseResult]:
    request = ua.BrowseNextRequest()
    request.Parameters.ReleaseContinuationPoints = release  # the library's default would release
    request.Parameters.ContinuationPoints = list(points)
    try:
        results = (await session.request(request, ua.BrowseNextResponse)).Parameters.Results
    except TOO_MUCH:
        if len(points) == 1:
            raise
        half = len(points) // 2
        parts = [await _next(session, some, release=release) for some in (points[:half], points[half:])]
        return [result for part in parts for result in part]
    return results if release else agreeing(len(points), results)
