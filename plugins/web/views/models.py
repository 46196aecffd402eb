"""The models: how each stands and scores, its versions, and what who may can do with them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..html import Html, joined, table, tag
from ..screen import View, device_address, part_state, shown
from ..words import Words
from .curves import curve, curves
from .upkeep import form_for

CURVES = 24
"""Devices of a model whose scores are drawn, those that score highest."""
GAP_MS = 300_000
"""Between two scores that lie so far apart none was given."""

Told = Mapping[str, Any]


def models_page(
    view: View, told: Sequence[Told], scores: Mapping[str, Sequence[Told]], events: Sequence[Told], now: int
) -> Html:
    """All of it, from the answers of `models`, of `scores` by model, and of `events`; `now` in milliseconds since 1970."""
    word = view.words
    if not told:
        return tag("p", word("no models"), class_="quiet")
    marks = [each for each in events if each.get("kind") in ("anomaly", "drift") and isinstance(each.get("ts"), int)]
    return joined(
        tag("section", *_model(view, each), _trends(view.words, each["name"], scores.get(each["name"], ()), marks, now))
        for each in told
    )


def _model(view: View, model: Told) -> Iterator[Html | None]:
    word = view.words
    facts = [(word("state"), part_state(word, model)), (word("file"), tag("td", model["file"]))]
    if model["reason"]:
        facts.append((word("reason"), tag("td", model["reason"], class_="warn")))
    if "version" in model:
        facts.append((word("version"), tag("td", f"{model['version']} · SHA-256 {model['sha256']}")))
        facts.append((word("signed by"), tag("td", model["signed_by"] or "–")))
        facts.append((word("takes"), tag("td", f"{model['score_ms']:.3g} ms")))
    if shadow := model.get("shadow"):
        facts += list(_shadow(word, shadow))
    rows = (tag("tr", tag("th", name, scope="row"), cell) for name, cell in facts)
    buttons = [("model_rollback", word("roll back"))]
    if model.get("shadow"):
        buttons = [("model_approve", word("approve")), *buttons, ("model_retire", word("retire"))]
    hidden = {"model": model["name"]}
    yield tag("h3", model["name"])
    yield tag("table", tag("tbody", *rows), class_="facts", aria_label=model["name"])
    yield _watched(word, model.get("devices", ()))
    yield from (form_for(view, command, label, hidden, why=True) for command, label in buttons)


def _trends(word: Words, model: str, scores: Sequence[Told], events: Sequence[Told], now: int) -> Html:
    """The scores of the last day against the limit, with events marked."""
    scored = sorted((each for each in scores if each["ts"]), key=lambda each: -max(each["scores"]))[:CURVES]
    if not scored:
        return Html("")
    drawn = (
        _trend(word, each, [event for event in events if _is_of(event, model, each["device"])], now) for each in scored
    )
    return joined((tag("h4", word("score trend")), curves([*drawn]), tag("p", word("score steps"), class_="quiet")))


def _is_of(event: Told, model: str, device: str) -> bool:
    return event.get("model") == model and event.get("device") == device


def _trend(word: Words, told: Told, events: Sequence[Told], now: int) -> Html:
    ts, values = _with_holes(told["ts"], told["scores"])
    threshold = shown(float(told["threshold"]))
    label = tag("a", told["device"], href=device_address(told["device"]))
    last = word("score of", shown(told["scores"][-1]), threshold)
    said = word(
        "curve in words", told["device"], *map(shown, (min(told["scores"]), max(told["scores"]), told["scores"][-1]))
    )
    kinds = {"alarm": "severe", "warning": "warn"}
    marks = [
        (each["ts"], kinds.get(str(each.get("severity")), "soft"), str(each.get("message", ""))) for each in events
    ]
    span = (ts[0], max(ts[-1], now))
    named = joined((label, f" · {last}"))
    return curve(
        ts, values, label=named, said=f"{said} ({last})", level=told["threshold"], base=0.0, span=span,
        marks=marks,
    )  # fmt: skip


def _with_holes(ts: Sequence[int], scores: Sequence[float]) -> tuple[list[int], list[float | None]]:
    """A curve is broken where no score was given for a while."""
    times: list[int] = []
    values: list[float | None] = []
    for at, score in zip(ts, scores, strict=True):
        if times and at - times[-1] > GAP_MS:
            times.append(times[-1] + 1)
            values.append(None)
        times.append(at)
        values.append(score)
    return times, values


def _shadow(word: Words, shadow: Told) -> Iterator[tuple[str, Html]]:
    yield word("next version"), tag("td", f"{shadow.get('version', '')} · {shadow['state']} {shadow['reason']}")
    if agreement := shadow.get("agreement"):
        kappa = "–" if agreement["kappa"] is None else f"{agreement['kappa']:.3f}"
        both = agreement["both"] + agreement["neither"]
        yield word("agreement"), tag("td", word("agreement of", both, agreement["looks"], kappa))


def _watched(word: Words, devices: Sequence[Told]) -> Html:
    heads = (word("device"), word("state"), word("score"), word("drift"), word("reason"))
    rows = (
        (
            tag("th", each["device"], scope="row"),
            word.state(each["state"]),
            tag("td", shown(each["score"]), class_="number"),
            _drift(word, each["drift"]),
            each["reason"],
        )
        for each in devices
    )
    return table(heads, rows, word("devices"), stacked="rows") if devices else Html("")


def _drift(word: Words, drift: Told | None) -> str:
    if drift is None or drift["psi"] is None:
        return "–"
    return word("drift of", shown(drift["psi"]), drift["tag"], f"{100 * drift['outside']:.0f}")
