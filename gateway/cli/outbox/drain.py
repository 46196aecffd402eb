"""`edge-gateway outbox drain`: wait until every sink has what was accepted so far."""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from gateway.cli.frame.asking import UNREACHABLE
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.progress import Bar
from gateway.cli.frame.terminal import colour, count, fail, joined
from gateway.core.amounts import parse_duration

EVERY = 0.5
"""Seconds between two looks."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which sinks, and how long."""
    parser.add_argument("--sink", metavar="NAME", help="wait for this one only (default: all)")
    parser.add_argument(
        "--timeout", type=_duration, metavar="DURATION", help="give up after so long, such as 10min (default: never)"
    )


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Wait; 1 if the time was over first, or readings were dropped meanwhile."""
    try:
        first, last = _wait(args)
    except NoGatewayError as error:
        fail(f"{error}\nOnly a running gateway sends: start it, and drain then.")
        return UNREACHABLE
    except AnswerError as error:
        fail(str(error))
        return 1
    sinks = [_outcome(before, after) for before, after in zip(first["sinks"], last["sinks"], strict=True)]
    if args.json:
        print(json.dumps({"drained": _is_through(sinks), "sinks": sinks}, ensure_ascii=False, indent=2))
    else:
        print(joined(_lines(sinks)))
    return 0 if _is_through(sinks) else 1


def _wait(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first answer and the last one."""
    path = socket_path(args.socket)
    first = last = call(path, "drain", sink=args.sink)
    end = time.monotonic() + args.timeout if args.timeout is not None else float("inf")
    pending = _pending(first)
    with Bar("draining", pending) as bar:
        while pending and time.monotonic() < end:
            time.sleep(min(EVERY, max(0.0, end - time.monotonic())))
            last = call(path, "drain", sink=args.sink, marks=first["marks"])
            bar(pending - _pending(last))
            pending = _pending(last)
            if len(last["sinks"]) != len(first["sinks"]):
                raise AnswerError("the sinks have changed meanwhile (reload?): drain once more")
    return first, last


def _pending(answer: dict[str, Any]) -> int:
    return sum(sink["pending"] for sink in answer["sinks"])


def _outcome(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {**after, "dropped": after["dropped"] - before["dropped"]}


def _is_through(sinks: list[dict[str, Any]]) -> bool:
    return not any(sink["pending"] or sink["dropped"] for sink in sinks)


def _lines(sinks: list[dict[str, Any]]) -> Iterator[str]:
    for sink in sinks:
        if sink["pending"]:
            why = f"{sink['state']}: {sink['reason']}" if sink["reason"] else sink["state"]
            yield colour(f"{sink['sink']}: {count(sink['pending'], 'reading')} not acknowledged yet ({why})", "red")
        else:
            yield f"{sink['sink']}: has all that was accepted until the start of this command"
        if sink["dropped"]:
            yield colour(f"{sink['sink']}: {count(sink['dropped'], 'reading')} dropped meanwhile", "red")
