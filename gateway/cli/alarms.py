"""`edge-gateway alarms`: what is raised, and what people say of it."""

import argparse
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import colour, fail, sentence, table
from gateway.core.amounts import format_duration, parse_duration

COLOURS = {"raised": "red", "latched": "red", "cleared": "yellow", "acknowledged": "yellow"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which alarm."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT")
    actions.add_parser("list", parents=[shared()], help="what is raised, waits to be acknowledged, or is shelved")
    seen = actions.add_parser("ack", parents=[shared()], help="acknowledge: you have seen it")
    shelving = actions.add_parser("shelve", parents=[shared()], help="make it unheard for a time")
    hearing = actions.add_parser("unshelve", parents=[shared()], help="make it heard again before that time")
    for action in (seen, shelving, hearing):
        action.add_argument("alarm", metavar="ID", help='its id (or how it begins), or its name: "SOURCE/DEVICE"')
    seen.add_argument("--comment", default="", metavar="TEXT", help="what you found or did")
    shelving.add_argument("--for", dest="time", required=True, metavar="TIME", help='how long, such as "1h"')
    shelving.add_argument("--reason", required=True, metavar="TEXT", help="why")


def run(args: argparse.Namespace) -> int:
    """Ask or tell the running gateway."""

    def shown(answer: list[dict[str, Any]]) -> list[str]:
        return list(lines(answer, time.time()))

    match args.what:
        case "ack":
            return ask(args, "acknowledge", shown, alarm=args.alarm, comment=args.comment)
        case "unshelve":
            return ask(args, "unshelve", shown, alarm=args.alarm)
        case "shelve":
            try:
                seconds = parse_duration(args.time)
            except ValueError as error:
                fail(f"--for: {error}")
                return 2
            return ask(args, "shelve", shown, alarm=args.alarm, seconds=seconds, reason=args.reason)
    return ask(args, "alarms", shown)


def lines(alarms: list[dict[str, Any]], now: float) -> Iterator[str]:
    """The alarms for a person; `now` in seconds since 1970."""
    if not alarms:
        yield "no alarms"
        return
    head, *rest = table([("ID", "STATE", "SEVERITY", "SINCE", "NAME"), *(_cells(alarm) for alarm in alarms)])
    yield colour(head, "bold")
    for line, alarm in zip(rest, alarms, strict=True):
        yield line if alarm["shelved"] else colour(line, COLOURS.get(alarm["state"], "grey"))
        yield from (f"          {text}" for text in _more(alarm, now) if text)


def _cells(alarm: dict[str, Any]) -> tuple[str, ...]:
    state = f"{alarm['state']}, shelved" if alarm["shelved"] else alarm["state"]
    since = _moment(alarm["raised"]) if alarm["raised"] else "-"
    return alarm["event"][:8], state, alarm["severity"], since, alarm["name"]


def _more(alarm: dict[str, Any], now: float) -> Iterator[str]:
    more = [f"{alarm['occurrences']} times since the last acknowledgement"] if alarm["occurrences"] > 1 else []
    more += [colour("chatters: give it hysteresis or on_delay", "yellow")] if alarm.get("chattering") else []
    more += [f"over since {_moment(alarm['cleared'])}"] if alarm["cleared"] else []
    yield alarm["message"]
    yield sentence(more)
    if said := alarm["acknowledged"]:
        yield f"acknowledged by {said['by']}, {_moment(said['at'])}" + (
            f": {said['comment']}" if said["comment"] else ""
        )
    if said := alarm["shelved"]:
        rest = format_duration(max(0.0, said["until"] / 1000 - now))
        yield f"shelved by {said['by']} for {rest} more: {said['reason']}"


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M:%S")
