"""The test report of a learned model: one HTML file, with plots and without scripts, that can be filed and printed."""

import hashlib
from collections.abc import Iterator
from html import escape

import numpy as np

from gateway import __version__
from gateway.core.amounts import format_duration
from gateway.detect.learn.package import CLEAR, RAISE, Learned
from gateway.detect.learn.svg import series

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em; color: #222; }
h2 { margin: 1.6em 0 .3em; font-size: 1.15em; } table { border-collapse: collapse; }
td, th { text-align: left; padding: .15em 1em .15em 0; vertical-align: top; } td.n, th.n { text-align: right; }
p.note { background: #fff4d6; border-left: 4px solid #e0a000; padding: .4em .8em; }
svg { width: 100%; height: auto; background: #fafafa; } .curve { stroke: #2b6cb0; fill: none; stroke-width: 1.6; }
svg text { font-size: 10px; fill: #555; stroke: none; } .end { text-anchor: end; }
line.limit { stroke: #c53030; } text.limit { fill: #c53030; } line.range { stroke: #888; stroke-dasharray: 4 3; }
code { word-break: break-all; font-size: .9em; }
"""


def report(learned: Learned) -> str:
    """The page. The same model gives the same page."""
    card = learned.card
    title = escape(f"Model {card['name']} {card['version']}: test report")
    parts = [
        f"<h1>{title}</h1>",
        *(f'<p class="note">{escape(remark)}</p>' for remark in learned.remarks),
        _facts(learned),
        "<h2>Score of normal running over time</h2>",
        "<p>Each window was scored by what was learned from other rows: this is how the model treats normal rows that it "
        f"has not seen. An alarm needs {RAISE['n']} of {RAISE['of']} scores above the limit, and ends with {CLEAR['n']} of "
        f"{CLEAR['of']} below it.</p>",
        _scores(learned),
        "<h2>Inputs and their trained ranges</h2>",
        "<p>A value beyond its range by more than a tenth of it is never called normal.</p>",
        *_inputs(learned),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _facts(learned: Learned) -> str:
    card, training = learned.card, learned.card["training"]
    rows, period = training["rows"], card["period_ms"] / 1000
    found, most = learned.false_alarms_per_day
    facts = {
        "Made for": f"{card['asset_type']}. {card['intended_use']}",
        "SHA-256 of the model": hashlib.sha256(learned.content).hexdigest(),
        "Training data": f"{training['source']}, {training['from']} to {training['to']}",
        "Training span": f"{format_duration(rows * period)} in {rows} rows of {format_duration(period)}",
        "SHA-256 of the training data": training["sha256"],
        "Limit": training["limit"],
        "Unseen windows above the limit": f"{learned.false_alarm_rate:.2%} of {len(learned.unseen)}",
        "Expected false alarms": f"{found:.2g} a day on data like this; with 95 % confidence fewer than {most:.2g} a day",
        "Not tested": "how well it finds faults: that needs data with a known fault, and  edge-gateway models test",
        "Made by": f"{card['author']}, edge-gateway {__version__}",
    }
    lines = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items())
    return f"<table>{''.join(lines)}</table>"


def _scores(learned: Learned) -> str:
    top = max(1.2, float(learned.unseen.max()) * 1.05)
    return series(learned.unseen_end_ns, learned.unseen, [(1.0, "limit", "limit")], (0.0, top))


def _inputs(learned: Learned) -> Iterator[str]:
    rows = learned.cells.rows.astype(np.float64)
    for place, entry in enumerate(learned.card["inputs"]):
        low, high = entry["min"], entry["max"]
        edge = 0.15 * (high - low)
        marks = [(low, f"lowest {low:.5g}", "range"), (high, f"highest {high:.5g}", "range")]
        unit = f" [{entry['unit']}]" if entry["unit"] else ""
        yield f"<h3>{escape(entry['tag'] + unit)}</h3>"
        yield f"<p>usual {entry['expected']:.5g}, from {low:.5g} to {high:.5g}</p>"
        yield series(learned.cells.end_ns, rows[:, place], marks, (low - edge, high + edge))
