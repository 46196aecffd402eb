"""`edge-gateway status`."""

import argparse
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gateway.cli.asking import ask
from gateway.cli.terminal import colour
from gateway.core.amounts import format_duration, format_size

_COLOURS = {"up": "green", "starting": "yellow", "running": "green", "warmup": "yellow"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: none."""


def run(args: argparse.Namespace) -> int:
    """Ask and show; 1 if anything is not as it should be."""
    return ask(args, show, "status")


def show(answer: dict[str, Any]) -> int:
    """What is broken first; 1 if anything is."""
    print("\n".join(lines(answer)))
    return 0 if all(part["state"] == "up" for part in [*answer["devices"], *answer["sinks"]]) else 1


def lines(answer: dict[str, Any]) -> Iterator[str]:
    """The whole status for a person."""
    config, devices = answer["config"], answer["devices"]
    loaded = datetime.fromtimestamp(config["loaded"] / 1000).strftime("%Y-%m-%d %H:%M")
    up = sum(device["state"] == "up" for device in devices)
    yield f"{colour(answer['gateway'], 'bold')}  running {format_duration(answer['uptime_s'])}  version {answer['version']}"
    yield f"  config   {config['path']}  {config['hash']}, loaded {loaded}"
    yield f"  devices  {up} of {len(devices)} up, {sum(device['good'] for device in devices)} tags good"
    for device in sorted(devices, key=lambda device: device["state"] == "up"):
        yield f"    {_state(device)} {device['name']}: {device['tags']} tags by {device['driver']}{_trouble(device)}"
    yield f"  outbox   {_outbox(answer['outbox'])}"
    for sink in answer["sinks"]:
        yield f"  sink     {_state(sink)} {sink['name']}{_trouble(sink)}{_sink(sink)}"
    for model in answer["models"]:
        yield f"  model    {_state(model)} {model['name']}{_trouble(model)}"


def _state(part: dict[str, Any]) -> str:
    state = part["state"]
    return colour(state, _COLOURS.get(state, "red"))


def _trouble(part: dict[str, Any]) -> str:
    since = (
        f" for {format_duration(part['since_s'])}" if part["state"] != "up" and part.get("since_s") is not None else ""
    )
    return f"{since}{': ' + part['reason'] if part.get('reason') else ''}"


def _outbox(outbox: dict[str, Any]) -> str:
    return f"{outbox}"


def _sink(sink: dict[str, Any]) -> str:
    return ""


_ = format_size
