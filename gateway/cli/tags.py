"""`edge-gateway tags`: the last values."""

import argparse
import sys
import time
from shutil import get_terminal_size
from typing import Any

from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import colour, number, redrawn, table
from gateway.core.amounts import format_duration


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("device", nargs="?", metavar="DEVICE", help="only this device")
    parser.add_argument("--watch", action="store_true", help="refresh every second until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Show them, once or again and again."""
    chosen = {"device": args.device} if args.device else {}
    if not args.watch:
        return ask(args, "tags", lines, **chosen)
    show = _screen if sys.stdout.isatty() else lines
    try:
        while (code := ask(args, "tags", show, **chosen)) == 0:
            sys.stdout.flush()
            time.sleep(1)
    except KeyboardInterrupt:
        return 0
    return code


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """A table with a line per tag."""
    cells = [("NAME", "VALUE", "UNIT", "QUALITY", "AGE")]
    for row in rows:
        age = "never" if row["age_s"] is None else format_duration(row["age_s"])
        cells.append((f"{row['device']}/{row['tag']}", number(row["value"]), row["unit"], row["quality"], age))
    head, *rest = table(cells, right=(1, 4))
    return [colour(head, "bold")] + [
        line if row["good"] else colour(line, "grey" if row["value"] is None else "yellow")
        for line, row in zip(rest, rows, strict=True)
    ]


def _screen(rows: list[dict[str, Any]]) -> list[str]:
    return redrawn(lines(rows), get_terminal_size().lines - 1)
