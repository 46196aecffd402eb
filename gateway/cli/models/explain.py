"""`edge-gateway explain`: computes an anomaly's score and contributions again, from the window that it was found in."""

import argparse
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.frame.places import at_state
from gateway.cli.frame.terminal import colour, fail, joined, table
from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from gateway.detect.explain import Explained

FOLDER = "events"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which event to explain, and from where."""
    parser.add_argument("event", metavar="EVENT", help="its id, or how it begins")
    parser.add_argument("--cleared", action="store_true", help="the window in which it was cleared, not raised")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="the folder of events, such as a copy of it")
    parser.add_argument("--window", action="store_true", help="show the window too")


def run(args: argparse.Namespace) -> int:
    """Compute and show; 1 if it comes out otherwise than it did, or cannot be computed. Needs no running gateway."""
    from gateway.alarms import EvidenceStore
    from gateway.detect.explain import recompute

    try:
        with at_state(args.config, args.directory) as place:
            folder = args.directory or place / FOLDER
            explained = recompute(EvidenceStore(folder).find(args.event, "cleared" if args.cleared else "raised"))
    except GatewayError as error:
        fail(str(error))
        return 1
    except PermissionError as error:
        fail(f"you may not read {error.filename}: try  sudo edge-gateway explain {args.event}")
        return 1
    if args.json:
        print(json.dumps(plain(explained), ensure_ascii=False))
    else:
        print(joined([*lines(explained), *(_window(explained) if args.window else [])]))
    return 0 if explained.agrees else 1


def plain(explained: "Explained") -> dict[str, Any]:
    """As JSON values."""
    return {
        "event": explained.kept.event,
        "window": explained.kept.window.tolist(),
        "score": explained.score,
        "contribution": dict(zip(explained.card.tags, explained.contribution.tolist(), strict=True)),
        "identical": explained.identical,
        "largest_difference": explained.largest_difference,
        "other": list(explained.other),
        "agrees": explained.agrees,
    }


def lines(explained: "Explained") -> Iterator[str]:
    """For a person."""
    event, card = explained.kept.event, explained.card
    yield colour(event["message"], "bold")
    begin, end = (datetime.fromtimestamp(event[key] / 1000) for key in ("window_from", "window_to"))
    yield f"  event   {event['event']}, {event['state']}, {event['severity']}"
    yield f"  window  {begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S}, {card.window} rows, SHA-256 {event['window_sha256'][:16]}…"
    yield f"  model   {event['model']} {event['model_version']}, SHA-256 {event['model_sha256'][:16]}…"
    yield f"  score   {explained.score:.7g}, threshold {card.threshold:g}"
    yield f"  {_verdict(explained)}"
    yield ""
    rows = [("TAG", "SHARE", "VALUE", "EXPECTED", "TRAINED IN", "")]
    inputs = {entry.tag: entry for entry in card.inputs}
    for part in event.get("contributions", []):
        entry = inputs[part["tag"]]
        span = f"{entry.min:.4g} to {entry.max:.4g}"
        share = f"{part['share']:.0%}"
        rows.append((part["tag"], share, f"{part['value']:.6g}", f"{part['expected']:.6g}", span, entry.unit))
    yield from (f"  {line}" for line in table(rows, right=(1, 2, 3)))
    yield "  Contributing is not causing: tags that move together share."


def _verdict(explained: "Explained") -> str:
    if explained.identical:
        return colour("computed again: the same, bit for bit", "green")
    off = f"off by {explained.largest_difference:.2g} of the largest"
    if not explained.other:
        return colour(f"computed again on the same type of machine: NOT the same, {off}", "red")
    told = (
        colour(f"within the tolerance, {off}", "green") if explained.agrees else colour(f"NOT the same, {off}", "red")
    )
    return f"computed again: {told} ({'; '.join(explained.other)})"


def _window(explained: "Explained") -> list[str]:
    rows = [[f"{value:.6g}" for value in row] for row in explained.kept.window.tolist()]
    return ["", *(f"  {line}" for line in table([list(explained.card.tags), *rows], right=range(len(rows[0]))))]
