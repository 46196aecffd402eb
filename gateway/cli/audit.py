"""`edge-gateway audit`: shows the audit trail, verifies its chain, and acknowledges damage. Needs no running gateway."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.frame.places import at_state
from gateway.cli.frame.terminal import colour, fail, joined
from gateway.core.arguments import reason
from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError
from gateway.places.person import person
from gateway.trust import audit_files
from gateway.trust.audit import AuditTrail, TrailReport, verify
from gateway.trust.audit_files import tail

FILE = "audit.jsonl"
_OWN = ("n", "ts", "tz", "prev", "hash", "action", "who")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do with the trail, and which one."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    verifying = actions.add_parser("verify", parents=[shared()], help="whether all records are as they were written")
    showing = actions.add_parser("show", parents=[shared()], help="the last records")
    showing.add_argument("-n", dest="count", type=int, default=20, metavar="COUNT", help="how many (default 20)")
    acknowledging = actions.add_parser(
        "acknowledge", parents=[shared()], help="say that you have looked at all damage that verify tells of"
    )
    acknowledging.add_argument("--reason", required=True, metavar="TEXT", help="what has happened, for the audit trail")
    for action in (verifying, showing, acknowledging):
        action.add_argument("file", nargs="?", type=Path, help="an audit.jsonl, or the state directory that holds it")


def run(args: argparse.Namespace) -> int:
    """Verify, show or acknowledge; 1 for a trail that is changed or cannot be read."""
    try:
        with at_state(args.config, args.file) as place:
            path = place / FILE if place.is_dir() or args.file is None else place
            if args.what == "acknowledge":
                return _acknowledge(path, reason(args.reason), args.json)
            return _show(path, args.count, args.json) if args.what == "show" else _verify(path, args.json)
    except (GatewayError, ValueError) as error:
        fail(str(error))
    except PermissionError as error:
        fail(f"you may not read {error.filename}: try  sudo edge-gateway audit {args.what}")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}; name the file:  edge-gateway audit {args.what} FILE")
    return 1


def _verify(path: Path, as_json: bool) -> int:
    report = verify(path)
    if as_json:
        print(json.dumps(_plain(report)))
    else:
        print(joined(_words(report)))
    return 0 if report.ok else 1


def _acknowledge(path: Path, why: str, as_json: bool) -> int:
    if not audit_files.is_begun(path):
        raise FileNotFoundError(2, "there is no audit trail", str(path))
    damages = AuditTrail(path, SystemClock()).acknowledge(person(), why)
    if as_json:
        print(json.dumps({"acknowledged": [asdict(damage.problem) for damage in damages]}))
    elif not damages:
        print("nothing to acknowledge: all records are as they were written, or were acknowledged before")
    else:
        print(joined([*(f"acknowledged: {damage.problem}" for damage in damages)]))
    return 0


def _plain(report: TrailReport) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "file": str(report.path),
        "records": report.records,
        "hash": report.end.hash,
        "torn": report.torn,
        "problem": asdict(report.problem) if report.problem else None,
        "acknowledged": [asdict(each) for each in report.acknowledged],
    }


def _words(report: TrailReport) -> list[str]:
    known = [
        f"{each.problem}; acknowledged by {each.who} on {each.when[:10]} because: {each.why}"
        for each in report.acknowledged
    ]
    if report.problem:
        sound = f"sound up to record {report.records}" if report.records else "no sound record before it"
        looked = "when you have looked at it:  edge-gateway audit acknowledge --reason TEXT"
        return [*known, colour(str(report.problem), "red"), sound, looked]
    as_written = "all others as they were written" if known else "all as they were written"
    lines = [
        *known,
        colour(f"{report.records} records, {as_written}", "green"),
        f"last: record {report.end.n}, hash {report.end.hash}",
    ]
    if report.torn:
        lines.append(f"{report.torn} bytes of a half-written line follow; the next start sets them aside")
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
