"""What a loss record says. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.record import Lane
from gateway.outbox.deliver import Loss
from gateway.outbox.format import IntervalSet, Segment


def loss_body(loss: Loss, sink: str, born_ns: int) -> dict[str, Any]:
    """What one sink will not get: ranges of numbers (first and last), readings, accepted from and to. Where no older
    record is left, they were accepted since the log was made (`born_ns`)."""
    wall_from = min(loss.wall_from or born_ns, loss.wall_to)
    ranges = [(low, high - 1) for low, high in loss.seqs.pairs()]
    return _body(loss.lane, ranges, loss.rows, wall_from, loss.wall_to, loss.reason, {sink: loss.rows})


def segment_body(segment: Segment, reason: str, sinks: Mapping[str, int], seqs: IntervalSet) -> dict[str, Any]:
    """A whole file that was given up, with the readings that each sink had not got, and the numbers that some had not."""
    ranges = [(low, high - 1) for low, high in seqs.pairs()]
    rows = max(sinks.values())
    return _body(segment.lane, ranges, rows, segment.wall_from, segment.wall_to, reason, sinks)


def skip_body(lane: Lane, numbers: tuple[int, int]) -> dict[str, Any]:
    """Numbers (first and last) that were reserved and never will be used: no reading is lost by them."""
    return {
        "lane": lane.word,
        "ranges": [numbers],
        "reason": "unclean stop",
        "message": f"Numbers {numbers[0]} to {numbers[1]} of lane {lane.word} are skipped after an unclean stop.",
    }


def _body(
    lane: Lane,
    ranges: Sequence[tuple[int, int]],
    rows: int,
    wall_from: int,
    wall_to: int,
    reason: str,
    sinks: Mapping[str, int],
) -> dict[str, Any]:
    return {
        "lane": lane.word,
        "ranges": ranges,
        "rows": rows,
        "from_ns": wall_from,
        "to_ns": wall_to,
        "reason": reason,
        "accepted": True,
        "sinks": dict(sinks),
        "message": f"{rows} readings will not be delivered to {', '.join(sinks)}: {reason}.",
    }
