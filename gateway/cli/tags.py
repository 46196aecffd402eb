"""`edge-gateway tags`."""

import argparse
import sys
import time
from typing import Any

from gateway.cli.asking import ask
from gateway.cli.terminal import colour, number, table
from gateway.core.amounts import format_duration


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("device", nargs="?", help="only this device")
    parser.add_argument("--watch", action="store_true", help="refresh every second until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Show the last values, once or again and again."""
    chosen = {"device": args.device} if args.device else {}
    if not args.watch:
        return ask(args, show, "tags", **chosen)
    try:
        while (code := ask(args, _show_anew, "tags", **chosen)) == 0:
            time.sleep(1)
    except KeyboardInterrupt:
        return 0
    return code


def show(rows: list[dict[str, Any]]) -> int:
    """One line per tag."""
    print("\n".join(lines(rows)))
    return 0


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table of values."""
    cells = [("NAME", "VALUE", "UNIT", "QUALITY", "AGE")]
    for row in rows:
        age = "never" if row["age_s"] is None else format_duration(row["age_s"])
        cells.append((f"{row['device']}/{row['tag']}", number(row["value"]), row["unit"], row["quality"], age))
    head, *rest = table(cells, right=(1, 4))
    return [colour(head, "bold")] + [
        line if row["good"] else colour(line, "grey" if row["value"] is None else "yellow")
        for line, row in zip(rest, rows, strict=True)
    ]


def _show_anew(rows: list[dict[str, Any]]) -> int:
    if sys.stdout.isatty():
        print("\033[H\033[2J", end="")
    print("\n".join(lines(rows)), flush=True)
    return 0
