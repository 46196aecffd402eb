"""Which files of the log go. Pure: decided in the event loop, done by the writer's thread."""

from collections.abc import Mapping, Sequence

from gateway.core.record import Lane
from gateway.outbox.segment import Segment


def done_with(segments: Sequence[Segment], below: int, kept_from_ns: int) -> list[Segment]:
    """The oldest files of a lane of which every number is `below` what all sinks have settled, and that are older than
    the wished history. Never the one being written."""
    count = 0
    for segment in segments[:-1]:
        if segment.last >= below or segment.wall_to > kept_from_ns:
            break
        count += 1
    return list(segments[:count])


def surplus(lanes: Mapping[Lane, Sequence[Segment]], excess: int) -> list[Segment]:
    """The files to give up so that `excess` bytes come free: the oldest data first, alarms last, never the one being
    written. Fewer bytes if there are no more files."""
    given_up: list[Segment] = []
    for lane in (Lane.DATA, Lane.ALARM):
        for segment in lanes[lane][:-1]:
            if excess <= 0:
                return given_up
            given_up.append(segment)
            excess -= segment.size + segment.footer
    return given_up


def default_max_size(free: int, own: int) -> int:
    """A quarter of the disk that is free or the log's own already, at most 8 GiB."""
    return min((free + own) // 4, 8 * 2**30)
