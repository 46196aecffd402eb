"""`edge-gateway call`: call a method of a device, as far as the configuration allows it."""

import argparse
import json
from typing import Any

from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import fail


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("device", metavar="DEVICE", help="a device whose configuration has [device.methods]")
    parser.add_argument("object", metavar="OBJECT", help="the object, by its name there")
    parser.add_argument("method", metavar="METHOD", help="one of the methods that it allows")
    parser.add_argument(
        "values", metavar="ARG", nargs="*", help="what the method wants: a number, true, false, a text, a JSON list"
    )
    parser.add_argument("--reason", required=True, help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    """Show what the method returned; 1 when the call was refused or failed."""
    if not args.reason.strip():
        fail("say why, with --reason: it stands in the audit trail")
        return 2
    wanted = {"device": args.device, "target": args.object, "method": args.method, "reason": args.reason}
    return ask(args, "call", lines, arguments=[_value(text) for text in args.values], **wanted)


def lines(answer: dict[str, Any]) -> list[str]:
    """The results, one a line."""
    head = f"{answer['device']}/{answer['object']}.{answer['method']}: done"
    return [head, *(f"  {each['name']} = {_shown(each['value'])}" for each in answer["results"])]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(text: str) -> Any:
    """What JSON can write, but objects; anything else is a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if value is None or isinstance(value, dict) else value
