"""`edge-gateway selftest`: tries the promises of the gateway on this machine, and reports."""

import argparse
import json
import random
import sys
from pathlib import Path

from gateway.cli.frame import shared
from gateway.cli.frame.places import at_state
from gateway.cli.frame.screen import CLEAR, control
from gateway.cli.frame.terminal import fail, joined
from gateway.places.owner import as_owner
from gateway.selftest.torture import Report, torture


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to try, how long and where."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    text = "kill -9, torn writes, flipped bytes and full disks: is anything lost?"
    outbox = what.add_parser("outbox", parents=[shared()], help=text)
    outbox.add_argument(
        "--dir", type=Path, metavar="DIR", help="a folder on the disk to try (default: the gateway's state directory)"
    )
    outbox.add_argument(
        "--cycles", type=_count, default=20, metavar="N", help="how often to kill (default 20; 1000 for the full proof)"
    )
    outbox.add_argument("--seed", type=int, metavar="N", help="for the same random moments and bytes as another report")
    outbox.add_argument("--report", type=Path, metavar="FILE", help="write the report into a file too")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Try it; 1 if a promise was broken, or the disk cannot be written."""
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(2**32)
    try:
        with at_state(args.config, args.dir) as place:
            report = torture(place, args.cycles, seed, _progress)
        _wipe()
        _file(report, args.report)
    except OSError as error:
        _wipe()
        fail(
            f"{error.filename}: {error.strerror}; run it as the gateway's user, or name a folder on the same disk:\n"
            "  edge-gateway selftest outbox --dir DIR"
        )
        return 1
    except KeyboardInterrupt:
        _wipe()
        raise
    print(json.dumps(report.plain(), indent=2, ensure_ascii=False) if args.json else joined(report.lines()))
    return 0 if report.passed else 1


def _file(report: Report, path: Path | None) -> None:
    if path is not None:
        with as_owner(path.parent):
            path.write_text(joined([*report.lines(), ""]), encoding="utf-8")


def _progress(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"{control(CLEAR)}{name}: {done} of {total}", end="", file=sys.stderr, flush=True)


def _wipe() -> None:
    if sys.stderr.isatty():
        print(control(CLEAR), end="", file=sys.stderr, flush=True)
