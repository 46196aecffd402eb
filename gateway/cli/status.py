"""`edge-gateway status`: how the running gateway is doing, what is broken first."""

import argparse
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import colour, count, sentence, table
from gateway.cli.sink_status import sink_lines
from gateway.core.amounts import format_duration, format_size
from gateway.core.text import listed
from gateway.operate.headline import WAITING, troubles
from gateway.status import full_in

SHOWN = 5
"""Devices that one line names."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: none."""


def run(args: argparse.Namespace) -> int:
    """Ask and show; 1 if anything is not as it should be."""
    return ask(args, "status", lambda answer: lines(answer, time.time()), lambda answer: not list(troubles(answer)))


def lines(answer: dict[str, Any], now: float) -> Iterator[str]:
    """The whole status for a person; `now` in seconds since 1970."""
    wrong = list(troubles(answer))
    said = colour(f"{count(len(wrong), 'thing')} to look at", "red") if wrong else colour("all is well", "green")
    yield f"{colour(answer['gateway'], 'bold')} {answer['version']}, running {format_duration(answer['uptime_s'])}: {said}"
    yield from (f"  {colour(text, 'red') if severe else text}" for text, severe in wrong)
    yield from _clock(answer["clock"])
    yield from _devices(answer["devices"])
    for sink in answer["sinks"]:
        yield from sink_lines(sink, now)
    yield from _outbox(answer)
    yield from _models(answer["models"])
    for watch in answer.get("watches", ()):
        watched = count(len(watch["devices"]), "device")
        yield f"  alarm    {watch['name']}, plugin {watch['plugin']}: {watched}, {watch['state']}{_reason(watch)}"
    yield from _alarms(answer["limits"], answer["alarms"])
    for service in answer.get("services", ()):
        yield f"  service  {service['name']} {service['state']}{_reason(service)}"
    yield from _certificates(answer.get("certificates", ()))
    yield from _config(answer["config"])


def _reason(part: dict[str, Any]) -> str:
    return f": {part['reason']}" if part["reason"] else ""


def _certificates(certificates: Sequence[dict[str, Any]]) -> Iterator[str]:
    for each in certificates:
        if each["due"]:
            left = each["left_s"]
            when = "has expired" if left < 0 else f"expires in {format_duration(left)}"
            yield f"  renew    {each['name']} {colour(when, 'yellow')}: {each['where']}"


def _clock(clock: dict[str, Any]) -> Iterator[str]:
    if clock["state"] != "synchronised":
        yield f"  clock    {colour(clock['state'], 'yellow')}: is there a time service (NTP)? Messages say so: docs/clocks.md"


def _devices(devices: list[dict[str, Any]]) -> Iterator[str]:
    up = sum(device["state"] == "up" for device in devices)
    good, tags = sum(device["good"] for device in devices), sum(device["tags"] for device in devices)
    yield f"  devices  {up} of {len(devices)} up, {good} of {count(tags, 'tag')} good"
    cells = [
        (
            device["name"],
            device["driver"],
            device["state"],
            f"{device['good']}/{device['tags']} good",
            _work(device),
        )
        for device in devices
    ]
    yield from (f"           {line}" for line in table(cells))
    yield from (f"           {line}" for line in _remarks(devices))


def _remarks(devices: list[dict[str, Any]]) -> Iterator[str]:
    """What drivers find worth saying of connections that work, each once."""
    of: dict[str, list[str]] = {}
    for device in devices:
        for remark in device.get("remarks", []):
            of.setdefault(remark, []).append(device["name"])
    for remark, names in of.items():
        yield f"{listed(names, SHOWN)}: {colour(remark, 'yellow')}"


def _work(device: dict[str, Any]) -> str:
    said = [count(device["polls"], "poll")] if device["polls"] else []
    said += [count(device["errors"], "error")] if device["errors"] else []
    said += [f"{device['skipped']} skipped: slower than its scan"] if device["skipped"] else []
    offset = device.get("clock_offset_s") or 0.0
    if abs(offset) >= 1:
        said.append(f"its clock {format_duration(abs(offset))} {'ahead' if offset > 0 else 'behind'}")
    if process := device.get("process"):
        said.append(f"in process {process['pid']} ({format_size(process['memory'])})")
    said += [f"{number} {kind} on its line" for kind, number in sorted(device.get("line", {}).items())]
    return ", ".join(said)


def room(status: dict[str, Any]) -> list[str]:
    """What the outbox takes, and how long there is room for more."""
    outbox = status["outbox"]
    said = [f"{format_size(outbox['size'])} of {format_size(outbox['max_size'])}"]
    said.append(f"{format_size(outbox['free'])} free on the disk")
    left = full_in(status)
    if outbox.get("turning_away"):
        said.append("full: what is new is not accepted")
    elif left == 0:
        said.append("full: the oldest is given up")
    elif left is not None:
        said.append(f"room for {format_duration(left)} without a sink, as it goes now")
    return said


def _outbox(status: dict[str, Any]) -> Iterator[str]:
    outbox = status["outbox"]
    yield f"  outbox   {sentence(room(status))}"
    if outbox.get("mode") == "spill":
        yield f"           mode spill: {outbox['promise']}"
    for directory in outbox["set_aside"]:
        yield f"           {colour('set aside', 'yellow')}, not sent: {directory}; delete it when nobody needs it"
    found = outbox["recovered"]
    if found["torn_bytes"]:
        yield f"           {format_size(found['torn_bytes'])} half written before the start, cut off"


def _models(models: list[dict[str, Any]]) -> Iterator[str]:
    for model in models:
        yield f"  model    {model['name']} {model.get('version', '')}".rstrip() + f", {model['state']}"
        for device in model.get("devices", []):
            yield f"           {device['device']} {_watched(device)}"


def _watched(device: dict[str, Any]) -> str:
    said = [device["state"] + _reason(device)]
    said += [f"score {device['score']:g}"] if device["score"] is not None else []
    said += [colour(f"event {device['event']} raised", "red")] if device["event"] else []
    return sentence(said)


def _alarms(limits: list[dict[str, Any]], alarms: list[dict[str, Any]]) -> Iterator[str]:
    active = sum(alarm["active"] for alarm in alarms)
    waiting = sum(alarm["state"] in WAITING and not alarm["shelved"] for alarm in alarms)
    said = [f"{count(sum(len(limit['devices']) for limit in limits), 'limit')} watched"] if limits else []
    said += [f"{active} active, {waiting} to be looked at: edge-gateway alarms"] if alarms else []
    if said:
        yield f"  alarms   {sentence(said)}"


def _config(config: dict[str, Any]) -> Iterator[str]:
    loaded = datetime.fromtimestamp(config["loaded"] / 1000).strftime("%Y-%m-%d %H:%M")
    yield f"  config   {config['path']} ({config['hash']}), loaded {loaded}"
    yield from (f"           {path}" for path in config.get("files", ()))
    if off := config.get("disabled"):
        yield f"  disabled {listed(off, 2 * SHOWN)}"
