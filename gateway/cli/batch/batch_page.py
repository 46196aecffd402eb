"""A batch's report as one HTML file, without scripts, that can be filed and printed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from gateway.core.text import shown

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #222; }
h2 { margin: 1.6em 0 .3em; font-size: 1.15em; } h3 { margin: 1em 0 .2em; font-size: 1em; }
table { border-collapse: collapse; }
td, th { text-align: left; padding: .15em 1em .15em 0; vertical-align: top; } td.n, th.n { text-align: right; }
p.note { background: #fff4d6; border-left: 4px solid #e0a000; padding: .4em .8em; }
svg { width: 100%; height: auto; background: #fafafa; } path { stroke: #2b6cb0; fill: none; stroke-width: 1.2; }
svg text { font-size: 10px; fill: #555; } code { word-break: break-all; font-size: .9em; }
@media print { h3, svg { break-inside: avoid; } }
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 120, 60, 16


def page(report: Mapping[str, Any], state: str, remarks: Iterable[str]) -> str:
    """The page. `state`: how complete the batch is, in words; `remarks`: what is lost, and gaps."""
    title = _text(f"Batch {report['batch']}: report")
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{_text(state)}. Made at {_moment(report['made'])} by {_text(report['made_by'])} on gateway "
        f"{_text(report['gateway'])}. "
        f"Its clock is {_text((report['clock'] or {}).get('state', 'unknown'))} now. "
        "It tells what the gateway knows; it is no release of the batch.</p>",
        *(f'<p class="note">{_text(remark)}</p>' for remark in remarks),
        "<h2>Devices</h2>",
        *_devices(report),
        "<h2>Events and alarms</h2>",
        *_events(report["events"]),
        "<h2>Models</h2>",
        *_models(report["models"]),
        "<h2>Readings</h2>",
        "<p>By source time while the device worked for the batch, thinned: of each part of the time the least and the "
        "greatest value. What is bad or stale is left out.</p>",
        *_readings(report["readings"]),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _devices(report: Mapping[str, Any]) -> Iterator[str]:
    head = ("Device", "From", "To", "Read", "Accepted", "Sink", "Delivered", "Pending", "Lost", "Complete up to")
    rows = []
    for device, of in report["account"]["devices"].items():
        span = report["spans"][device]
        begin, end = _moment(span["from"]), "now" if span["to"] is None else _moment(span["to"])
        times = (begin, end) if span["known"] else (f"about {begin}", f"about {end}")
        for sink, account in of["sinks"].items():
            lost = sum(account["dropped"].values())
            counts = (account["acknowledged"], account["pending"], lost, _moment(account["complete_to"]))
            rows.append((device, *times, "?" if of["read"] is None else of["read"], of["readings"], sink, *counts))
    yield _table(head, rows)
    contexts = [
        (device, _pairs(context)) for device, of in report["account"]["devices"].items() for context in of["contexts"]
    ]
    yield _table(("Device", "Worked for"), contexts)


def _events(events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not events:
        yield "<p>None is kept.</p>"
        return
    rows = [
        (
            _moment(each["ts"]),
            each["device"],
            each["kind"],
            each["state"],
            each["severity"],
            each["message"],
            _who(each),
        )
        for each in events
    ]
    yield _table(("Time", "Device", "Kind", "State", "Severity", "What", "Who"), rows)


def _who(event: Mapping[str, Any]) -> str:
    by = event.get("by") or (event.get("acknowledged") or {}).get("by", "") if isinstance(event, dict) else ""
    return f'rule "{by}"' if event.get("rule") and by else str(by or "")


def _models(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not models:
        yield "<p>None.</p>"
        return
    yield _table(("Model", "Version", "SHA-256", "Named by"), [tuple(each.values()) for each in models])


def _readings(readings: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    for device, curves in readings.items():
        yield f"<h3>{_text(device)}</h3>"
        if not curves:
            yield "<p>It is no longer configured, or has no tags.</p>"
        for curve in curves:
            unit = f" [{curve['unit']}]" if curve["unit"] else ""
            yield f"<h4>{_text(curve['tag'] + unit)}: {curve['readings']} readings</h4>"
            yield _curve(curve)


def _curve(curve: Mapping[str, Any]) -> str:
    points = [(t, v) for t, v in zip(curve["ts"], curve["values"], strict=True) if v is not None]
    if not points:
        return "<p>no value</p>"
    low, high = min(v for _, v in points), max(v for _, v in points)
    span = (high - low) or 1.0
    begin, end = curve["from_ms"], max(curve["to_ms"], curve["from_ms"] + 1)
    path, pen = [], "M"
    for t, v in zip(curve["ts"], curve["values"], strict=True):
        if v is None:
            pen = "M"  # a gap is not drawn over
            continue
        x = _LEFT + (t - begin) * (_WIDTH - _LEFT) / (end - begin)
        path.append(f"{pen}{x:.1f} {4 + (high - v) / span * (_HEIGHT - _BOTTOM - 8):.1f}")
        pen = "L"
    scale = f'<text x="2" y="12">{high:.5g}</text><text x="2" y="{_HEIGHT - _BOTTOM}">{low:.5g}</text>'
    scale += f'<text x="{_LEFT}" y="{_HEIGHT - 3}">{_moment(begin)}</text>'
    scale += f'<text x="{_WIDTH}" y="{_HEIGHT - 3}" text-anchor="end">{_moment(end)}</text>'
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><path d="{"".join(path)}"/>{scale}</svg>'


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["".join(f"<th>{_text(cell)}</th>" for cell in head)]
    lines += [
        "".join(f"<td{' class=n' if isinstance(cell, int) else ''}>{_text(cell)}</td>" for cell in row) for row in rows
    ]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _pairs(context: Mapping[str, str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in context.items())


def _text(value: object) -> str:
    return escape(shown(str(value)))


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}Z" if milliseconds else "-"
