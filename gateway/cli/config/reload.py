"""`edge-gateway reload`: have the gateway read its configuration again."""

import argparse
from typing import Any

from gateway.cli.frame.asking import ask


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: none."""


def run(args: argparse.Namespace) -> int:
    """Returns when the gateway runs as the file says, or has refused it."""
    return ask(args, "reload", lines, lambda answer: bool(answer["applied"]))


def lines(answer: dict[str, Any]) -> list[str]:
    """What was changed, or every mistake."""
    if answer["applied"]:
        return answer["changes"] or ["nothing has changed"]
    return [*answer["problems"], "nothing was changed; the gateway runs on with the old configuration"]
