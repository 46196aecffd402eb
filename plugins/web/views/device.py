"""A device's own page: how it stands, what its driver says of the connection, its tags, and its alarms."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..html import Html, joined, table, tag
from ..screen import View, alarm_forms, alarm_said, kind_of, lasting, part_reason, part_state, shown, tag_cells
from ..words import Words

Told = Mapping[str, Any]


def device_page(view: View, device: Told, rows: Sequence[Told], total: int, writable: Collection[str]) -> Html:
    """All of it; `rows` are its tags as `tags` answers, of `total`; `writable`: those that who looks may write to."""
    word = view.words
    alarms = [alarm for alarm in view.status["alarms"] if alarm["device"] == device["name"]]
    return joined(
        (
            tag("h2", device["name"]),
            _facts(word, device),
            tag("h2", word("alarms")) if alarms else None,
            tag("ul", *(_alarm(view, each) for each in alarms)) if alarms else None,
            _tags(word, device["name"], rows, total, writable),
        )
    )


def _alarm(view: View, alarm: Told) -> Html:
    return tag("li", *alarm_said(view.words, alarm), *alarm_forms(view, alarm), class_=f"alarm {kind_of(alarm)}")


def _facts(word: Words, device: Told) -> Html:
    rows = (tag("tr", tag("th", name, scope="row"), value) for name, value in _said(word, device))
    facts = tag("table", tag("tbody", *rows), aria_label=device["name"], class_="facts")
    return tag("div", facts, class_="wide", tabindex=0, role="region", aria_label=device["name"])


def _said(word: Words, device: Told) -> Iterator[tuple[str, Html]]:
    yield word("state"), part_state(word, device)
    yield word("since"), tag("td", lasting(device["since_s"]))
    if reason := part_reason(word, device):
        yield word("reason"), tag("td", reason)
    yield word("driver"), tag("td", device["driver"])
    few = device["good"] < device["tags"]
    yield word("good tags"), tag("td", f"{device['good']} / {device['tags']}", class_="warn" if few else None)
    polls = word("polls of", f"{device['polls']:,}", f"{device['skipped']:,}", f"{device['errors']:,}")
    yield word("polls"), tag("td", polls)
    if device["doubt"]:
        yield word("doubt"), tag("td", device["doubt"], class_="warn")
    if device["clock_offset_s"] is not None:
        said = f"{device['clock_offset_s']:+.3f} s {device['clock']}".strip()
        yield word("its clock"), tag("td", said, class_="warn" if device["clock"] else None)
    for name, value in {**device["line"], **device["connection"]}.items():
        yield str(name).replace("_", " "), tag("td", shown(value))
    if process := device["process"]:
        yield word("process"), tag("td", ", ".join(f"{name} {value:,}" for name, value in process.items()))


def _tags(word: Words, device: str, rows: Sequence[Told], total: int, writable: Collection[str]) -> Html:
    """With boxes to choose which to see over time."""
    heads = (word("show"), word("tag"), word("value"), word("quality"), word("age"))
    cells = ((tag("td", _box(word, row["tag"]), class_="pick"), *tag_cells(word, row, writable)) for row in rows)
    chosen = tag(
        "form", tag("input", type="hidden", name="device", value=device), table(heads, cells, word("tags"), stacked="tags"),
        tag("p", tag("button", word("show trend"))), action="/trend",
    )  # fmt: skip
    count = tag("p", word("shown of", f"{len(rows):,}", f"{total:,}"), class_="quiet")
    return tag("section", tag("h2", word("tags")), count, chosen if rows else None, id="tags")


def _box(word: Words, name: str) -> Html:
    box = tag("input", type="checkbox", name="tag", value=name, aria_label=f"{word('show')}: {name}")
    return tag("label", box, class_="box")
