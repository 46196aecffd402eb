"""`edge-gateway outbox`: looks at the log, also while the gateway runs, and never changes it; what else is to be done with
it, the running gateway does."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.frame.places import at_state
from gateway.cli.frame.progress import Bar
from gateway.cli.frame.terminal import colour, count, fail, joined
from gateway.cli.outbox import dead, drain, export, peek, replay, status
from gateway.core.amounts import format_size
from gateway.core.errors import GatewayError
from gateway.core.record import Lane
from gateway.outbox.inspect import LogFiles, LogReport, verify

_ASKED = {"drain": drain.run, "replay": replay.run}
"""What the running gateway does."""
LANES = [lane.word for lane in Lane]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which log."""
    log = argparse.ArgumentParser(add_help=False)
    log.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="the log's directory, or a copy of it (default: of the configured gateway)",
    )
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    parents = [shared(), log]
    what.add_parser("status", parents=parents, help="sizes, and the balance of every sink")
    what.add_parser(
        "verify", parents=parents, help="whether every record is as it was written, and every gap explained"
    )
    peeking = what.add_parser("peek", parents=parents, help="records as they stand in the log")
    peeking.add_argument("-n", dest="count", type=int, default=10, metavar="COUNT", help="how many (default 10)")
    peeking.add_argument(
        "--lane", choices=LANES, default="data", help="of readings (data), or of events and losses (alarm)"
    )
    peeking.add_argument(
        "--from", dest="from_seq", type=int, metavar="SEQ", help="from this number on (default: the newest)"
    )
    exporting = what.add_parser("export", parents=parents, help="readings as a table, one row each")
    export.arguments(exporting)
    draining = what.add_parser("drain", parents=[shared()], help="wait until every sink has what was accepted so far")
    drain.arguments(draining)
    replaying = what.add_parser(
        "replay", parents=[shared()], help="send history to a sink once more, under the same ids"
    )
    replay.arguments(replaying)
    letters = what.add_parser("dead", help="records that a sink refused for good: look, send again, drop")
    dead.arguments(letters, log)


def run(args: argparse.Namespace) -> int:
    """Look; 1 if something is wrong with the log, or it cannot be read."""
    try:
        if args.what in _ASKED:
            return _ASKED[args.what](args)
        if args.what == "dead" and args.do not in ("list", "show"):
            return dead.run(args, None)
        with at_state(args.config, args.dir) as place:
            return _look(args, args.dir or place / "outbox")
    except PermissionError as error:
        fail(f"you may not read {error.filename}: try  sudo edge-gateway outbox {args.what}")
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            fail(f"outbox {args.what} could not go on: {error.strerror}")
            return 1
        fail(f"{error.filename}: {error.strerror}; name the directory:  edge-gateway outbox {args.what} --dir DIR")
    except GatewayError as error:
        fail(f"{error}; name its directory:  edge-gateway outbox {args.what} --dir DIR")
    return 1


def _look(args: argparse.Namespace, directory: Path) -> int:
    if args.what == "status":
        return status.run(args, directory)
    if args.what == "dead":
        return dead.run(args, directory)
    log = LogFiles(directory)
    if args.what == "verify":
        return _verify(log, args.json)
    return peek.run(args, log) if args.what == "peek" else export.run(args, log)


def _verify(log: LogFiles, as_json: bool) -> int:
    size = sum(path.stat().st_size for lane in Lane for path in log.paths(lane) if path.exists())
    with Bar("verifying", size) as bar:
        report = verify(log, bar)
    if as_json:
        print(json.dumps(_plain(report), indent=2))
    else:
        print(joined(_words(report)))
    return 0 if report.ok else 1


def _plain(report: LogReport) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "log": report.log_id,
        "size": report.size,
        "lanes": {lane.word: asdict(found) for lane, found in report.lanes.items()},
        "problems": [asdict(finding) for finding in report.problems],
        "remarks": [asdict(finding) for finding in report.remarks],
    }


def _words(report: LogReport) -> list[str]:
    lines = [colour(str(finding), "red") for finding in report.problems]
    lines += [str(finding) for finding in report.remarks]
    for lane, found in report.lanes.items():
        span = f"numbers {found.first} to {found.last}, " if found.records else ""
        lines.append(f"{lane.word}: {span}{count(found.records, 'record')}, {count(found.readings, 'reading')}")
    said = "all as it was written" if report.ok else count(len(report.problems), "problem")
    lines.append(colour(f"log {report.log_id}, {format_size(report.size)}: {said}", "green" if report.ok else "red"))
    return lines
