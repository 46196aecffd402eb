"""`edge-gateway outbox replay`: have the running gateway send history once more, and watch it."""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.cli.frame import time_arguments
from gateway.cli.frame.asking import UNREACHABLE
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.progress import Bar
from gateway.cli.frame.terminal import colour, count, fail, joined
from gateway.core.times import EARLIEST, rfc3339

EVERY = 0.5
"""Seconds between two looks."""
_STEPS = 10_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to send where, and how fast."""
    parser.add_argument("--sink", required=True, metavar="NAME", help="to which sink")
    time_arguments.span(parser, "acceptance by the gateway")
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="NAME",
        help="only readings and events of this device; * and ? allowed, may be repeated",
    )
    parser.add_argument(
        "--rate",
        type=time_arguments.rate,
        default=20_000,
        metavar="N",
        help="readings per second, or unlimited (default 20000)",
    )
    parser.add_argument("--background", action="store_true", help="return at once; the gateway goes on")
    parser.add_argument("--cancel", action="store_true", help="end the replay to this sink that is under way")


def run(args: argparse.Namespace) -> int:
    """Start and watch it, or cancel it; 1 if not all that was asked for was sent."""
    if not args.cancel and args.from_ns == EARLIEST:
        fail('say from when on:  --from "2h ago"  or  --from 2026-11-22T02:33:00Z')
        return 2
    if not time_arguments.is_span(args):
        return 2
    path = socket_path(args.socket)
    try:
        status = _cancel(path, args.sink) if args.cancel else _replay(args, path)
    except NoGatewayError as error:
        fail(str(error))
        return UNREACHABLE
    except AnswerError as error:
        fail(str(error))
        return 1
    return _tell(args, status, status["done"] or args.background or args.cancel)


def _cancel(path: Path, sink: str) -> dict[str, Any]:
    """End it, if it is under way. Raises AnswerError when it was over before."""
    before = call(path, "replay_status", sink=sink)
    if not before["running"]:
        raise AnswerError(f"no replay to {sink} is under way; the last one: {before['outcome']}")
    ended: dict[str, Any] = call(path, "replay_cancel", sink=sink)
    return ended


def _replay(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Start it, and stay until it has ended; Ctrl-C ends it."""
    span = {"from_ns": args.from_ns, "to_ns": args.to_ns}
    status: dict[str, Any]
    try:
        status = call(path, "replay", sink=args.sink, **span, devices=args.device, rate=args.rate)
        return status if args.background else _watch(path, status)
    except KeyboardInterrupt:
        status = call(path, "replay_cancel", sink=args.sink)
        return status


def _watch(path: Path, status: dict[str, Any]) -> dict[str, Any]:
    """Until it has ended. Raises NoGatewayError when the gateway goes away."""
    sink, done = status["sink"], 0
    with Bar(f"replaying to {sink}", _STEPS) as bar:
        try:
            while status["running"]:
                time.sleep(EVERY)
                status = call(path, "replay_status", sink=sink)
                now = round(status["part"] * _STEPS)
                bar(now - done)
                done = now
        except NoGatewayError:
            raise NoGatewayError(_ended_with_it(status)) from None
    return status


def _tell(args: argparse.Namespace, status: dict[str, Any], well: bool) -> int:
    if args.json:
        print(json.dumps(status, ensure_ascii=False, indent=2))
    else:
        print(joined(_lines(status)))
    return 0 if well and not list(_troubles(status)) else 1


def _lines(status: dict[str, Any]) -> Iterator[str]:
    sent = f"{count(status['records'], 'record')} with {count(status['readings'], 'reading')} sent once more"
    if status["running"]:
        yield f"{status['sink']}: begun; how far it is:  edge-gateway outbox status"
    elif status["done"]:
        yield f"{status['sink']}: {sent}"
    else:
        yield colour(f"{status['sink']}: {status['outcome']}; {sent}{_up_to(status)}", "yellow")
    if status["open"]:
        yield f"{count(status['open'], 'record')} left out: this sink has not had them yet, they go out by themselves"
    yield from (colour(trouble, "red") for trouble in _troubles(status))


def _troubles(status: dict[str, Any]) -> Iterator[str]:
    if status["missing"]:
        yield f"{count(status['missing'], 'reading')} of that time cannot be read: damaged, or given up meanwhile"
    if status["refused"]:
        yield f"{count(status['refused'], 'record')} refused for good by the far side"
    if status["done"] and not status["records"] + status["refused"] + status["open"]:
        yield "nothing of what was asked for stands in the log"


def _up_to(status: dict[str, Any]) -> str:
    return f", up to {rfc3339(status['last'])}" if status["last"] is not None else ""


def _ended_with_it(status: dict[str, Any]) -> str:
    again = f":  --from {rfc3339(status['last'])}" if status["last"] is not None else ""
    return f"the gateway stopped, and the replay with it. When it runs, go on where it was{again}"
