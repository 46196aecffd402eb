"""From normal running to a packaged model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.amounts import format_duration
from gateway.core.errors import GatewayError
from gateway.core.times import rfc3339
from gateway.detect.learn.cells import Cells, cells
from gateway.detect.learn.ensemble import FARTHEST, LONG, Floats, Means, fit, raw_score, window_means
from gateway.detect.learn.ensemble_graph import graph
from gateway.detect.learn.table import Table
from gateway.detect.models import CUTS, METADATA_KEY, ModelSession, Persistence, parse_card, parse_onnx, with_metadata
from gateway.detect.windows import NofM

BLOCKS = 40
"""Into how many parts the normal rows are cut; each is scored by what was learned from the others."""
QUANTILE = 0.9
HEADROOM = 1.85
"""Limit / the score that 90 % of unseen normal windows stay below."""
TAIL = 0.999
"""Share of unseen normal windows that stay below the limit, at least."""
LEAST_CELLS = 300
CELLS_PER_TAG = 6
SHORT_SPAN = 86_400
"""Seconds; less does not hold what is usual in a plant: shifts, cleaning, day and night."""
LEAST_AGE_MS = 90_000
"""A little more than the gateway's default heartbeat of a tag with a deadband."""
RAISE = {"n": 8, "of": 10}
CLEAR = {"n": 8, "of": 10}


