"""`edge-gateway outbox export`: readings as a table."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from gateway.cli.frame import time_arguments
from gateway.cli.frame.progress import Bar
from gateway.cli.frame.terminal import SPREADSHEET, count, fail, joined
from gateway.core.record import Lane
from gateway.core.times import rfc3339
from gateway.outbox.inspect import Exported, LogFiles, Wanted, export_csv
from gateway.places.owner import as_owner

Export = Callable[[LogFiles, Wanted, BinaryIO, Callable[[int], None]], Exported]

PYARROW = "pip install pyarrow into the gateway's environment (docs/install.md)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which readings, and where to."""
    parser.add_argument("--format", choices=["csv", "parquet"], default="csv", help="the kind of file (default: csv)")
    time_arguments.span(parser, "source time")
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="NAME",
        help="only of this device; * and ? allowed, may be repeated",
    )
    parser.add_argument("--spreadsheet", action="store_true", help=SPREADSHEET)
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="FILE", help="write to a file (default, and -: standard output)"
    )


def run(args: argparse.Namespace, log: LogFiles) -> int:
    """Export; 1 if readings that should stand in the log cannot be read, 2 for wrong usage."""
    if not time_arguments.is_span(args):
        return 2
    if args.out == Path("-"):
        args.out = None
    if args.format == "parquet" and args.out is None:
        fail("Parquet is no text: name a file for it with  -o FILE")
        return 2
    wanted = Wanted(args.device, args.from_ns, args.to_ns)
    try:
        write = _export_parquet() if args.format == "parquet" else partial(_export_csv, args.spreadsheet)
    except ImportError as error:
        fail(f"Parquet needs a library that is not installed ({error}): {PYARROW}; or take --format csv")
        return 1
    size = sum(path.stat().st_size for path in log.paths(Lane.DATA) if path.exists())
    with _target(args.out) as out, Bar("exporting", size) as bar:
        exported = write(log, wanted, out, bar)
    told = json.dumps(asdict(exported)) if args.json else joined(_words(exported, args.out))
    print(told, file=sys.stderr if args.out is None else sys.stdout)
    return 1 if exported.missing else 0


def _export_parquet() -> Export:
    """Imported only here: it costs most of a second and 100 MB of memory."""
    from gateway.outbox.inspect.export_parquet import export_parquet

    return export_parquet


def _export_csv(
    spreadsheet: bool, log: LogFiles, wanted: Wanted, out: BinaryIO, progress: Callable[[int], None]
) -> Exported:
    text = TextIOWrapper(out, encoding="utf-8", newline="")
    try:
        return export_csv(log, wanted, text, progress, spreadsheet=spreadsheet)
    finally:
        text.detach()


@contextmanager
def _target(path: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears only when it is complete."""
    if path is None:
        yield sys.stdout.buffer
        return
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with as_owner(path.parent):
            file = part.open("xb")
        with file:
            yield file
        with as_owner(path.parent):
            part.replace(path)
    finally:
        with as_owner(path.parent):
            part.unlink(missing_ok=True)


def _words(exported: Exported, path: Path | None) -> Iterator[str]:
    said = count(exported.readings, "reading")
    if exported.first_ns is not None and exported.last_ns is not None:
        said += f", {rfc3339(exported.first_ns)} to {rfc3339(exported.last_ns)}"
    yield f"{path}: {said}" if path is not None else said
    if exported.missing:
        missing = count(exported.missing, "reading")
        yield f"{missing} between them cannot be read: damaged or given up"
        yield "what is damaged is told by  edge-gateway outbox verify"
