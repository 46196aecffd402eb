"""`edge-gateway history import`: have the running gateway import what a device has recorded itself, and watch it."""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared, time_arguments
from gateway.cli.frame.asking import UNREACHABLE
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.progress import Bar
from gateway.cli.frame.terminal import colour, count, fail, joined
from gateway.core.times import EARLIEST, rfc3339

EVERY = 0.5
"""Seconds between two looks."""
SHOWN = 10
"""Tags that are named among those without history."""
_STEPS = 10_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of which device what, and how fast."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    text = "what a device has recorded itself, each value once; asked for again it goes on where it was"
    importing = what.add_parser("import", parents=[shared()], help=text, description=text)
    importing.add_argument("--device", required=True, metavar="NAME", help="of which device")
    importing.add_argument(
        "--tag", action="append", default=[], metavar="NAME", help="only this tag; may be repeated (default: all)"
    )
    time_arguments.span(importing, "source time")
    importing.add_argument(
        "--rate",
        type=time_arguments.rate,
        default=2000,
        metavar="N",
        help="readings per second, or unlimited (default 2000)",
    )
    importing.add_argument("--background", action="store_true", help="return at once; the gateway goes on")
    importing.add_argument("--cancel", action="store_true", help="end the import of this device that is under way")


def run(args: argparse.Namespace) -> int:
    """Start and watch it, or cancel it; 1 if not all that was asked for was imported."""
    if not args.cancel and args.from_ns == EARLIEST:
        fail('say from when on:  --from "8h ago"  or  --from 2026-11-22T02:33:00Z')
        return 2
    if not time_arguments.is_span(args):
        return 2
    path = socket_path(args.socket)
    try:
        status = call(path, "history_import_cancel", device=args.device) if args.cancel else _import(args, path)
    except NoGatewayError as error:
        fail(str(error))
        return UNREACHABLE
    except AnswerError as error:
        fail(str(error))
        return 1
    if args.json:
        print(json.dumps(status, ensure_ascii=False, indent=2))
    else:
        print(joined(_lines(status)))
    return 0 if status["done"] or args.cancel or (args.background and status["running"]) else 1


def _import(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Start it, and stay until it has ended; Ctrl-C ends it."""
    span = {"from_ns": args.from_ns, "to_ns": args.to_ns}
    status: dict[str, Any]
    try:
        status = call(path, "history_import", device=args.device, tags=args.tag, **span, rate=args.rate)
        return status if args.background else _watch(path, status)
    except KeyboardInterrupt:
        status = call(path, "history_import_cancel", device=args.device)
        return status


def _watch(path: Path, status: dict[str, Any]) -> dict[str, Any]:
    """Until it has ended. Raises NoGatewayError when the gateway goes away."""
    device, done = status["device"], 0
    with Bar(f"importing from {device}", _STEPS) as bar:
        try:
            while status["running"]:
                time.sleep(EVERY)
                status = call(path, "history_import_status", device=device)
                now = round(_part(status) * _STEPS)
                bar(now - done)
                done = now
        except NoGatewayError:
            again = "When it runs, ask for the same once more: it goes on from there"
            raise NoGatewayError(f"the gateway stopped, and the import with it. {again}") from None
    return status


def _part(status: dict[str, Any]) -> float:
    """How far it is: whole tags, and of the present one its span."""
    span = max(1, status["to"] - status["from"])
    within = (status["last"] - status["from"]) / span if status["last"] is not None else 0.0
    part: float = (status["tags_done"] + max(0.0, min(1.0, within))) / max(1, status["tags"])
    return min(1.0, part)


def _lines(status: dict[str, Any]) -> Iterator[str]:
    device, readings = status["device"], count(status["readings"], "reading")
    if status["running"]:
        yield f"{device}: the import is under way, {readings} so far"
    elif status["done"]:
        yield f"{device}: {readings} imported of {count(status['tags'], 'tag')}, up to {rfc3339(status['to'])}"
    else:
        yield colour(f"{device}: {readings} imported; {status['outcome']}", "yellow")
    if status["known"]:
        yield f"{count(status['known'], 'reading')} left out: the log has them, or their time is none of the span"
    if status["bad"]:
        yield f"{count(status['bad'], 'reading')} of these are bad, as the device recorded them"
    for each in status["refused"][:SHOWN]:
        yield colour(f"{each['tag']}: {each['why']}", "red")
    if status["refused_tags"] > SHOWN:
        yield colour(f"and {status['refused_tags'] - SHOWN} more tags without history", "red")
