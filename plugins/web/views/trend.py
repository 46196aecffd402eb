"""Values over time: curves drawn by the server, which a script makes one chart that can be zoomed and is live."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ..html import Html, joined, table, tag
from ..screen import alarm_address, device_address, moment, shown, tags_table
from ..words import Words
from .curves import curve, curves

SPANS = {"15m": 900, "1h": 3600, "8h": 28_800, "1d": 86_400, "7d": 604_800, "30d": 2_592_000}
"""Seconds that one can choose."""
DEFAULT = "1h"
POINTS = 600
"""Of a curve that the server draws."""
MARKS = 200
"""Events that are marked and listed, the last ones."""

Told = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Looked:
    """What is looked at; times in milliseconds since 1970."""

    device: str
    tags: tuple[str, ...]
    span: str
    end: int | None
    """None: now."""
    now: int

    @property
    def to(self) -> int:
        return self.now if self.end is None else min(self.end, self.now)

    @property
    def start(self) -> int:
        return self.to - 1000 * SPANS[self.span]

    def address(self, *, span: str = "", end: int | None = None) -> str:
        """Of the same with another span, or end."""
        asked: list[tuple[str, object]] = [("device", self.device), *(("tag", name) for name in self.tags)]
        asked.append(("span", span or self.span))
        if end is not None and end < self.now:
            asked.append(("to", end))
        return f"/trend?{urlencode(asked)}"


def looked(query: Mapping[str, str], tags: Sequence[str], now: int) -> Looked:
    """What an address asks for; what makes no sense in it is as if it were not there."""
    span, said = query.get("span", DEFAULT), query.get("to", "")
    end = int(said) if said.isascii() and said.isdecimal() and len(said) < 15 else None
    return Looked(query.get("device", ""), tuple(dict.fromkeys(tags)), span if span in SPANS else DEFAULT, end, now)


def trend_page(
    word: Words,
    asked: Looked,
    series: Sequence[Told],
    events: Sequence[Told],
    rows: Sequence[Told],
    writable: Collection[str] = (),
) -> Html:
    """All of it, from the answers of `history`, `events` and `tags`; `writable`: tags that who looks may write to."""
    marked = [event for event in events if isinstance(event.get("ts"), int)][-MARKS:]
    return joined(
        (
            tag("h2", tag("a", asked.device, href=device_address(asked.device)), f" · {', '.join(asked.tags)}"),
            _ways(word, asked),
            tag("p", "", id="problem", role="alert", class_="severe", hidden=True),
            _chart(word, asked, marked),
            _curves(word, asked, series, marked),
            tag("p", _count(word, series), class_="quiet"),
            _events(word, marked),
            tag("section", tag("h2", word("now")), tags_table(word, rows, writable)),
        )
    )


def _ways(word: Words, asked: Looked) -> Html:
    """To other times, as links: they work by keyboard and without a script."""
    spans = (
        tag(
            "a", word(name), href=asked.address(span=name, end=asked.end),
            aria_current="true" if name == asked.span else None,
        )
        for name in SPANS
    )  # fmt: skip
    step = 1000 * SPANS[asked.span]
    earlier = tag("a", f"← {word('earlier')}", href=asked.address(end=asked.to - step))
    later = tag("a", f"{word('later')} →", href=asked.address(end=asked.to + step)) if asked.end is not None else None
    return tag("nav", earlier, *spans, later, class_="ways", aria_label=word("span"))


def _chart(word: Words, asked: Looked, events: Sequence[Told]) -> Html:
    told = {
        "device": asked.device,
        "tags": asked.tags,
        "from": asked.start,
        "to": asked.to,
        "live": asked.end is None,
        "time": word("time"),
        "events": [[event["ts"], _severity(event)] for event in events],
    }
    label = f"{word('trend')}: {asked.device}, {', '.join(asked.tags)}"
    chart = tag("div", id="chart", hidden=True, role="img", aria_label=label, data_told=json.dumps(told))
    return joined((chart, tag("button", word("whole span"), id="whole", type="button", hidden=True)))


def _curves(word: Words, asked: Looked, series: Sequence[Told], events: Sequence[Told]) -> Html:
    marks = [(event["ts"], _severity(event), str(event.get("message", ""))) for event in events]
    drawn = []
    for each in series:
        there = [value for value in each["values"] if value is not None]
        name = f"{each['tag']} ({each['unit']})" if each["unit"] else each["tag"]
        if there:
            said = word("curve in words", name, shown(min(there)), shown(max(there)), shown(there[-1]))
            drawn.append(
                curve(each["ts"], each["values"], label=name, said=said, span=(asked.start, asked.to), marks=marks)
            )
        else:
            drawn.append(tag("figure", tag("figcaption", name), tag("p", word("nothing kept"), class_="quiet")))
    return tag("div", curves(drawn), id="curves")


def _count(word: Words, series: Sequence[Told]) -> str:
    said = word("readings in it", f"{sum(each['readings'] for each in series):,}")
    return f"{said}; {word('thinned')}" if any(each["thinned"] for each in series) else said


def _events(word: Words, events: Sequence[Told]) -> Html:
    heads = (word("time"), word("severity"), word("message"))
    rows = (
        (
            tag("th", moment(event["ts"]), scope="row"),
            tag("td", word.severity(str(event.get("severity", ""))), class_=_severity(event)),
            tag("td", _message(event), class_="text"),
        )
        for event in reversed(events)
    )
    said = table(heads, rows, word("events"), stacked="rows") if events else tag("p", word("no events"), class_="quiet")
    return tag("section", tag("h2", word("events")), said)


def _message(event: Told) -> object:
    if event.get("kind") in ("anomaly", "drift", "alarm", "condition"):
        return tag("a", event.get("message", ""), href=alarm_address(str(event.get("event", ""))))
    return event.get("message", "")


def _severity(event: Told) -> str:
    return {"alarm": "severe", "warning": "warn"}.get(str(event.get("severity")), "soft")
