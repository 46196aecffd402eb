"""`edge-gateway write`: write a value to a tag, as far as the configuration allows it."""

import argparse
import json
from typing import Any

from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import fail, number


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("tag", metavar="DEVICE/TAG", help="what to write; a tag with write = true")
    parser.add_argument("value", help="a number, true, false or a text, in the tag's published unit")
    parser.add_argument("--reason", required=True, help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    """Show what was written and what was read back; 1 when it was refused, failed, or is not confirmed."""
    device, _, tag = args.tag.partition("/")
    if not (device and tag):
        fail("name the tag as DEVICE/TAG")
        return 2
    if not args.reason.strip():
        fail("say why, with --reason: it stands in the audit trail")
        return 2
    wanted = {"device": device, "tag": tag, "value": _value(args.value), "reason": args.reason}
    return ask(args, "write", lines, lambda answer: bool(answer["result"] == "confirmed"), **wanted)


def lines(answer: dict[str, Any]) -> list[str]:
    """What became of it."""
    old, new, unit = number(answer["old"]), number(answer["new"]), answer["unit"]
    said = f"{answer['device']}/{answer['tag']}: {old} -> {new} {unit}".rstrip()
    if answer["result"] == "differs":
        return [f"{said}: the device took it, and reads {number(answer['read'])}"]
    return [f"{said}: {answer['result']}"]


def _value(text: str) -> Any:
    """A number, true or false as JSON writes them; anything else is a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text
