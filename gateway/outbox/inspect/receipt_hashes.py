"""Receipts against the log: their hashes computed again, from records as far as these are still on disk. Blocking."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core.record import Kind, Lane
from gateway.core.tag import Device
from gateway.encode import RecordHash
from gateway.outbox.format import Segment
from gateway.outbox.inspect.log_files import LogFiles
from gateway.outbox.receipts import Tally


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one receipt."""

    matches: bool = False
    gone: bool = False
    """Its records, or some of them, are no longer on disk."""
    words: str = ""

    @property
    def wrong(self) -> bool:
        return not (self.matches or self.gone)


def verify_receipts(
    log: LogFiles, receipts: Sequence[Mapping[str, Any]], progress: Callable[[int], None]
) -> list[Checked]:
    """One finding for each receipt; `progress` is told how many bytes of the log were looked at."""
    segments = log.segments(Lane.DATA)
    tallies = [Tally(each["device"], dict(each["context"])) for each in receipts]
    wanted: dict[_Key, list[tuple[int, int, Tally]]] = {}
    for each, tally in zip(receipts, tallies, strict=True):
        wanted.setdefault(_key(tally.device, tally.context), []).append((each["first"], each["last"], tally))
    _count(log, segments, wanted, progress)
    oldest = segments[0].first if segments else None
    return [_compared(each, tally, oldest) for each, tally in zip(receipts, tallies, strict=True)]


_Key = tuple[str, frozenset[tuple[str, str]]]


def _key(device: str, context: Mapping[str, str]) -> _Key:
    return device, frozenset(context.items())


def _compared(receipt: Mapping[str, Any], tally: Tally, oldest: int | None) -> Checked:
    if tally.records == receipt["records"] and tally.hash.hex() == receipt["hash"]:
        return Checked(matches=True, words="matches the log")
    if oldest is None or oldest > receipt["first"]:
        return Checked(gone=True, words="its records are no longer on disk")
    if tally.records < receipt["records"]:
        missing = receipt["records"] - tally.records
        return Checked(words=f"{missing} of its {receipt['records']} records cannot be read from the log any more")
    return Checked(words="the log does not hold what was accepted: another hash")


def _count(
    log: LogFiles,
    segments: Sequence[Segment],
    wanted: Mapping[_Key, Sequence[tuple[int, int, Tally]]],
    progress: Callable[[int], None],
) -> None:
    """Count every record that can be read to the receipt that covers it."""
    contents: dict[Device, RecordHash] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for segment, head, payload in log.heads(segments):
            progress(head.size)
            if head.kind != Kind.READINGS:
                continue
            try:
                record = log.record(segment, head, payload)
            except ValueError:
                continue
            assert record.readings is not None
            device = record.readings.device
            for first, last, tally in wanted.get(_key(device.name, device.context.said()), ()):
                if first <= record.seq <= last:
                    if device not in contents:
                        contents[device] = RecordHash(device.tags, device.context)
                    tally.accept(record, contents[device].digests(record))
