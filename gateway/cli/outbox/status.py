"""`edge-gateway outbox status`: asked of the running gateway, else read off the files."""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.cli.frame.client import NoGatewayError, call, socket_path
from gateway.cli.frame.terminal import colour, count, joined, table
from gateway.core.amounts import format_duration, format_size
from gateway.core.record import Lane
from gateway.outbox.format import files_status
from gateway.outbox.inspect import Cursor, LogFiles
from gateway.status import rendered


def run(args: argparse.Namespace, directory: Path) -> int:
    """Show it; 1 if readings were lost, the disk refuses, or files cannot be read."""
    told = _asked(args) or _looked_at(LogFiles(directory))
    print(json.dumps(told, ensure_ascii=False, indent=2) if args.json else joined(_lines(told)))
    return 1 if list(_troubles(told)) else 0


def _asked(args: argparse.Namespace) -> dict[str, Any] | None:
    """The gateway's answer; None where none answers, or another directory than its own is meant."""
    if args.dir is not None:
        return None
    try:
        answer = call(socket_path(args.socket), "status")
    except NoGatewayError:
        return None
    return {"source": f"gateway {answer['gateway']}", **answer["outbox"]}


def _looked_at(log: LogFiles) -> dict[str, Any]:
    """The same, as far as files tell it."""
    unreadable: list[str] = []
    segments = {lane: log.segments(lane, unreadable) for lane in Lane}
    numbers = log.numbers()
    lanes, totals = {}, {}
    for lane, files in segments.items():
        clean = numbers.total[lane] if numbers is not None and numbers.clean else 0
        totals[lane] = max(clean, files[-1].end if files else 0)
        lanes[lane.word] = {
            "records": sum(file.records for file in files),
            "accepted": totals[lane],
            **rendered(files_status(files)),
        }
    cursors = log.cursors()
    return {
        "source": str(log.directory),
        "log": log.log_id,
        "size": sum(file.taken for files in segments.values() for file in files) + log.summaries,
        "clean": numbers.clean if numbers is not None else None,
        "lanes": lanes,
        "readers": [_reader(cursor, totals) for cursor in cursors if cursor.lanes is not None],
        "unreadable": [
            *unreadable,
            *(f"{cursor.path}: {cursor.problem}" for cursor in cursors if cursor.lanes is None),
        ],
        "quarantine": [str(path) for path in sorted((log.directory / "quarantine").glob("*"))],
        "set_aside": [str(path) for path in sorted((log.directory / "set-aside").glob("*"))],
    }


def _reader(cursor: Cursor, totals: dict[Lane, int]) -> dict[str, Any]:
    assert cursor.lanes is not None
    return {
        "sink": cursor.sink,
        "lanes": {lane.word: rendered(track.balance(totals[lane])) for lane, track in cursor.lanes.items()},
    }


def _lines(told: dict[str, Any]) -> Iterator[str]:
    bound = f" of {format_size(told['max_size'])}" if "max_size" in told else ""
    yield f"{colour('log ' + told['log'], 'bold')}, {format_size(told['size'])}{bound}, as told by {told['source']}"
    yield from (colour(f"  {trouble}", "red") for trouble in _troubles(told))
    for word, lane in told["lanes"].items():
        yield f"  {word:<6} {count(lane['accepted'], 'reading')} accepted, {count(lane['files'], 'file')}{_span(lane)}"
    yield from (f"  {line}" for line in table(_balance(told["readers"]), right=[2, 3, 4, 5]))
    yield from (f"  {line}" for line in _history(told))
    yield from (f"  {line}" for line in _care(told))
    if told.get("clean") is False:
        yield "  no orderly stop so far: a gateway is running, or the last one was killed"
    for name, text in (("quarantine", "damaged, kept for you to look at"), ("set_aside", "an older log")):
        yield from (f"  {path}: {text}" for path in told.get(name, ()))


def _history(told: dict[str, Any]) -> Iterator[str]:
    """What a running gateway tells of history, and of the last replays."""
    if "keep_s" in told:
        kept = f"stays for {format_duration(told['keep_s'])}" if told["keep_s"] else "goes"
        yield f"what all sinks have {kept} ([outbox] keep)"
    for replay in told.get("replays", ()):
        how = f"{replay['part']:.0%} looked through" if replay["running"] else replay["outcome"]
        yield f"replay to {replay['sink']}: {how}, {count(replay['readings'], 'reading')} sent once more"


def _care(told: dict[str, Any]) -> Iterator[str]:
    """What a running gateway tells of its promise, and of what it costs the disk."""
    if told.get("mode") == "spill":
        yield f"mode spill: {told['promise']}"
    if wear := told.get("wear"):
        per_value = f"{wear['bytes_per_value']} bytes a value, " if wear["bytes_per_value"] is not None else ""
        written = f"{format_size(wear['written_bytes'])} written since the start"
        yield f"disk   {per_value}{wear['syncs_per_second']:g} syncs/s; {written}, {count(wear['syncs'], 'sync')}"


def _span(lane: dict[str, Any]) -> str:
    """The numbers that are there, and how old the oldest is: so far back history reaches."""
    if not lane.get("oldest"):
        return ""
    age = format_duration(max(0.0, time.time() - lane["oldest"] / 1e9))
    return f", numbers {lane['first']} to {lane['last']}, the oldest {age} old"


def _balance(readers: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    cells = [
        (reader["sink"], lane, *(str(each[name]) for name in ("accepted", "acknowledged", "pending")), _sum(each))
        for reader in readers
        for lane, each in reader["lanes"].items()
    ]
    return [("SINK", "LANE", "ACCEPTED", "ACKNOWLEDGED", "PENDING", "DROPPED"), *cells] if cells else []


def _sum(lane: dict[str, Any]) -> str:
    return str(sum(lane["dropped"].values()))


def _troubles(told: dict[str, Any]) -> Iterator[str]:
    if told.get("disk", "ok") != "ok":
        yield f"the disk takes nothing: {told['disk']}"
    for lane, why in told.get("turning_away", {}).items():
        yield f"{lane}: new records are turned away now: {why}"
    if told.get("not_accepted"):
        yield f"{count(told['not_accepted'], 'reading')} not accepted and lost"
    for reader in told["readers"]:
        for lane, each in reader["lanes"].items():
            for reason, lost in each["dropped"].items():
                yield f"{reader['sink']}: {count(lost, 'reading')} of {lane} will not be delivered: {reason}"
    yield from told.get("unreadable", ())
