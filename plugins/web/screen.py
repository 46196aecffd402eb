"""The first screen, top to bottom: is all well; what is broken, and what to do; is data leaving; alarms; devices; tags."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from gateway.plugin import Session, format_duration, format_size, full_in

from .html import Html, joined, table, tag
from .words import Words

SEVERE = "severe"

Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """What a page is made of."""

    words: Words
    gateway: str
    status: Part
    troubles: Sequence[tuple[str, bool]]
    session: Session | None
    can_act: bool
    """Whether who looks may acknowledge and shelve."""
    may: Collection[str] = ()
    """Commands that who looks may ask for."""


def parts(view: View) -> dict[str, Html]:
    """What changes while one looks, by the id of its place."""
    return {
        "headline": _headline(view),
        "wrong": _wrong(view),
        "leaving": _leaving(view),
        "alarms": _alarms(view),
        "devices": _devices(view),
        "foot": _foot(view),
    }


def overview(said: Mapping[str, Html], tags: Html) -> Html:
    """All of it: below the one sentence two columns, where there is room."""
    place = {name: tag("div", html, id=name) for name, html in said.items()}
    left = tag("div", *(place[name] for name in ("wrong", "leaving", "alarms")), class_="side")
    right = tag("div", place["devices"], tags, class_="side")
    headline = tag("div", said["headline"], id="headline", role="status")
    foot = tag("footer", said["foot"], id="foot")
    return joined((headline, tag("div", left, right, class_="overview"), foot))


def _headline(view: View) -> Html:
    word, wrong = view.words, view.troubles
    severe = any(severe for _, severe in wrong)
    kind, sign = (SEVERE, "✗") if severe else ("warn", "!") if wrong else ("well", "✓")
    said = (
        word("to look at", len(wrong)) if len(wrong) > 1 else word("one to look at") if wrong else word("all is well")
    )
    state = tag("p", tag("span", sign, aria_hidden="true"), f" {said}", class_="state")
    return tag("div", state, tag("p", " · ".join(_counts(view))), class_=kind)


def _counts(view: View) -> Iterator[str]:
    """How many of what are up, and what waits: the first thing that one asks next."""
    word, status = view.words, view.status
    for key, parts_ in (("devices up", status["devices"]), ("sinks up", status["sinks"])):
        if parts_:
            yield word(key, sum(each["state"] == "up" for each in parts_), len(parts_))
    yield word("n waiting", f"{sum(map(_pending, status['sinks'])):,}")
    if raised := sum(not alarm["shelved"] and alarm["state"] != "cleared" for alarm in status["alarms"]):
        yield word("n alarms", raised)


def _pending(sink: Part) -> int:
    return sum(lane["pending"] for lane in sink["outbox"]["lanes"].values())


def _wrong(view: View) -> Html:
    if not view.troubles:
        return Html("")
    word = view.words
    rows = (
        tag(
            "li", tag("strong", f"{word('serious')}: ") if severe else None, tag("span", text, class_="what"),
            class_=SEVERE if severe else "warn",
        )
        for text, severe in view.troubles
    )  # fmt: skip
    return joined((tag("h2", word("what is wrong")), tag("ul", *rows)))


def _leaving(view: View) -> Html:
    word, status = view.words, view.status
    rows = [
        (
            tag("th", sink["name"], scope="row"),
            part_state(word, sink),
            _ago(word, sink["last_acknowledged_s"]),
            tag("td", f"{_pending(sink):,}", class_="number"),
            _leaves(word, sink),
        )
        for sink in status["sinks"]
    ]
    heads = (word("destination"), word("state"), word("last acknowledged"), word("waiting"), word("remark"))
    said = (
        table(heads, rows, word("is data leaving"), stacked="sinks")
        if rows
        else tag("p", word("no sinks"), class_="quiet")
    )
    return joined((tag("h2", word("is data leaving")), said, tag("p", _room(word, status))))


def _leaves(word: Words, sink: Part) -> Html:
    """When what waits will have left; where nothing leaves, why."""
    if sink["state"] != "up":
        return tag("td", part_reason(word, sink), class_="whole")
    if not sink.get("drained_in_s"):
        return tag("td", "")
    done = time.time() + sink["drained_in_s"]
    return tag("td", f"{word('history complete at')} ", clock(round(done * 1000)), class_="whole")


def _room(word: Words, status: Part) -> str:
    outbox = status["outbox"]
    used = word("used of", format_size(outbox["size"]), format_size(outbox["max_size"]))
    left = full_in(status)
    lasts = word("no forecast") if left is None else word("full in", lasting(left)) if left else word("full")
    return f"{word('outbox')}: {used}, {lasts}"


def _alarms(view: View) -> Html:
    word, alarms = view.words, view.status["alarms"]
    if not alarms:
        return joined((tag("h2", word("alarms")), tag("p", word("no alarms"), class_="quiet")))
    order = {"raised": 0, "latched": 1, "cleared": 2}
    listed = sorted(alarms, key=lambda alarm: (bool(alarm["shelved"]), order.get(alarm["state"], 3)))
    items = (
        tag("li", *alarm_said(word, alarm), *alarm_forms(view, alarm), class_=f"alarm {kind_of(alarm)}")
        for alarm in listed
    )
    hint = None if view.can_act else tag("p", word("log in to act"), class_="quiet")
    return joined((tag("h2", word("alarms")), tag("ul", *items), hint))


def kind_of(alarm: Part) -> str:
    """The class of its colour, which never stands alone."""
    if alarm["shelved"]:
        return "quiet"
    return {"raised": SEVERE, "latched": SEVERE, "cleared": "warn"}.get(alarm["state"], "quiet")


def alarm_said(word: Words, alarm: Part, *, linked: bool = True) -> Iterator[Html]:
    """How it stands, and what people said of it."""
    when = moment(alarm["raised"]) if alarm["raised"] else ""
    name = tag("a", alarm["name"], href=alarm_address(alarm["event"])) if linked and alarm["event"] else alarm["name"]
    yield tag("strong", f"{word.state(alarm['state'])} · ", name)
    yield tag("span", f" {word.severity(alarm['severity'])} ", when)
    yield tag("p", alarm["message"])
    if said := alarm["acknowledged"]:
        yield tag("p", word("acknowledged by", said["by"]), f" {said['comment']}", class_="quiet")
    if said := alarm["shelved"]:
        yield tag("p", word("shelved by", said["by"], said["reason"]), class_="quiet")


def alarm_address(event: str) -> str:
    """Of its own page."""
    return f"/alarm?event={_query(event)}"


def alarm_forms(view: View, alarm: Part, *, back: bool = False) -> Iterator[Html]:
    """What can be done with it by who looks. `back`: to its own page, not to the first one."""
    word, session = view.words, view.session
    if not view.can_act or session is None:
        return
    hidden = [("form", session.form), ("alarm", alarm["event"]), *([("back", "alarm")] if back else [])]
    fields = [tag("input", type="hidden", name=name, value=value) for name, value in hidden]
    if not alarm["acknowledged"]:
        comment = tag("input", name="comment", maxlength=300)
        yield tag(
            "form", *fields, tag("label", word("comment"), comment, class_="grow"),
            tag("button", word("acknowledge")), method="post", action="/acknowledge",
        )  # fmt: skip
    if not alarm["shelved"]:
        reason = tag("input", name="reason", maxlength=300, required=True)
        minutes = tag("input", name="minutes", type="number", min=1, max=1440, value=60)
        form = tag(
            "form", *fields, tag("label", word("reason"), reason, class_="grow"), tag("label", word("minutes"), minutes),
            tag("button", word("shelve")), method="post", action="/shelve",
        )  # fmt: skip
        yield tag("details", tag("summary", word("shelve")), form)


def _devices(view: View) -> Html:
    word, devices = view.words, view.status["devices"]
    if not devices:
        return joined((tag("h2", word("devices")), tag("p", word("no devices"), class_="quiet")))
    broken_first = sorted(devices, key=lambda each: (each["state"] == "up", each["good"] == each["tags"]))
    rows = (
        (
            tag("th", tag("a", each["name"], href=device_address(each["name"])), scope="row"),
            part_state(word, each),
            tag("td", lasting(each["since_s"]), class_="number"),
            tag("td", f"{each['good']:,} / {each['tags']:,}", class_=_short(each)),
            tag("td", part_reason(word, each), class_="whole"),
        )
        for each in broken_first
    )
    heads = (word("device"), word("state"), word("since"), word("good tags"), word("reason"))
    return joined((tag("h2", word("devices")), table(heads, rows, word("devices"), stacked="devices")))


def _short(device: Part) -> str:
    return "number warn" if device["good"] < device["tags"] else "number"


def lasting(seconds: float) -> str:
    """A duration that one looks at: no fractions, which would flicker."""
    return f"{seconds:.0f} s" if seconds < 10 else format_duration(seconds)


def part_reason(word: Words, part: Part) -> str:
    """Why it is so, and what comes next."""
    said = [part["reason"], *part.get("remarks", ())]
    if (soon := part.get("next_attempt_s")) is not None:
        said.append(word("next attempt", lasting(soon)) if soon >= 0.5 else word("trying now"))
    return "; ".join(each for each in said if each)


def _foot(view: View) -> Html:
    word, status = view.words, view.status
    running = word("running for", lasting(status["uptime_s"]))
    clock = word("clock", status["clock"]["state"])
    return tag("p", f"{view.gateway} {status['version']} · {running} · {clock}", class_="quiet")


def tags_table(word: Words, rows: Sequence[Part], writable: Collection[str] = ()) -> Html:
    """Last values; what is not good, or old, is grey and says so. `writable`: tags with a way to the form that writes."""
    heads = (word("device"), word("tag"), word("value"), word("quality"), word("age"))
    return table(heads, (_tag_row(word, row, writable) for row in rows), word("tags"), stacked="tags")


def _tag_row(word: Words, row: Part, writable: Collection[str]) -> Iterator[Html]:
    yield tag("th", tag("a", row["device"], href=device_address(row["device"])), scope="row", class_="of")
    yield from tag_cells(word, row, writable)


def tag_cells(word: Words, row: Part, writable: Collection[str] = ()) -> Iterator[Html]:
    """Of a row without its device; a script finds what it renews in them."""
    quiet = None if row["good"] else "stale"
    name = tag("a", row["tag"], href=trend_address(row["device"], row["tag"]))
    write = None
    if row["tag"] in writable:
        said = f"{word('write')}: {row['tag']}"
        write = tag("a", word("write"), href=write_address(row["device"], row["tag"]), aria_label=said, class_="do")
    yield tag("th", name, write, scope="row")
    value = tag("span", shown(row["value"]), class_=quiet, data_device=row["device"], data_tag=row["tag"])
    yield tag("td", value, tag("span", f" {row['unit']}", class_="unit") if row["unit"] else None, class_="number")
    yield tag("td", row["quality"], class_=quiet, data_quality=True)
    age = "" if row["age_s"] is None else lasting(row["age_s"])
    yield tag("td", age, data_age="" if row["age_s"] is None else f"{row['age_s']:.1f}")


def shown(value: Any) -> str:
    """A value for a person: six digits are enough on a screen."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:200]


