"""What became of readings, in words: of an hour's receipt and of a batch alike."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.frame.terminal import count
from gateway.core.times import rfc3339


def instant(ms: int) -> str:
    """Milliseconds since 1970, to the second and in UTC, for an account is read elsewhere too."""
    return f"{rfc3339(ms * 1_000_000)[:19].replace('T', ' ')}Z"


def remarks(said: str, of: Mapping[str, Any], end: str) -> Iterator[str]:
    """What is to be known of an account beside its counts; `end`: up to when a gap lasts that has no end yet."""
    for sink, account in of["sinks"].items():
        for reason, lost in account["dropped"].items():
            yield f"{said}: {count(lost, 'reading')} will not be delivered to {sink}: {reason}"
    if of["not_accepted"]:
        yield f"{said}: {count(of['not_accepted'], 'reading')} not accepted"
    if of["missed_polls"]:
        yield f"{said}: {count(of['missed_polls'], 'poll')} left out, the one before was not answered yet"
    for gap in of["gaps"]:
        until = end if gap["to"] is None else instant(gap["to"])
        yield f"{said}: {gap['reason']}, from {instant(gap['from'])} to {until}"
    if of["interrupted"]:
        yield f"{said}: cut short by a kill or a power cut; how much was read is not known"
    if of["incomplete"]:
        yield f"{said}: after that not all records could be read again"
