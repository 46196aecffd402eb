"""Times on the command line, and how fast something goes: all commands read them alike."""

import argparse
import time

from gateway.cli.frame.terminal import fail
from gateway.core.times import EARLIEST, LATEST, parse_moment, rfc3339

WAYS = 'as "2h ago", now, 2026-11-22, "2026-11-22 02:33" (local) or 2026-11-22T02:33:00Z'


def moment(text: str) -> int:
    """Nanoseconds since 1970 UTC; the type of an argument, whose error argparse shows."""
    try:
        return max(EARLIEST, min(LATEST, parse_moment(text, time.time_ns())))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def rate(text: str) -> float | None:
    """Readings per second, None for unlimited; the type of an argument."""
    if text == "unlimited":
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"write a number of readings per second above 0, or unlimited, not {text!r}")
    return number


def span(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare --from and --to of a half-open span of time; `what` says of which time."""
    parser.add_argument(
        "--from", dest="from_ns", type=moment, default=EARLIEST, metavar="TIME", help=f"earliest {what}, {WAYS}"
    )
    parser.add_argument(
        "--to", dest="to_ns", type=moment, default=LATEST, metavar="TIME", help=f"{what} before this one"
    )


def is_span(args: argparse.Namespace) -> bool:
    """Whether --from lies before --to; if not, it is said."""
    if args.from_ns < args.to_ns:
        return True
    fail(f"--from ({rfc3339(args.from_ns)}) is not before --to ({rfc3339(args.to_ns)}): nothing lies between them")
    return False
