"""`edge-gateway read`: have the gateway read tags now."""

import argparse
from typing import Any

from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import fail, number, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("tags", nargs="+", metavar="DEVICE/TAG", help="what to read; all of one device")


def run(args: argparse.Namespace) -> int:
    """Show what came; 1 if any of it is not good."""
    pairs = [name.partition("/") for name in args.tags]
    devices = {device for device, _, _ in pairs}
    if len(devices) != 1 or not all(device and tag for device, _, tag in pairs):
        fail("name tags of one device, as DEVICE/TAG")
        return 2
    tags = [tag for _, _, tag in pairs]
    return ask(args, "read", lines, lambda rows: all(row["good"] for row in rows), device=devices.pop(), tags=tags)


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """One line per tag."""
    cells = [
        (
            f"{row['device']}/{row['tag']}",
            f"{number(row['value'])} {row['unit']}".rstrip(),
            row["quality"],
            f"{row['address']} {row['type']}".strip(),
        )
        for row in rows
    ]
    return table(cells, right=(1,))
