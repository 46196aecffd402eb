"""What a report of a batch says, asked of the running gateway and put together: its account, events and alarms with who did
what, readings thinned for people, models, clock."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway import __version__

Ask = Callable[..., Any]
"""Asks the gateway for a command, with its arguments."""

POINTS = 400
"""Of one tag's curve."""
TAGS = 32
"""That the gateway is asked for at once."""
_MS = 1_000_000


def gathered(ask: Ask, batch: str, from_ns: int, to_ns: int) -> dict[str, Any]:
    """The report as JSON values; times in ms since 1970."""
    account = ask("batch", batch=batch, from_ns=from_ns, to_ns=to_ns)
    spans = _spans(account)
    events = list(_events(ask, batch, spans))
    status = ask("status")
    return {
        "report": "batch",
        "batch": batch,
        "made": time.time_ns() // _MS,
        "made_by": f"edge-gateway {__version__}",
        "gateway": status["gateway"],
        "clock": status.get("clock"),
        "account": account,
        "spans": spans,
        "events": events,
        "readings": {device: _readings(ask, device, span) for device, span in spans.items()},
        "models": _models(ask, events, spans),
    }


def _spans(account: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each device, from when to when (None: it does so now) it worked for the batch; `known` where that is known, and not
    only the hours of its receipts."""
    spans: dict[str, dict[str, Any]] = {}
    for each in account["times"]:
        span = spans.setdefault(each["device"], {**each, "known": True})
        span["to"] = None if None in (span["to"], each["to"]) else max(span["to"], each["to"])
    for device, of in account["devices"].items():
        spans.setdefault(
            device, {"device": device, "from": of["from"], "to": max(of["to"], of["from"] + 1), "known": False}
        )
    return spans


def _events(ask: Ask, batch: str, spans: Mapping[str, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The events of its devices while they worked for it, and all that tell of it at other times; oldest first."""
    found = []
    for device, span in spans.items():
        # a correction, or an end that was said late, comes after the end
        for event in ask("events", device=device, from_ns=span["from"] * _MS):
            context = event.get("context") or {}
            told = {context.get("batch"), event.get("value"), (event.get("corrected") or {}).get("batch")}
            told.add((event.get("recorded") or {}).get("batch"))
            while_working = event["kind"] != "context" and (span["to"] is None or event["ts"] <= span["to"])
            if batch in told or (while_working and "batch" not in context):
                found.append(event)
    yield from sorted(found, key=lambda event: event["ts"])


def _readings(ask: Ask, device: str, span: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of each of its tags as it is configured now a curve; none for a device that is no longer configured."""
    tags = [each["tag"] for each in ask("tags") if each["device"] == device]
    found: list[Mapping[str, Any]] = []
    for at in range(0, len(tags), TAGS):
        some = tags[at : at + TAGS]
        to_ns = None if span["to"] is None else max(span["to"], span["from"] + 1) * _MS
        times = {"from_ns": span["from"] * _MS, "to_ns": to_ns}
        found += ask("history", device=device, tags=some, points=POINTS, **times)
    return found


def _models(
    ask: Ask, events: Sequence[Mapping[str, Any]], spans: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, str]]:
    """The versions that its events name, and those that watch its devices now."""
    fields = ("model", "model_version", "model_sha256")
    named = {tuple(str(event.get(key, "")) for key in fields) for event in events if "model_sha256" in event}
    told = [(*model, "an event") for model in sorted(named)]
    for model in ask("models"):
        watched = {each["device"] for each in model.get("devices", ())}
        if watched & spans.keys():
            now = (str(model.get(key, "")) for key in ("name", "version", "sha256"))
            told.append((*now, "what watches now"))
    return [dict(zip(("model", "version", "sha256", "named_by"), each, strict=True)) for each in told]