class TooLittleDataError(GatewayError):
    """What there is does not make a model; the text says how much is needed."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to make."""

    name: str
    version: str = "1"
    asset_type: str = "machine"
    period_ns: int = 1_000_000_000
    max_age_ms: int = 0
    """0 for 90 s, or five periods if these are longer."""
    severity: str = "warning"
    author: str = ""
    source: str = ""
    """Where the data came from, in words."""

    @property
    def age_ms(self) -> int:
        return self.max_age_ms or max(LEAST_AGE_MS, 5 * self.period_ns // 1_000_000)


@dataclass(frozen=True, slots=True)
class Learned:
    """A model, and what was found on the way to it."""

    content: bytes
    """The `.onnx` file."""
    card: Mapping[str, Any]
    cells: Cells
    unseen: Floats
    """float64[n]: scores of normal windows by what was learned without them; the limit is 1."""
    unseen_end_ns: NDArray[np.int64]
    left_out: tuple[str, ...]
    """Tags that never changed."""
    remarks: tuple[str, ...]
    """What a person should know before he relies on it."""

    @property
    def false_alarm_rate(self) -> float:
        """Share of unseen normal windows above the limit."""
        return float((self.unseen > 1).mean())

    @property
    def false_alarms_per_day(self) -> tuple[float, float]:
        """Alarms that unseen normal windows raised, and what their true rate lies below with 95 % confidence (the upper limit
        of a Poisson count by Wilson and Hilferty)."""
        decisions = NofM(1, Persistence(**RAISE), Persistence(**CLEAR))
        row = np.zeros(1, np.intp)
        above = self.unseen[:, np.newaxis] > 1
        raised = sum(len(decisions.tick(row, flag, ~flag)[0]) for flag in above)
        days = len(self.unseen) * self.card["period_ms"] / 86_400_000
        next_count = raised + 1
        most = next_count * (1 - 1 / (9 * next_count) + 1.645 / (3 * next_count**0.5)) ** 3
        return raised / days, float(most / days)


def learn(table: Table, order: Order) -> Learned:
    """Make a model from normal running. The same readings give the same file. Raises TooLittleDataError."""
    if len(table) < 2:
        raise TooLittleDataError(f"there is {'no row' if not len(table) else 'one row only'}: nothing to learn from")
    left_out = _constant(table)
    kept = [tag for tag in table.tags if tag not in left_out]
    if not kept:
        raise TooLittleDataError(f"none of the {len(table.tags)} tags ever changes: there is nothing to learn from")
    table = table.of(kept)
    ages = np.full(len(kept), order.age_ms * 1_000_000, np.int64)
    found = cells(table, order.period_ns, ages)
    ends = found.ends(LONG)
    _check_amount(found, ends, order, kept)
    rows = found.rows.astype(np.float64)
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    means = window_means(np.clip((rows - center) / scale, -FARTHEST, FARTHEST), ends)
    views, places = _unseen(means, ends)
    limits = np.maximum(np.quantile(views, QUANTILE, axis=0), 1e-6)
    unseen = raw_score(views, limits)
    limit = max(HEADROOM * float(np.quantile(unseen, QUANTILE)), float(np.quantile(unseen, TAIL)))
    content = graph(fit(means), center, scale, limits, limit)
    scores = unseen / limit
    card = _card(order, table, found, kept, float((scores > 1).mean()))
    card["golden"] = _golden(content, card, rows, ends)
    packaged = with_metadata(content, METADATA_KEY, json.dumps(card, ensure_ascii=False))
    return Learned(
        packaged, card, found, scores, found.end_ns[ends[places]], left_out, _remarks(found, order, left_out)
    )


def _constant(table: Table) -> tuple[str, ...]:
    """Tags whose good values are all the same, or that have none."""

    def changes(column: Floats) -> bool:
        good = column[np.isfinite(column)]
        return len(good) > 0 and float(np.ptp(good)) > 1e-9 * float(np.abs(good).max())

    return tuple(tag for tag, column in zip(table.tags, table.rows.T, strict=True) if not changes(column))


def _check_amount(found: Cells, ends: NDArray[np.intp], order: Order, tags: Sequence[str]) -> None:
    needed = max(LEAST_CELLS, CELLS_PER_TAG * len(tags))
    if len(ends) >= needed:
        return
    per = format_duration(order.period_ns / 1e9)
    raise TooLittleDataError(
        f"too little data: {len(tags)} tags at one row per {per} need {needed} whole windows of {LONG} rows, at least "
        f"{format_duration((needed + LONG - 1) * order.period_ns / 1e9)} without a gap; there are {len(ends)} "
        f"({len(found.rows)} of {found.seen} rows were usable). A day or more makes a model that one can rely on"
    )


def _unseen(means: Means, ends: NDArray[np.intp]) -> tuple[Floats, NDArray[np.intp]]:
    """The views of each window by a fit that saw none of its rows, and which windows they are of."""
    views: list[Floats] = []
    places = np.array_split(np.arange(len(ends)), BLOCKS)
    for block in places:
        first, last = ends[block[0]], ends[block[-1]]
        apart = (ends <= first - LONG) | (ends >= last + LONG)
        views.append(fit(means.take(apart)).views(means.take(block)))
    return np.concatenate(views), np.concatenate(places)


def _golden(content: bytes, card: Mapping[str, Any], rows: Floats, ends: NDArray[np.intp]) -> Mapping[str, object]:
    """A window of the training data, its tags moved off in turns up and down, and what the graph says of it."""
    last = int(ends[len(ends) // 2])
    off = 3 * rows.std(axis=0) * (-1.0) ** np.arange(rows.shape[1])
    window = (rows[last + 1 - LONG : last + 1] + off).astype(np.float32)
    file = parse_onnx(Path("model.onnx"), with_metadata(content, METADATA_KEY, json.dumps(card)))
    score = ModelSession(file, parse_card(file.metadata)).score(window[np.newaxis]).score[0]
    return {"window": window.tolist(), "score": float(score)}


def _card(order: Order, table: Table, found: Cells, tags: Sequence[str], rate: float) -> dict[str, object]:
    rows = found.rows.astype(np.float64)
    cuts = np.quantile(rows, np.arange(1, CUTS + 1) / (CUTS + 1), axis=0)
    return {
        "format": 1,
        "name": order.name,
        "version": order.version,
        "asset_type": order.asset_type,
        "period_ms": order.period_ns // 1_000_000,
        "window": LONG,
        "inputs": [
            {
                "tag": tag,
                "unit": table.units[place],
                "min": float(rows[:, place].min()),
                "max": float(rows[:, place].max()),
                "expected": float(rows[:, place].mean()),
                "max_age_ms": order.age_ms,
                "quantiles": cuts[:, place].tolist(),
            }
            for place, tag in enumerate(tags)
        ],
        "threshold": 1.0,
        "raise": RAISE,
        "clear": CLEAR,
        "severity": order.severity,
        "expected_alarm_rate": rate,
        "training": {
            "rows": len(rows),
            "from": rfc3339(int(found.end_ns[0])),
            "to": rfc3339(int(found.end_ns[-1])),
            "sha256": table.sha256(),
            "source": order.source,
            "limit": f"the larger of {HEADROOM:g} × the {QUANTILE:.0%} and the {TAIL:.1%} quantile of normal windows, "
            "each scored by what was learned from other rows",
        },
        "author": order.author,
        "approval": {"by": "", "at": ""},
        "intended_use": f"Tells when {order.name} behaves otherwise than in its training data. Advice, not protection.",
    }


def _remarks(found: Cells, order: Order, left_out: Sequence[str]) -> tuple[str, ...]:
    seconds = len(found.rows) * order.period_ns / 1e9
    remarks = [f'"{tag}" never changes and was left out' for tag in left_out]
    if len(found.rows) < 0.9 * found.seen:
        remarks.append(f"only {len(found.rows)} of {found.seen} rows were usable: bad or missing values in the others")
    if seconds < SHORT_SPAN:
        remarks.append(
            f"it was trained on {format_duration(seconds)}: whatever the machine does only on other days will be called "
            "unusual. Learn again from a day or more before you rely on it"
        )
    return tuple(remarks)
