"""Which files of the log go. Pure: decided in the event loop, done by the writer's thread."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from gateway.core.record import Lane
from gateway.outbox.format import Segment

Policy = Literal["drop_oldest", "drop_newest"]

LEAST_FIRST = (Lane.DATA, Lane.ALARM)
"""The lanes in the order in which they give up files."""


def done_with(segments: Sequence[Segment], below: int, kept_from_ns: int | None) -> list[Segment]:
    """The oldest files of a lane of which every number is `below` what all sinks have settled, and that are older than
    the wished history: by the boot clock, so that a clock that is set ages no file; None: no history is wished for. Never
    the one being written."""
    count = 0
    for segment in segments[:-1]:
        young = kept_from_ns is not None and (segment.boot_to is None or segment.boot_to > kept_from_ns)
        if young or segment.last >= below:
            break
        count += 1
    return list(segments[:count])


def surplus(
    lanes: Mapping[Lane, Sequence[Segment]], excess: int, may_go: Callable[[Segment], bool] = lambda _: True
) -> list[Segment]:
    """The files of these lanes to give up so that `excess` bytes come free: the oldest of the least important lane first,
    alarms last, never the one being written. Fewer bytes if no more files `may_go`."""
    given_up: list[Segment] = []
    for lane in LEAST_FIRST:
        for segment in lanes.get(lane, ())[:-1]:
            if excess <= 0:
                return given_up
            if may_go(segment):
                given_up.append(segment)
                excess -= segment.taken
    return given_up


def yielding(policies: Mapping[Lane, Policy], wanted_by: Lane | None = None) -> list[Lane]:
    """The lanes that give up old files when there is too little room, least important first. No lane does it for one that
    is less important: neither for one that keeps its own, nor for the one whose record wants to be written."""
    lanes: list[Lane] = []
    for lane in LEAST_FIRST:
        if policies[lane] == "drop_newest":
            break
        lanes.append(lane)
        if lane is wanted_by:
            break
    return lanes


def data_share(max_size: int) -> int:
    """Bytes that data takes up at most where it keeps its old: the rest stays for alarms."""
    return max_size - max_size // 8


def default_max_size(free: int, own: int) -> int:
    """A quarter of the disk that is free or the log's own already, at most 8 GiB."""
    return min((free + own) // 4, 8 * 2**30)