def part_state(word: Words, part: Part) -> Html:
    """A cell; a sign stands beside the colour."""
    well = part["state"] == "up"
    sign = tag("span", "✓\N{NO-BREAK SPACE}" if well else "✗\N{NO-BREAK SPACE}", aria_hidden="true")
    return tag("td", sign, word.state(part["state"]), class_="well" if well else SEVERE)


def _ago(word: Words, seconds: float | None) -> str:
    return word("never") if seconds is None else word("just now") if seconds < 1 else word("ago", lasting(seconds))


def moment(milliseconds: int) -> Html:
    """Local time of the gateway, with its zone; a script makes it the reader's."""
    at = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    return tag("time", f"{at:%Y-%m-%d %H:%M:%S %Z}", datetime=at.isoformat())


def clock(milliseconds: int) -> Html:
    """The time of day alone, for what is of about today."""
    at = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    return tag("time", f"{at:%H:%M:%S %Z}", datetime=at.isoformat(), data_clock=True)


def device_address(name: str) -> str:
    """Of its own page."""
    return f"/device?name={_query(name)}"


def trend_address(device: str, name: str) -> str:
    """Of a tag's page."""
    return f"/trend?device={_query(device)}&tag={_query(name)}"


def write_address(device: str, name: str) -> str:
    """Of the form that writes to it."""
    return f"/write?device={_query(device)}&tag={_query(name)}"


def _query(text: str) -> str:
    return quote(text, safe="")
