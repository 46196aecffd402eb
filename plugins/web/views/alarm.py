"""An alarm's own page: how it stands, why it was raised, what was like it, and what else happened then."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..html import Html, joined, table, tag
from ..screen import View, alarm_address, alarm_forms, alarm_said, kind_of, moment, shown
from ..words import Words
from .curves import curve, curves

Told = Mapping[str, Any]


def alarm_page(view: View, told: Told) -> Html:
    """All of it, from the answer of `why`."""
    word = view.words
    return joined(
        (
            _head(view, told),
            _why(word, told["event"]),
            _window(word, told),
            _similar(word, told["similar"]),
            _around(word, told["around"]),
        )
    )


def _head(view: View, told: Told) -> Html:
    word, alarm, event = view.words, told["alarm"], told["event"]
    if alarm is None:
        message = (
            tag("strong", f"{word('over')} · {event.get('device', '')}"),
            tag("span", f" {word.severity(event.get('severity', ''))} ", moment(event["ts"])),
            tag("p", event.get("message", "")),
        )
        return joined((tag("h2", word("alarm")), tag("div", *message, class_="alarm quiet")))
    said = [*alarm_said(word, alarm, linked=False), *alarm_forms(view, alarm, back=True)]
    hint = None if view.can_act else tag("p", word("log in to act"), class_="quiet")
    return joined((tag("h2", word("alarm")), tag("div", *said, class_=f"alarm {kind_of(alarm)}"), hint))


def _why(word: Words, event: Told) -> Html:
    parts = event.get("contributions") or ()
    if not parts:
        return Html("")
    facts = [word("score of", shown(event.get("score")), shown(event.get("threshold")))]
    if event.get("model"):
        facts.append(word("model of", event["model"], event.get("model_version", "")))
    rows = (
        (
            tag("th", part["tag"], scope="row"),
            tag(
                "td",
                _bar(word, part["tag"], part["share"] or 0),
                f" {100 * (part['share'] or 0):.0f} %",
                class_="number",
            ),
            tag("td", shown(part["value"]), class_="number"),
            tag("td", shown(part["expected"]), class_="number"),
        )
        for part in parts[:50]
    )
    heads = (word("tag"), word("part in it"), word("value"), word("expected value"))
    return joined(
        (
            tag("h2", word("why")),
            tag("p", " · ".join(facts)),
            table(heads, rows, word("why"), stacked="rows"),
            tag("p", word("no proof", str(event.get("event", ""))[:8]), class_="quiet"),
        )
    )


def _bar(word: Words, name: str, share: float) -> Html:
    return tag("meter", min=0, max=1, value=f"{share:.4f}", aria_label=f"{name}: {word('part in it')}")


def _window(word: Words, told: Told) -> Html:
    window = told["window"]
    if window is None:
        return tag("p", word("no window"), class_="quiet") if told["event"] else Html("")
    usual = {part["tag"]: part["expected"] for part in told["event"].get("contributions", ())}
    drawn = [_curve(word, window["ts"], each, usual.get(each["tag"])) for each in window["tags"]]
    rest = tag("p", word("further tags", window["left_out"]), class_="quiet") if window["left_out"] else None
    return joined((tag("h2", word("window")), curves(drawn), rest))


def _curve(word: Words, ts: Sequence[int], column: Told, usual: float | None) -> Html:
    values = column["values"]
    there = [value for value in values if value is not None] or [float("nan")]
    named = f"{column['tag']} {column['unit']}".strip()
    last = f"{shown(there[-1])} {column['unit']}".strip()
    label = f"{column['tag']}: {last}" + (f" ({word('expected')} {shown(usual)})" if usual is not None else "")
    said = word("curve in words", named, shown(min(there)), shown(max(there)), shown(there[-1]))
    return curve(ts, values, label=label, said=said, level=usual)


def _similar(word: Words, similar: Sequence[Told]) -> Html:
    if not similar:
        return joined((tag("h2", word("similar")), tag("p", word("none similar"), class_="quiet")))
    items = (
        tag(
            "li", tag("a", moment(each["ts"]), href=alarm_address(each["event"])),
            f" · {word('alike', round(100 * each['likeness']))}", tag("p", each["message"]),
            tag("ul", *(tag("li", *_done(word, done)) for done in each["done"])) if each["done"]
            else tag("p", word("nothing done"), class_="quiet"),
            class_=_severity(each),
        )
        for each in similar
    )  # fmt: skip
    return joined((tag("h2", word("similar")), tag("ul", *items)))


def _done(word: Words, done: Told) -> Iterator[object]:
    yield moment(done["at"])
    what = {"alarm.acknowledge": "acknowledged", "alarm.shelve": "did shelve"}.get(done["action"])
    yield f" {done['by']}: {word(what) if what else done['action']}"
    if done["action"] in ("write", "call"):
        yield f" {done.get('target', '')} {shown(done.get('old'))} → {shown(done.get('new'))}"
    if done.get("why"):
        yield f" · {done['why']}"


def _around(word: Words, events: Sequence[Told]) -> Html:
    heads = (word("time"), word("device"), word("severity"), word("message"))
    rows = (
        (
            tag("th", moment(each["ts"]), scope="row"),
            each["device"] or "",
            tag("td", word.severity(each["severity"]), class_=_severity(each)),
            tag("td", _message(each), class_="text"),
        )
        for each in events
    )
    said = (
        table(heads, rows, word("around"), stacked="rows") if events else tag("p", word("none around"), class_="quiet")
    )
    return joined((tag("h2", word("around")), said))


def _message(event: Told) -> object:
    if event["kind"] in ("anomaly", "drift", "alarm", "condition"):
        return tag("a", event["message"], href=alarm_address(event["event"]))
    return event["message"]


def _severity(event: Told) -> str:
    return {"alarm": "severe", "warning": "warn"}.get(event["severity"], "quiet")
