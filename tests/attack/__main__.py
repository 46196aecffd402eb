"""`python -m tests.attack`: attacks a gateway on this machine, only on loopback, and prints what each attack did.

Exit status 1 when an attack did more than it may.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from tests.attack.attacks import QUIET, Attack, load
from tests.attack.soak import soak
from tests.attack.stage import Figures, json_line, stage

MEMORY = 150 * 1024 * 1024
"""Bytes beyond the quiet gateway's."""
GAP = 1.0
ASKED = 5.0
STOP = 5.0


def verdict(figures: Figures, quiet: Figures, attack: Attack) -> str:
    """Why it failed; empty when it held. What the machine itself stood still is not the gateway's."""
    if figures.trouble:
        return figures.trouble
    may = {"memory": MEMORY, "gap": GAP, "asked": ASKED, "stop": STOP, **attack.limit}
    still = max(figures.still, quiet.still)
    failed = []
    if figures.peak - quiet.peak > may["memory"]:
        failed.append("memory")
    if figures.gap > may["gap"] + still:
        failed.append("gap")
    if figures.asked > may["asked"] + still:
        failed.append("no answer to status")
    if figures.stop > may["stop"] + still:
        failed.append("SIGTERM")
    return ", ".join(failed)


async def run(attacks: list[Attack], directory: Path, as_json: bool) -> bool:
    """Whether all held."""
    held = True
    async with stage(directory) as ready:
        quiet = await ready.suffer(QUIET)
        _print_row(QUIET, quiet, quiet, verdict(quiet, quiet, QUIET), as_json)
        for attack in attacks:
            figures = await ready.suffer(attack)
            why = verdict(figures, quiet, attack)
            held = held and not why
            _print_row(attack, figures, quiet, why, as_json)
    return held


def _print_row(attack: Attack, figures: Figures, quiet: Figures, why: str, as_json: bool) -> None:
    if as_json:
        print(json_line(attack.name, figures, why), flush=True)
        return
    if attack is QUIET:
        print(f"{'ATTACK':38} {'MEMORY':>8} {'GAP':>7} {'(MACHINE)':>9} {'STATUS':>7} {'SIGTERM':>8}")
    more = (figures.peak if attack is QUIET else figures.peak - quiet.peak) / 2**20
    size = f"{more:{'' if attack is QUIET else '+'}.0f}M"
    times = f"{figures.gap:6.2f}s {figures.still:8.2f}s {figures.asked:6.2f}s {figures.stop:7.2f}s"
    if not figures.peak:  # it did not come so far
        size, times = "-", f"{'-':>7} {'-':>9} {'-':>7} {'-':>8}"
    row = f"{attack.name:38} {size:>8} {times}"
    word, colour = (f"FAILED: {why}", "31") if why else ("ok", "32")
    painted = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(row, f"\033[{colour}m{word}\033[0m" if painted else word, flush=True)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(s|min|h)", text)
    if not found:
        raise argparse.ArgumentTypeError('write a duration such as "30min" or "90s"')
    return int(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("-k", metavar="GLOB", action="append", default=[], help='only these, such as "opcua.*"')
    parser.add_argument("--list", action="store_true", help="say what each attack does")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each attack")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave logs and configurations there")
    parser.add_argument("--soak", metavar="TIME", type=_seconds, help='all take turns for so long, such as "30min"')
    options = parser.parse_args()
    wanted = options.k or ["*"]
    attacks = [each for name, each in load().items() if any(fnmatchcase(name, glob) for glob in wanted)]
    if not attacks:
        parser.error(f"no attack is called {', '.join(wanted)}: see --list")
    if options.list:
        for attack in attacks:
            print(f"{attack.name:38} {attack.says}")
        return 0
    with tempfile.TemporaryDirectory(prefix="attack-") as temporary:
        directory = (options.keep or Path(temporary)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        if options.soak:
            why = asyncio.run(soak(attacks, directory, options.soak))
            print(f"FAILED: {why}" if why else "ok")
            return 1 if why else 0
        return 0 if asyncio.run(run(attacks, directory, options.json)) else 1


if __name__ == "__main__":
    sys.exit(main())
