"""`edge-gateway models test`: what a model says of data, as the running gateway would have said it."""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gateway.cli.frame import time_arguments
from gateway.cli.frame.terminal import colour, count, joined, table
from gateway.core.amounts import format_duration
from gateway.core.errors import GatewayError
from gateway.core.times import rfc3339

if TYPE_CHECKING:
    from gateway.detect.learn import Table
    from gateway.detect.models import OpenModel
    from gateway.detect.windows import Labels

SHOWN = 20
"""Anomalies that are listed for a person."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and which data."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the .onnx file")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="CSV, Parquet or a lake, as learn takes it"
    )
    parser.add_argument("--device", metavar="NAME", help="whose readings, where the data has several devices")
    time_arguments.span(parser, "source time")
    parser.add_argument("--truth", metavar="COLUMN", help="a column that is 1 where the row is known to be faulty")
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="FILE", help="write time, score, verdict and alarm of each row as CSV"
    )


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A span of time in which an anomaly was raised."""

    begin: int
    end: int | None
    """None if it lasts to the end of the data."""
    worst: float
    """Highest score."""


def run(args: argparse.Namespace) -> int:
    """Label and tell; 2 for wrong usage."""
    if not time_arguments.is_span(args):
        return 2
    from gateway.detect.learn import read_file
    from gateway.detect.models import open_model
    from gateway.detect.windows import label

    opened = open_model(args.file)
    data = read_file(args.data, args.device).between(args.from_ns, args.to_ns)
    wanted = opened.card.tags
    if missing := [tag for tag in (*wanted, *([args.truth] if args.truth else [])) if tag not in data.tags]:
        raise GatewayError(f"{args.data}: has no column {', '.join(missing)}; it has {', '.join(data.tags)}")
    if misfits := list(_other_units(opened, data)):
        raise GatewayError(f"{args.data}: {'; '.join(misfits)}")
    if not len(data):
        raise GatewayError(f"{args.data}: has no rows between --from and --to")
    inputs = data.of(wanted)
    labels = label(opened, inputs.t_ns, inputs.rows)
    truth = data.rows[:, data.tags.index(args.truth)] > 0.5 if args.truth else None
    rows = np.searchsorted(labels.end_ns, data.t_ns, "right") - 1
    told = summary(opened, data, labels, rows, truth)
    if args.out:
        _write(args.out, data.t_ns, labels, rows)
    print(json.dumps(told, ensure_ascii=False) if args.json else joined(_lines(told, data)))
    return 0


def _other_units(opened: "OpenModel", data: "Table") -> Iterator[str]:
    """Columns whose titles tell another unit than the model was trained in; a title without one is believed."""
    units = dict(zip(data.tags, data.units, strict=True))
    for entry in opened.card.inputs:
        if units[entry.tag] not in ("", entry.unit):
            trained = f"in {entry.unit}" if entry.unit else "without a unit"
            yield f'column "{entry.tag}" is in {units[entry.tag]}, the model was trained {trained}: convert it'


def summary(
    opened: "OpenModel", data: "Table", labels: "Labels", rows: NDArray[np.intp], truth: NDArray[np.bool_] | None
) -> dict[str, Any]:
    """As JSON values; `rows`: the cell of each row, -1 for none."""
    from gateway.detect.windows import VERDICTS

    verdicts = np.append(labels.verdict, 0)[rows]
    said = {word: int(np.count_nonzero(verdicts == code)) for code, word in enumerate(VERDICTS)}
    anomalies = [
        {"from": rfc3339(each.begin), "to": each.end and rfc3339(each.end), "worst_score": each.worst}
        for each in anomalies_of(labels)
    ]
    told = {"model": opened.card.name, "version": opened.card.version, "sha256": opened.file.sha256, "rows": len(data)}
    told |= {"verdicts": said, "anomalies": anomalies}
    if truth is not None:
        above = np.append(labels.score, np.nan)[rows] > opened.card.threshold
        alarm = np.append(labels.active, False)[rows]
        told["against_truth"] = {"above threshold": _rates(above, truth), "alarm": _rates(alarm, truth)}
    return told


def anomalies_of(labels: "Labels") -> list[Anomaly]:
    """The spans in which an anomaly was raised, oldest first."""
    edge = np.diff(labels.active.astype(np.int8), prepend=0, append=0)
    spans = zip(np.flatnonzero(edge == 1).tolist(), np.flatnonzero(edge == -1).tolist(), strict=True)
    ends = [*labels.end_ns.tolist(), None]
    return [
        Anomaly(ends[begin], ends[end], float(np.nanmax(np.append(labels.score[begin:end], -np.inf))))
        for begin, end in spans
    ]


def _rates(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    hits, false, missed = (int(np.count_nonzero(both)) for both in (said & truth, said & ~truth, ~said & truth))
    return {
        "f1": 2 * hits / max(1, 2 * hits + false + missed),
        "false_alarm_rate": false / max(1, int((~truth).sum())),
        "missed_rate": missed / max(1, int(truth.sum())),
    }


def _write(path: Path, t_ns: NDArray[np.int64], labels: "Labels", rows: NDArray[np.intp]) -> None:
    from gateway.detect.windows import VERDICTS

    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("time", "score", "verdict", "alarm"))
        for moment, cell in zip(t_ns.tolist(), rows.tolist(), strict=True):
            if cell < 0:
                out.writerow((rfc3339(moment), "", VERDICTS[0], 0))
                continue
            score = float(labels.score[cell])
            number = "" if score != score else f"{score:.7g}"
            out.writerow((rfc3339(moment), number, VERDICTS[labels.verdict[cell]], int(labels.active[cell])))


def _lines(told: dict[str, Any], data: "Table") -> Iterator[str]:
    seconds = float(data.t_ns[-1] - data.t_ns[0]) / 1e9
    yield colour(
        f"{told['model']} {told['version']} on {count(told['rows'], 'row')}, {format_duration(seconds)}", "bold"
    )
    for word, number in told["verdicts"].items():
        if number:
            yield f"  {word:<14} {number / told['rows']:6.1%}  {count(number, 'row')}"
    for name, rates in told.get("against_truth", {}).items():
        yield (
            f"  {name} against the truth: F1 {rates['f1']:.3f}, false {rates['false_alarm_rate']:.1%}, "
            f"missed {rates['missed_rate']:.1%}"
        )
    anomalies = told["anomalies"]
    many = "1 anomaly" if len(anomalies) == 1 else f"{len(anomalies) or 'no'} anomalies"
    yield f"{many} would have been raised" + (":" if anomalies else "")
    rows = [(each["from"], each["to"] or "end of the data", f"{each['worst_score']:.3g}") for each in anomalies[:SHOWN]]
    if rows:
        yield from (f"  {line}" for line in table([("FROM", "TO", "WORST SCORE"), *rows], right=(2,)))
    if len(anomalies) > SHOWN:
        yield f"  and {len(anomalies) - SHOWN} more: see them all with  --json"
