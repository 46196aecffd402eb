"""`edge-gateway batch`: what devices work for, and what a batch gave."""

import argparse
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gateway.cli.batch.batch_page import page
from gateway.cli.batch.batch_report import gathered
from gateway.cli.frame import shared
from gateway.cli.frame.accounts import instant, remarks
from gateway.cli.frame.asking import UNREACHABLE, ask
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.terminal import colour, fail, in_words, table
from gateway.cli.frame.time_arguments import is_span, moment, span
from gateway.core.context import WORK
from gateway.core.topic import safe
from gateway.places.durable import write_whole

PARTS = [name for name in WORK if name != "batch"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which batch."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT")
    actions.add_parser("list", parents=[shared()], help="what devices work for now, and the batches that were last")
    starting = actions.add_parser("start", parents=[shared()], help="begin a batch for devices")
    setting = actions.add_parser("set", parents=[shared()], help='say another part, such as the phase; "" ends it')
    ending = actions.add_parser("end", parents=[shared()], help="end a batch, for all of its devices or some")
    showing = actions.add_parser("show", parents=[shared()], help="what a batch gave, and what of it is delivered")
    reporting = actions.add_parser("report", parents=[shared()], help="all that is known of a batch, as HTML or JSON")
    reporting.add_argument("--out", type=Path, metavar="FILE", help="the HTML file (default: BATCH.html here)")
    correcting = actions.add_parser(
        "correct", parents=[shared()], help="tell by an event what readings of a past time belonged to"
    )
    for action in (starting, ending, showing, reporting):
        action.add_argument("batch", metavar="BATCH", help="its name")
    for action in (starting, setting, ending, correcting):
        action.add_argument(
            "--device", dest="devices", action="append", default=[], metavar="NAME", required=action is not ending,
            help="for this device, * and ? allowed; may stand several times",
        )  # fmt: skip
    for action in (starting, setting, correcting):
        for name in PARTS:
            action.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="TEXT")
    for action in (starting, setting, ending):
        action.add_argument(
            "--at", dest="at_ns", type=moment, metavar="TIME", help="when it was so, if it is said late"
        )
        action.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit trail")
    correcting.add_argument("--batch", metavar="BATCH", help='the batch; "" for none')
    correcting.add_argument("--reason", required=True, metavar="TEXT", help="why, for the audit trail")
    span(correcting, "time of acceptance")
    span(showing, "hour of acceptance")
    span(reporting, "hour of acceptance")


def run(args: argparse.Namespace) -> int:
    """Ask or tell the running gateway; of `show`, 1 when something of the batch is lost."""
    parts: dict[str, Any] = {name: value for name in PARTS if (value := getattr(args, name, None)) is not None}
    said: dict[str, Any] = {"reason": getattr(args, "reason", ""), "at_ns": getattr(args, "at_ns", None)}
    match args.what:
        case "start":
            return ask(args, "batch_start", open_lines, batch=args.batch, devices=args.devices, **parts, **said)
        case "set":
            return ask(args, "batch_set", open_lines, devices=args.devices, **parts, **said)
        case "end":
            return ask(args, "batch_end", open_lines, batch=args.batch, devices=args.devices, **said)
        case "show" | "correct" | "report" if not is_span(args):
            return 2
        case "show":
            times: dict[str, Any] = {"from_ns": args.from_ns, "to_ns": args.to_ns}
            return ask(args, "batch", shown_lines, lambda answer: not _lost(answer), batch=args.batch, **times)
        case "report":
            return _report(args)
        case "correct":
            parts |= {} if args.batch is None else {"batch": args.batch}
            wanted: dict[str, Any] = {
                "devices": args.devices,
                "from_ns": args.from_ns,
                "to_ns": args.to_ns,
                "reason": args.reason,
            }
            return ask(args, "batch_correct", _corrected, **wanted, **parts)
    return ask(args, "batches", open_lines)


def _report(args: argparse.Namespace) -> int:
    """Write the page, or print all of it as JSON; 1 when something of the batch is lost."""
    try:
        report = gathered(partial(call, socket_path(args.socket)), args.batch, args.from_ns, args.to_ns)
    except NoGatewayError as error:
        fail(str(error))
        return UNREACHABLE
    except AnswerError as error:
        fail(str(error))
        return 1
    account = report["account"]
    if args.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
        return 1 if _lost(account) else 0
    remarked = [line for device, of in account["devices"].items() for line in remarks(device, of, "now")]
    out = args.out or Path(f"{safe(args.batch)}.html")
    try:
        write_whole(out, page(report, _state(account), remarked).encode("utf-8", "replace"))
    except OSError as error:
        fail(in_words(error))
        return 1
    print(f"{out}: batch {args.batch}, {_state(account)}")
    return 1 if _lost(account) else 0


def open_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """What is open, for a person, and the last batches."""
    if answer.get("repeated"):
        yield "that is so already"
    rows = [
        (device, name.replace("_", " "), part["value"], _moment(part["since"]), _who(part))
        for device, parts in answer["open"].items()
        for name, part in parts.items()
    ]
    if rows:
        head, *rest = table([("DEVICE", "PART", "WORKS FOR", "SINCE", "SAID BY"), *rows])
        yield colour(head, "bold")
        yield from rest
    else:
        yield "nobody has said what devices work for"
    for each in answer["ended"][-5:]:
        yield f"over: batch {each['batch']} of {each['device']}, {_moment(each['from'])} to {_moment(each['to'])}"


def shown_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """What a batch gave, for a person."""
    yield colour(f"batch {answer['batch']}: {_state(answer)}", "bold")
    for each in answer["times"]:
        until = "now" if each["to"] is None else _moment(each["to"])
        yield f"  {each['device']}  {_moment(each['from'])} to {until}"
    header = ("DEVICE", "READ", "ACCEPTED", "SINK", "DELIVERED", "PENDING", "DROPPED", "COMPLETE UP TO")
    rows = [row for device, of in answer["devices"].items() for row in _rows(device, of)]
    yield from table([header, *rows], right=[1, 2, 4, 5, 6])
    for device, of in answer["devices"].items():
        yield from (colour(f"  {line}", "yellow") for line in remarks(device, of, "now"))


def _rows(device: str, of: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    read = "?" if of["read"] is None else str(of["read"])
    for sink, account in of["sinks"].items() or [("", None)]:
        if account is None:
            yield device, read, str(of["readings"]), "", "?", "?", "?", "?"
            continue
        counts = (account["acknowledged"], account["pending"], sum(account["dropped"].values()))
        yield device, read, str(of["readings"]), sink, *map(str, counts), _moment(account["complete_to"])


def _state(answer: Mapping[str, Any]) -> str:
    if answer["complete"]:
        return "over, and all that was accepted of it is delivered"
    words = "open" if answer["open"] else "over"
    if _lost(answer):
        return f"{words}; readings of it are lost"
    if not answer["sinks"]:
        return f"{words}; no sink is configured"
    return f"{words}; complete up to {_moment(answer['complete_to'])}"


def _lost(answer: Mapping[str, Any]) -> bool:
    """Whether readings of it are lost, to some sink or altogether."""
    accounts = answer["sinks"].values()
    return bool(answer["not_accepted"] or answer["incomplete"] or any(sum(a["dropped"].values()) for a in accounts))


def _corrected(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"told of {', '.join(answer['devices'])}; the records themselves stay as they are"


def _who(part: Mapping[str, Any]) -> str:
    return f'rule "{part["by"]}"' if part["rule"] else str(part["by"])


def _moment(milliseconds: int) -> str:
    return instant(milliseconds) if milliseconds else "-"
