"""`edge-gateway reload`."""

import argparse
import sys
from typing import Any

from gateway.cli.asking import ask


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: none."""


def run(args: argparse.Namespace) -> int:
    """Have the gateway read its file again; returns when it runs as the file says, or has refused it."""
    return ask(args, show, "reload")


def show(answer: dict[str, Any]) -> int:
    """What changed, or every mistake."""
    if not answer["applied"]:
        print("\n".join(answer["problems"]), file=sys.stderr)
        print("nothing was changed; the gateway runs on with the old configuration", file=sys.stderr)
        return 1
    print("\n".join(answer["changes"]) or "nothing has changed")
    return 0
