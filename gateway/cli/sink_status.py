"""What `status` says of a sink: what it promises, and whether data leaves."""

import time
from collections.abc import Iterator
from typing import Any

from gateway.cli.frame.terminal import colour, count, sentence
from gateway.core.amounts import format_duration

_WORTH_TELLING, _ANYBODYS_GUESS = 10.0, 23 * 3600.0
"""Seconds: a backlog that is gone sooner is none; what takes longer has no time of today."""


def sink_lines(sink: dict[str, Any], now: float) -> Iterator[str]:
    """A sink for a person; `now` in seconds since 1970."""
    promise = sink["promise"]
    spoken = [str(promise[key]) for key in ("protocol",) if key in promise]
    if "encryption" in promise:
        plain = promise["encryption"] == "none"
        spoken.append(colour("not encrypted", "yellow") if plain else str(promise["encryption"]))
    if "broker" in promise:  # one of several
        spoken.append(f"at {promise['broker']}")
    yield f"  sink     {sink['name']}: {sentence([sink['plugin'], *spoken, sink['state']])}"
    yield f"           {sentence([acknowledged(sink), waiting(sink, now)])}"
    if weaker := promise.get("weaker"):
        yield colour(f"           weaker promise: {weaker}", "yellow")
    if exposed := promise.get("exposed"):
        yield colour(f"           {exposed}", "yellow")
    if unheard := promise.get("no_subscribers"):
        yield colour(
            f"           {count(unheard, 'message')} taken by the broker, though no client subscribes to them", "yellow"
        )
    if sink["refused_for_now"]:
        yield f"           {count(sink['refused_for_now'], 'record')} refused at first and sent again"


def acknowledged(sink: dict[str, Any]) -> str:
    """When its far side last said that it has something."""
    age = sink["last_acknowledged_s"]
    if age is None:
        return "nothing acknowledged since the start"
    when = f"{format_duration(age)} ago" if age else "just now"
    return f"last acknowledgement {when}, {count(sink['acknowledged_readings'], 'reading')} in all"


def waiting(sink: dict[str, Any], now: float) -> str:
    """How much waits for it, since when, and until about when."""
    lanes = sink["outbox"]["lanes"].values()
    pending = sum(lane["pending"] for lane in lanes)
    if not pending:
        return "nothing waiting"
    oldest = min((lane["oldest"] for lane in lanes if lane["oldest"]), default=None)
    age = f", the oldest for {format_duration(max(0.0, now - oldest / 1e9))}" if oldest else ""
    return f"{count(pending, 'reading')} waiting{age}{_complete(sink, now)}"


def _complete(sink: dict[str, Any], now: float) -> str:
    """When nothing will wait, if it is worth telling."""
    seconds = sink.get("drained_in_s")
    if seconds is None or not _WORTH_TELLING < seconds < _ANYBODYS_GUESS:
        return ""
    return time.strftime(", all sent at about %H:%M", time.localtime(now + seconds))
