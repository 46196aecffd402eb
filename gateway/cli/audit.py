"""`edge-gateway audit`: shows the audit trail, and verifies its chain. Needs no running gateway."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.frame.places import at_state
from gateway.cli.frame.terminal import colour, fail, joined
from gateway.trust.audit import Verdict, verify
from gateway.trust.files import tail

FILE = "audit.jsonl"
_OWN = ("n", "ts", "tz", "prev", "hash", "action", "who")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do with the trail, and which one."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    verifying = actions.add_parser("verify", parents=[shared()], help="whether all records are as they were written")
    showing = actions.add_parser("show", parents=[shared()], help="the last records")
    showing.add_argument("-n", dest="count", type=int, default=20, metavar="COUNT", help="how many (default 20)")
    for action in (verifying, showing):
        action.add_argument("file", nargs="?", type=Path, help="an audit.jsonl, or the state directory that holds it")


def run(args: argparse.Namespace) -> int:
    """Verify or show; 1 for a trail that is changed or cannot be read."""
    try:
        with at_state(args.config, args.file) as place:
            path = place / FILE if place.is_dir() or args.file is None else place
            return _show(path, args.count, args.json) if args.what == "show" else _verify(path, args.json)
    except PermissionError as error:
        fail(f"you may not read {error.filename}: try  sudo edge-gateway audit {args.what}")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}; name the file:  edge-gateway audit {args.what} FILE")
    return 1


def _verify(path: Path, as_json: bool) -> int:
    verdict = verify(path)
    if as_json:
        print(json.dumps(_plain(verdict)))
    else:
        print(joined(_words(verdict)))
    return 0 if verdict.ok else 1


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {
        "ok": verdict.ok,
        "file": str(verdict.path),
        "records": verdict.records,
        "hash": verdict.end.hash,
        "torn": verdict.torn,
        "problem": asdict(verdict.problem) if verdict.problem else None,
    }


def _words(verdict: Verdict) -> list[str]:
    if verdict.problem:
        sound = f"sound up to record {verdict.records}" if verdict.records else "no sound record before it"
        return [colour(str(verdict.problem), "red"), sound]
    lines = [
        colour(f"{verdict.records} records, all as they were written", "green"),
        f"last: record {verdict.end.n}, hash {verdict.end.hash}",
    ]
    if verdict.torn:
        lines.append(f"{verdict.torn} bytes of a half-written line follow; the next start sets them aside")
    return lines


def _show(path: Path, count: int, as_json: bool) -> int:
    for record in tail(path, count):
        print(json.dumps(record, ensure_ascii=False) if as_json else _line(record))
    return 0


def _line(record: dict[str, Any]) -> str:
    if "broken" in record:
        return colour(f"     ?  {record['broken']}", "red")
    rest = "  ".join(f"{key}={_value(value)}" for key, value in record.items() if key not in _OWN)
    return (
        f"{record['n']:6}  {record['ts'][:19].replace('T', ' ')}Z  {record['who']}  {record['action']}  {rest}".rstrip()
    )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
