"""`edge-gateway read`."""

import argparse
from typing import Any

from gateway.cli.asking import ask
from gateway.cli.terminal import fail, number, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("tags", nargs="+", metavar="DEVICE/TAG", help="what to read; all of one device")


def run(args: argparse.Namespace) -> int:
    """Have the gateway read now, and show what came."""
    pairs = [name.partition("/") for name in args.tags]
    devices = {device for device, _, _ in pairs}
    if len(devices) != 1 or not all(slash and tag for _, slash, tag in pairs):
        fail("name tags of one device, as DEVICE/TAG")
        return 2
    return ask(args, show, "read", device=devices.pop(), tags=[tag for _, _, tag in pairs])


def show(rows: list[dict[str, Any]]) -> int:
    """One line per tag; 1 if any is not good."""
    cells = [
        (
            f"{row['device']}/{row['tag']}",
            f"{number(row['value'])} {row['unit']}".rstrip(),
            row["quality"],
            _address(row),
        )
        for row in rows
    ]
    print("\n".join(table(cells, right=(1,))))
    return 0 if all(row["good"] for row in rows) else 1


def _address(row: dict[str, Any]) -> str:
    return f"{row['address']} {row['type']}".strip()
