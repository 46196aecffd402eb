"""`edge-gateway receipts`: what each device gave in each hour, and what became of it. Asked of the running gateway, else read
off the files."""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gateway.cli.frame.accounts import remarks
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.places import at_state
from gateway.cli.frame.progress import Bar
from gateway.cli.frame.terminal import colour, count, fail, in_words, joined, table
from gateway.cli.frame.time_arguments import is_span, span
from gateway.core.errors import GatewayError
from gateway.core.record import Lane
from gateway.outbox.inspect import Checked, LogFiles, verify_receipts
from gateway.outbox.receipts import kept

Receipt = Mapping[str, Any]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which receipts, and whether they are checked."""
    parser.add_argument("--device", metavar="NAME", help="of these devices only, * and ? allowed")
    span(parser, "hour of acceptance")
    parser.add_argument(
        "--verify", action="store_true", help="compute the hashes again from the log, as far as it reaches back"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="the log's directory, or a copy of it (default: of the configured gateway)",
    )


def run(args: argparse.Namespace) -> int:
    """Show them; 1 if readings were lost or a hash does not match."""
    if not is_span(args):
        return 2
    try:
        with at_state(args.config, args.dir) as place:
            directory = args.dir or place / "outbox"
            receipts = [each for each in _told(args, directory) if fnmatchcase(each["device"], args.device or "*")]
            found = _verified(directory, receipts) if args.verify else None
    except AnswerError as error:
        fail(str(error))
        return 1
    except PermissionError as error:
        fail(in_words(error))
        return 1
    except (OSError, GatewayError) as error:
        fail(f"{error}; name the log's directory:  edge-gateway receipts --dir DIR")
        return 1
    print(_as_json(receipts, found) if args.json else joined(_lines(receipts, found)))
    return 1 if any(map(_lost, receipts)) or (found is not None and any(each.wrong for each in found)) else 0


def _told(args: argparse.Namespace, directory: Path) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] | None = None
    if args.dir is None:
        with suppress(NoGatewayError):
            told = call(socket_path(args.socket), "receipts", from_ns=args.from_ns, to_ns=args.to_ns)
    if told is None:
        LogFiles(directory)
        told = kept(directory / "receipts", args.from_ns, args.to_ns)
    return told


def _verified(directory: Path, receipts: Sequence[Receipt]) -> list[Checked]:
    log = LogFiles(directory)
    size = sum(path.stat().st_size for path in log.paths(Lane.DATA) if path.exists())
    with Bar("verifying", size) as bar:
        return verify_receipts(log, receipts, bar)


def _as_json(receipts: Sequence[Receipt], found: Sequence[Checked] | None) -> str:
    if found is None:
        return json.dumps(receipts, ensure_ascii=False, indent=2)
    told = [{**receipt, "verified": each.words} for receipt, each in zip(receipts, found, strict=True)]
    return json.dumps(told, ensure_ascii=False, indent=2)


def _lines(receipts: Sequence[Receipt], found: Sequence[Checked] | None) -> Iterator[str]:
    if not receipts:
        yield "no receipts of that time: the first come after the first full hour"
        return
    yield from _table(receipts)
    for receipt in receipts:
        said = f"{receipt['hour']} {receipt['device']}"
        yield from (colour(f"  {line}", "yellow") for line in remarks(said, receipt, "its end"))
    if not all(receipt["sinks"] for receipt in receipts):
        yield "?: only the running gateway knows how far its sinks are"
    if found is not None:
        yield from _verdicts(receipts, found)


def _table(receipts: Sequence[Receipt]) -> Iterator[str]:
    """A row for each sink, with its name where there are several."""
    header = ("HOUR", "DEVICE", "READ", "ACCEPTED", "SINK", "DELIVERED", "PENDING", "DROPPED", "STATE")
    rows = [header, *(row for receipt in receipts for row in _rows(receipt))]
    if len({row[4] for row in rows[1:]}) < 2:
        return iter(table([row[:4] + row[5:] for row in rows], right=[2, 3, 4, 5, 6]))
    return iter(table(rows, right=[2, 3, 5, 6, 7]))


def _rows(receipt: Receipt) -> Iterator[tuple[str, ...]]:
    read = "?" if receipt["read"] is None else str(receipt["read"])
    for sink, numbers in _numbers(receipt["sinks"]):
        yield receipt["hour"], receipt["device"], read, str(receipt["readings"]), sink, *numbers, _state(receipt)


def _numbers(sinks: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """What each sink has, lacks and has lost."""
    if not sinks:
        yield "", ("?", "?", "?")
    for sink, account in sinks.items():
        dropped = sum(account["dropped"].values())
        yield sink, (str(account["acknowledged"]), str(account["pending"]), str(dropped))


def _state(receipt: Receipt) -> str:
    if receipt.get("open"):
        return "open"
    if not receipt["revision"]:
        return "not issued"
    return "final" if receipt["final"] else f"revision {receipt['revision']}"


def _lost(receipt: Receipt) -> bool:
    """Whether readings of it are lost, to some sink or altogether."""
    return bool(receipt["not_accepted"] or any(sum(each["dropped"].values()) for each in receipt["sinks"].values()))


def _verdicts(receipts: Iterable[Receipt], found: Iterable[Checked]) -> Iterator[str]:
    held = 0
    for receipt, each in zip(receipts, found, strict=True):
        if each.wrong:
            yield colour(f"{receipt['hour']} {receipt['device']}: {each.words}", "red")
        held += each.matches
    gone = sum(each.gone for each in found)
    said = f"{count(held, 'receipt')} match what the log holds" if held != 1 else "1 receipt matches what the log holds"
    yield colour(said, "green") + (f"; of {gone} the records are no longer on disk" if gone else "")
