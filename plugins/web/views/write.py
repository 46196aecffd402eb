"""Writing to a tag, in three steps: the form with what was read last and the limits, the question, and what came of it.

The gateway guards the write (`gateway.operate.writes`): limits, rate, role, audit trail. Here is what a person sees of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.plugin import Tag, format_duration

from ..html import Html, joined, tag
from ..screen import View, device_address, lasting, shown, trend_address, write_address
from ..words import Words

Told = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """The tag, and its last value as `tags` answers; None: it was never read."""

    tag: Tag
    row: Told | None

    @property
    def device(self) -> str:
        return self.tag.device

    def value(self, said: str) -> float | bool | int | str:
        """What a form's field means for it. Raises ValueError."""
        if self.tag.type == "string":
            return said
        if self.tag.type == "bool":
            if said not in ("true", "false"):
                raise ValueError("neither true nor false")
            return said == "true"
        return int(said) if "int" in self.tag.type else float(said)


def writable(found: Tag) -> bool:
    """Whether its configuration allows it; `[gateway] writes` must be on, too."""
    return found.config is not None and bool(found.config.write) and found.type != "bytes"


def form_page(view: View, target: Target) -> Html:
    """The form, or why there is none."""
    word = view.words
    if not writable(target.tag):
        said = tag("p", word("not writable"), class_="quiet")
    elif view.session is None or "write" not in view.may:
        said = tag("p", word("log in to write"), class_="quiet")
    else:
        reason = tag("input", name="reason", maxlength=300, required=True)
        given = {"device": target.device, "tag": target.tag.name, "step": "ask"}
        said = tag(
            "form", *_hidden(view, given),
            tag("label", _named(word, target), _field(target)), tag("label", word("reason"), reason),
            tag("button", word("go on")), method="post", action="/write", class_="ask",
        )  # fmt: skip
    return joined((_head(word, target), _facts(word, target), said))


def question_page(view: View, target: Target, value: object, reason: str) -> Html:
    """What will be done, to be said yes to."""
    word = view.words
    unit = target.tag.unit
    given = {"device": target.device, "tag": target.tag.name, "value": _plain(value), "reason": reason}
    question = word("write it of", f"{shown(value)} {unit}".strip(), target.tag)
    back = tag("a", word("no, back"), href=write_address(target.device, target.tag.name))
    form = tag(
        "form", *_hidden(view, given), tag("p", question, class_="verdict"), tag("p", f"{word('reason')}: {reason}"),
        tag("button", word("write it"), class_="grave"), back, method="post", action="/write", class_="ask",
    )  # fmt: skip
    return joined((_head(word, target), _facts(word, target), form))


def answer_page(view: View, target: Target, answer: Told) -> Html:
    """What came of it."""
    word = view.words
    confirmed = answer["result"] == "confirmed"
    said = word("confirmed") if confirmed else word("differs") if answer["result"] == "differs" else answer["result"]
    rows = (
        (word("before"), answer["old"]),
        (word("written"), answer["new"]),
        (word("read back"), answer["read"]),
    )
    cells = (
        tag("tr", tag("th", name, scope="row"), tag("td", f"{shown(value)} {answer['unit']}".strip(), class_="number"))
        for name, value in rows
    )
    return joined(
        (
            _head(word, target),
            tag(
                "p",
                "✓ " if confirmed else "! ",
                said,
                class_=f"verdict {'well' if confirmed else 'warn'}",
                role="status",
            ),
            tag("table", tag("tbody", *cells), class_="facts", aria_label=word("write")),
            tag("p", word("is audited"), class_="quiet"),
            tag("p", tag("a", word("write again"), href=write_address(target.device, target.tag.name))),
        )
    )


def _head(word: Words, target: Target) -> Html:
    device = tag("a", target.device, href=device_address(target.device))
    name = tag("a", target.tag.name, href=trend_address(target.device, target.tag.name))
    return tag("h2", f"{word('write')}: ", device, " · ", name)


def _facts(word: Words, target: Target) -> Html:
    rows = (tag("tr", tag("th", name, scope="row"), cell) for name, cell in _said(word, target))
    return tag("table", tag("tbody", *rows), class_="facts", aria_label=word("now"), data_row=True)


def _said(word: Words, target: Target) -> Iterator[tuple[str, Html]]:
    row, config, unit = target.row, target.tag.config, target.tag.unit
    if row is None:
        yield word("last read"), tag("td", word("never"))
    else:
        quiet = None if row["good"] else "stale"
        value = tag("span", shown(row["value"]), class_=quiet, data_device=target.device, data_tag=target.tag.name)
        yield word("last read"), tag("td", value, tag("span", f" {unit}", class_="unit"), class_="number")
        yield word("quality"), tag("td", row["quality"], class_=quiet, data_quality=True)
        known = row["age_s"] is not None
        age = f"{row['age_s']:.1f}" if known else ""
        yield word("age"), tag("td", lasting(row["age_s"]) if known else "–", data_age=age)
    if config.min is not None and config.max is not None:
        yield word("limits"), tag("td", f"{config.min:g} … {config.max:g} {unit}".strip())
    if config.max_rate is not None:
        times, seconds = config.max_rate
        yield word("at most"), tag("td", word("times in", times, format_duration(seconds)))


def _field(target: Target) -> Html:
    if target.tag.type == "bool":
        return tag("select", *(tag("option", each) for each in ("false", "true")), name="value")
    if target.tag.type == "string":
        return tag("input", name="value", maxlength=1000, required=True, autocomplete="off")
    config = target.tag.config
    step = 1 if "int" in target.tag.type else "any"
    return tag("input", name="value", type="number", step=step, min=config.min, max=config.max, required=True)


def _named(word: Words, target: Target) -> str:
    return f"{word('new value')} {f'({target.tag.unit})' if target.tag.unit else ''}".strip()


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hidden(view: View, fields: Mapping[str, str]) -> Iterator[Html]:
    assert view.session is not None
    for name, value in {"form": view.session.form, **fields}.items():
        yield tag("input", type="hidden", name=name, value=value)
