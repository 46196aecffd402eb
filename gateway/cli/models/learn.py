"""`edge-gateway learn`: makes a first model for a device from its own normal data."""

import argparse
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.frame import time_arguments
from gateway.cli.frame.places import at_state
from gateway.cli.frame.progress import Bar
from gateway.cli.frame.terminal import colour, config_path, count, fail, in_words, joined
from gateway.core.amounts import format_duration, parse_duration
from gateway.core.errors import GatewayError
from gateway.core.record import Lane
from gateway.places.owner import as_owner
from gateway.places.person import person

if TYPE_CHECKING:
    from gateway.detect.learn import Learned, Order, Table
    from gateway.detect.models import Card


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which data, and where the model goes."""
    parser.add_argument("--device", metavar="NAME", help="the device, as it is called in the outbox or the file")
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="CSV, Parquet or the folder of a lake, instead of the outbox"
    )
    time_arguments.span(parser, "source time of normal running")
    parser.add_argument("-o", dest="out", type=Path, required=True, metavar="FILE", help="the model, such as oven.onnx")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="the test report (default: beside the model, .html)"
    )
    parser.add_argument("--tags", default="*", metavar="A,B", help="only these tags; * and ? allowed")
    parser.add_argument("--without", default="", metavar="A,B", help="not these tags; * and ? allowed")
    parser.add_argument("--name", help="name of the model (default: that of the file, or of the version before)")
    parser.add_argument(
        "--model-version", metavar="TEXT", help="its version (default: 1, or one more than that of the version before)"
    )
    parser.add_argument("--period", metavar="TIME", help='time between rows, such as "1s" (default: as in the data)')
    parser.add_argument("--dir", type=Path, metavar="DIR", help="directory of the outbox, such as a copy of one")


def run(args: argparse.Namespace) -> int:
    """Learn, write model and report; 1 if it cannot be done, 2 for wrong usage."""
    if not time_arguments.is_span(args):
        return 2
    if args.data is None and args.device is None:
        fail("say from what to learn:  --device NAME  (from the outbox) or  --data FILE")
        return 2
    try:
        return _run(args)
    except PermissionError as error:
        fail(f"you may not use {error.filename}: try  sudo edge-gateway learn …")
    except OSError as error:
        fail(in_words(error))
    except (GatewayError, ValueError) as error:
        fail(str(error))
    return 1


def _run(args: argparse.Namespace) -> int:
    from gateway.detect.learn import learn, report

    table = _chosen(_table(args), args)
    before = _version_before(args.out)
    learned = learn(table, _order(args, table, before))
    report_path: Path = args.report or args.out.with_suffix(".html")
    _write(args.out, learned.content)
    _write(report_path, report(learned).encode())
    if args.json:
        print(json.dumps(_plain(learned, args.out, report_path), ensure_ascii=False))
    else:
        print(joined([*_lines(learned, report_path, args.out), *_next_steps(learned, args.out, before, args.config)]))
    return 0


def _version_before(path: Path) -> "Card | None":
    """The card of the model beside it, when what is made is its next version."""
    from gateway.detect.models import ModelError, parse_card, read_onnx
    from gateway.detect.versions import next_of

    active = path.with_name(path.name.replace(".next.", ".", 1))
    if next_of(active) != path:
        return None
    try:
        return parse_card(read_onnx(active).metadata)
    except ModelError:
        return None


def _table(args: argparse.Namespace) -> "Table":
    from gateway.detect.learn import from_outbox, read_file
    from gateway.outbox.inspect import LogFiles

    if args.data is not None:
        return read_file(args.data, args.device).between(args.from_ns, args.to_ns)
    with at_state(args.config, args.dir) as place:
        log = LogFiles(args.dir or place / "outbox")
        size = sum(path.stat().st_size for path in log.paths(Lane.DATA) if path.exists())
        with Bar("reading", size) as bar:
            return from_outbox(log, args.device, args.from_ns, args.to_ns, bar)


def _chosen(table: "Table", args: argparse.Namespace) -> "Table":
    def matches(tag: str, patterns: str) -> bool:
        return any(fnmatchcase(tag, pattern.strip()) for pattern in patterns.split(","))

    tags = [tag for tag in table.tags if matches(tag, args.tags) and not matches(tag, args.without)]
    if not tags:
        raise GatewayError(f"--tags and --without leave no tag; there are {', '.join(table.tags)}")
    return table.of(tags)


def _order(args: argparse.Namespace, table: "Table", before: "Card | None") -> "Order":
    from gateway.detect.learn import Order, usual_period_ns

    return Order(
        name=args.name or (before.name if before else args.out.stem.removesuffix(".next")),
        version=args.model_version or _following(before),
        asset_type=args.device or (before.asset_type if before else args.out.stem),
        period_ns=round(parse_duration(args.period) * 1e9) if args.period else usual_period_ns(table),
        author=person(),
        source=args.data.name if args.data else f"outbox, device {args.device}",
    )


def _following(before: "Card | None") -> str:
    if before is None:
        return "1"
    rest = before.version.rstrip("0123456789")
    return f"{rest}{int(before.version[len(rest) :]) + 1}" if rest != before.version else f"{rest}-2"


def _write(path: Path, content: bytes) -> None:
    """The file appears only when it is complete."""
    with as_owner(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _plain(learned: "Learned", path: Path, report_path: Path) -> dict[str, Any]:
    card = learned.card
    return {
        "model": str(path),
        "report": str(report_path),
        "name": card["name"],
        "version": card["version"],
        "sha256": hashlib.sha256(learned.content).hexdigest(),
        "inputs": [entry["tag"] for entry in card["inputs"]],
        "training": card["training"],
        "false_alarm_rate": learned.false_alarm_rate,
        "false_alarms_per_day": learned.false_alarms_per_day,
        "remarks": list(learned.remarks),
    }


def _lines(learned: "Learned", report_path: Path, path: Path) -> Iterator[str]:
    card, training = learned.card, learned.card["training"]
    seconds = training["rows"] * card["period_ms"] / 1000
    yield colour(f"{path}: model {card['name']} {card['version']} of {count(len(card['inputs']), 'tag')}", "bold")
    yield f"  SHA-256   {hashlib.sha256(learned.content).hexdigest()}"
    yield f"  trained   {count(training['rows'], 'row')} of {format_duration(card['period_ms'] / 1000)},"
    yield f"            {format_duration(seconds)} between {_second(training['from'])} and {_second(training['to'])}"
    found, most = learned.false_alarms_per_day
    yield f"  expected  {found:.2g} false alarms a day on data like this; with 95 % confidence below {_rounded(most)}"
    yield f"  report    {report_path}"
    for remark in learned.remarks:
        yield colour(f"  note      {remark}", "yellow")


def _next_steps(learned: "Learned", path: Path, before: "Card | None", config: str | None) -> Iterator[str]:
    if before is not None:
        yield f"next: open the report. The gateway that runs {before.name} {before.version} runs it in shadow within seconds:"
        yield "  edge-gateway models list"
        yield f'  edge-gateway models approve {shlex.quote(before.name)} --reason "…"'
        return
    folder = config_path(config).resolve().parent
    file = path.resolve().relative_to(folder) if path.resolve().is_relative_to(folder) else path.resolve()
    yield "next: open the report; try it with  edge-gateway models test; then name it in the configuration:"
    yield from ("  [[model]]", f'  file = "{file}"', f'  devices = ["{learned.card["asset_type"]}"]')


def _second(time: str) -> str:
    """Without its fraction."""
    return time.partition(".")[0] + "Z"


def _rounded(number: float) -> str:
    return f"{number:.2g}" if number < 100 else f"{number:.0f}"
