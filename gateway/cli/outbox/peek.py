"""`edge-gateway outbox peek`: records as they stand in the log."""

import argparse
import json
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from gateway.cli.frame.terminal import colour, joined, table
from gateway.core.record import Lane, Record
from gateway.core.times import rfc3339
from gateway.outbox.inspect import COLUMNS, LogFiles, rows

_SHOWN = ("tag", "value", "unit", "quality", "time")


def run(args: argparse.Namespace, log: LogFiles) -> int:
    """Show them; 1 if one cannot be read."""
    sound = True
    for record in _records(log, Lane[args.lane.upper()], args.from_seq, max(0, args.count)):
        if isinstance(record, str):
            sound = False
            print(json.dumps({"problem": record}) if args.json else colour(record, "red"))
        else:
            print(json.dumps(plain(record), ensure_ascii=False) if args.json else joined(lines(record)))
    return 0 if sound else 1


def _records(log: LogFiles, lane: Lane, from_seq: int | None, count: int) -> Iterator[Record | str]:
    """From a number on, or the newest; what cannot be read as a sentence."""
    segments = log.segments(lane)
    if from_seq is None:
        held = 0
        for place in range(len(segments) - 1, -1, -1):
            held += segments[place].records
            if held >= count:
                segments = segments[place:]
                break
        heads = iter(deque(log.heads(segments), maxlen=count))
    else:
        heads = islice(log.heads(segments, from_seq), count)
    for segment, head, payload in heads:
        try:
            yield log.record(segment, head, payload)
        except ValueError as error:
            yield f"{lane.word} {head.seq}: {error}"


def plain(record: Record) -> dict[str, Any]:
    """A record as JSON."""
    told: dict[str, Any] = {
        "id": record.id,
        "lane": record.lane.word,
        "seq": record.seq,
        "kind": record.kind.name.lower(),
        "accepted": rfc3339(record.wall_ns),
        "boot": record.boot,
        "boot_ns": record.boot_ns,
        "epoch": record.epoch,
        "clock": record.clock.words,
        "config": record.config,
        "rows": record.rows,
    }
    if record.readings is None:
        return {**told, "body": record.body}
    device = record.readings.device
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows(record, record.readings)]
    wanted = ("time", "tag", "value", "unit", "type", "quality", "code")
    cells = [{name: row[name] for name in wanted} for row in named]
    by = {"said_by": dict(device.context.by)} if device.context.by else {}
    return {**told, "device": device.name, "context": device.context.said(), **by, "readings": cells}


def lines(record: Record) -> Iterator[str]:
    """A record for a person."""
    head = f"{record.lane.word} {record.seq}  {rfc3339(record.wall_ns)}  {record.kind.name.lower()}"
    if record.readings is None:
        body = record.body or {}
        yield colour(f"{head}  {body.get('device', '')}", "bold").rstrip()
        yield f"  {body.get('message') or json.dumps(body, ensure_ascii=False)}"
        return
    yield colour(f"{head}  {record.readings.device.name}", "bold")
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows(record, record.readings)]
    yield from (f"  {line}" for line in table([[row[name] for name in _SHOWN] for row in named], right=[1]))
