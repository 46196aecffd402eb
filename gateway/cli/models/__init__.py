"""`edge-gateway models`: which models score, what a file holds and says of data, and which version is active."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.frame import shared
from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import colour, count, fail, in_words, joined, table
from gateway.cli.models import test
from gateway.core.amounts import format_duration, format_size
from gateway.core.errors import GatewayError
from gateway.core.text import encodable, shown

if TYPE_CHECKING:
    from gateway.detect.models import OpenModel

VERBS = {
    "approve": "let the next version, FILE.next.onnx, which runs in shadow, take the place of the active one",
    "rollback": "let the version before be active again",
    "retire": "put the version in shadow aside",
}
COLOURS = {"up": "green", "faulted": "red", "starting": "yellow"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which model."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT")
    actions.add_parser(
        "list", parents=[shared()], help="the models of the running gateway, with what they say of each device"
    )
    inspecting = actions.add_parser(
        "inspect", parents=[shared()], help="check a model file as the gateway does, and show its card"
    )
    inspecting.add_argument("file", type=Path, metavar="FILE", help="the .onnx file")
    testing = actions.add_parser("test", parents=[shared()], help="label data as the running gateway would, row by row")
    test.arguments(testing)
    for verb, text in VERBS.items():
        acting = actions.add_parser(verb, parents=[shared()], help=text)
        acting.add_argument("model", metavar="MODEL", help="its name, as  models list  shows it")
        acting.add_argument("--reason", required=True, metavar="TEXT", help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    """Ask the running gateway, or look at a file, which needs none; 1 if the file is no model that could be used."""
    if args.what in VERBS:
        return ask(args, f"model_{args.what}", lines, model=args.model, reason=args.reason)
    if args.what not in ("inspect", "test"):
        return ask(args, "models", lines)
    from gateway.detect.models import ModelError

    try:
        return test.run(args) if args.what == "test" else _inspect(args)
    except ModelError as error:
        fail(str(error) if str(args.file) in str(error) else f"{args.file}: {error}")
    except GatewayError as error:
        fail(str(error))
    except OSError as error:
        fail(in_words(error))
    return 1


def lines(models: list[dict[str, Any]]) -> Iterator[str]:
    """The running gateway's models for a person."""
    if not models:
        yield "no models: make one with  edge-gateway learn, and name it in the configuration as [[model]]"
        return
    head, *rest = table(
        [("MODEL", "VERSION", "SHA-256", "STATE", "DEVICES", "FILE"), *(_cells(model) for model in models)]
    )
    yield colour(head, "bold")
    for line, model in zip(rest, models, strict=True):
        yield colour(line, COLOURS.get(model["state"], "grey"))
        if model["reason"]:
            yield f"  {model['reason']}"
        yield from _shadow(model.get("shadow"))
        for device in model.get("devices", []):
            score = "-" if device["score"] is None else f"{device['score']:.3g}"
            said = f" ({device['reason']})" if device["reason"] else ""
            yield f"  {device['device']}: {device['state']}{said}, score {score}" + (
                ", anomaly" if device["event"] else ""
            )


def _shadow(shadow: dict[str, Any] | None) -> Iterator[str]:
    if shadow is None:
        return
    if "version" not in shadow:
        yield colour(f"  in shadow: cannot be used: {shadow['reason']}", "red")
        return
    found = shadow["agreement"]
    yield f"  in shadow: version {shadow['version']}, {shadow['sha256'][:12]}; it would have raised {shadow['raised']}"
    kappa = "-" if found["kappa"] is None else f"{found['kappa']:.2f}"
    yield (
        f"    of {count(found['looks'], 'look')}: above by both {found['both']}, by the active alone {found['only_active']}, "
        f"by the shadow alone {found['only_shadow']}, by neither {found['neither']}; kappa {kappa}"
    )
    if shadow["reason"]:
        yield colour(f"    {shadow['reason']}", "yellow")


def _cells(model: dict[str, Any]) -> tuple[str, ...]:
    devices = str(len(model.get("devices", [])))
    return (
        model["name"],
        model.get("version", "-"),
        model.get("sha256", "-")[:12],
        model["state"],
        devices,
        model["file"],
    )


def _inspect(args: argparse.Namespace) -> int:
    from gateway.detect.models import open_model

    opened = open_model(args.file)
    print(encodable(json.dumps(_plain(opened), ensure_ascii=False)) if args.json else joined(_card_lines(opened)))
    return 0


def _plain(opened: "OpenModel") -> dict[str, Any]:
    card = json.loads(opened.file.metadata["card"])
    found = {"sha256": opened.file.sha256, "size": len(opened.file.content), "nodes": opened.file.nodes}
    return {**found, "batched": opened.session.batched, "score_ms": opened.seconds * 1e3, "card": card}


def _card_lines(opened: "OpenModel") -> Iterator[str]:
    file, card = opened.file, opened.card
    period = card.period_ms / 1000
    rule = "{0.n} of {0.of}".format
    golden = "scored as the card says" if card.golden else "none: nobody can tell that it scores as its author saw"
    yield colour(f"{card.name} {card.version}, for {card.asset_type}", "bold")
    yield f"  file       {file.path}, {format_size(len(file.content))}, {file.nodes} nodes"
    yield f"  SHA-256    {file.sha256}"
    yield f"  window     {card.window} × {format_duration(period)} = {format_duration(card.window * period)}"
    yield f"  threshold  {card.threshold:g}; {rule(card.raise_at)} above raise, {rule(card.clear_at)} below clear"
    yield f"  severity   {card.severity}"
    yield f"  scores     in {format_duration(opened.seconds)}, " + (
        "all devices together"
        if opened.session.batched
        else "one device at a time: its scores hang on how many are together"
    )
    yield f"  golden     {golden}"
    yield from (f"  {name:<10} {shown(value)}" for name, value in _origin(opened) if value)
    yield ""
    rows: list[tuple[str, ...]] = [("INPUT", "UNIT", "TRAINED FROM", "TO", "USUAL", "MAX AGE")]
    for entry in card.inputs:
        numbers = (f"{number:.6g}" for number in (entry.min, entry.max, entry.expected))
        rows.append((entry.tag, entry.unit, *numbers, format_duration(entry.max_age_ms / 1000)))
    yield from (f"  {line}" for line in table(rows, right=(2, 3, 4, 5)))
    yield colour("passes all checks of the gateway", "green")


def _origin(opened: "OpenModel") -> Iterator[tuple[str, str]]:
    card = opened.card
    yield "author", card.author
    yield "intended", card.intended_use
    for key in ("rows", "from", "to", "source", "limit", "sha256"):
        yield key if key != "sha256" else "data", str(card.training.get(key, ""))
