"""`edge-gateway check`: what a configuration says, or everything that is wrong with it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.cli.terminal import config_path
from gateway.config.base import Section
from gateway.config.load import load, remarks
from gateway.config.model import Config, DeviceSpec, GatewaySection
from gateway.config.secrets import named_in, resolve
from gateway.core.errors import ConfigError, Problem, RefusedError
from gateway.core.tag import Device, Tag, Tags
from gateway.plugin.discovery import Plugins


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: none."""


def run(args: argparse.Namespace) -> int:
    return check(config_path(args.config), args.json)


def check(path: Path, as_json: bool = False) -> int:
    """Prints the summary and returns 0, or prints all problems and returns 1."""
    looked_up: list[Plugins] = []

    def look_up(section: GatewaySection) -> Plugins:
        looked_up.append(Plugins(section.plugin_dirs, section.replaces))
        return looked_up[0]

    try:
        config = load(path, look_up)
    except ConfigError as error:
        print(json.dumps(_failed(error.problems)) if as_json else _failed_text(error.problems))
        return 1
    summary = summarise(config, looked_up[0])
    print(json.dumps(summary, ensure_ascii=False) if as_json else "\n".join(text(summary)))
    return 0


def summarise(config: Config, plugins: Plugins) -> dict[str, Any]:
    """What a configuration will do, as JSON; each driver tells how it will read."""
    warnings = [*remarks(config), *_missing_secrets(config)]
    return {
        "ok": True,
        "path": str(config.path),
        "hash": config.hash,
        "gateway": config.gateway.name,
        "devices": [
            {
                "name": spec.config.name,
                "driver": spec.config.driver,
                "tags": len(spec.tags),
                "plan": plugins.driver(spec.config.driver).plan(_device(spec)),
            }
            for spec in config.devices
        ],
        "sinks": [{"name": sink.name, "plugin": sink.plugin} for sink in config.sinks],
        "models": [{"file": str(model.file), "devices": list(model.devices)} for model in config.models],
        "parked_plugins": plugins.parked(),
        "warnings": [_entry(warning) for warning in warnings],
    }


def text(summary: dict[str, Any]) -> list[str]:
    """The summary for a person."""
    devices, sinks, models = summary["devices"], summary["sinks"], summary["models"]
    counts = (
        _count(len(devices), "device"), _count(sum(device["tags"] for device in devices), "tag"),
        _count(len(sinks), "sink"), _count(len(models), "model"),
    )  # fmt: skip
    lines = [f"{summary['path']}  ok  {', '.join(counts)}  hash {summary['hash'][:8]}"]
    width = max(len(part["name"]) for part in [*devices, *sinks])
    for device in devices:
        lines.append(f"  device  {device['name']:{width}}  {device['driver']}, {_count(device['tags'], 'tag')}")
        lines += [f"          {line}" for line in device["plan"]]
    lines += [f"  sink    {sink['name']:{width}}  {sink['plugin']}" for sink in sinks]
    lines += [f"  model   {model['file']}  watches {', '.join(model['devices'])}" for model in models]
    lines += [f"  parked  {error}" for error in summary["parked_plugins"]]
    for warning in summary["warnings"]:
        lines.append("  warning " + ": ".join(part for part in (warning["where"], warning["message"]) if part))
    return lines


def _device(spec: DeviceSpec) -> Device:
    """The device as a driver sees it, with numbers of tags that stand in no log."""
    name = spec.config.name
    tags = [
        Tag(number, name, tag, config.value_type(), config.unit, config.description, config=config)
        for number, (tag, config) in enumerate(spec.tags.items(), 1)
    ]
    return Device(name, spec.config.driver, Tags(name, tags), config=spec.config)


def _missing_secrets(config: Config) -> Sequence[Problem]:
    """Secrets that cannot be had here and now; the service may be given more than the user who checks."""
    named: list[tuple[str, Section]] = [(f'sink "{sink.name}"', sink) for sink in config.sinks]
    named += [(f'device "{spec.config.name}"', spec.config) for spec in config.devices]
    problems = []
    for where, options in named:
        for key, secret in named_in(options):
            try:
                resolve(secret)
            except RefusedError as error:
                problems.append(Problem(str(config.path), 0, f"{where}: {key}", str(error)))
    return problems


def _failed(problems: Sequence[Problem]) -> dict[str, Any]:
    return {"ok": False, "problems": [_entry(problem) for problem in problems]}


def _failed_text(problems: Sequence[Problem]) -> str:
    return "\n".join([*map(str, problems), _count(len(problems), "problem")])


def _entry(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "line": problem.line, "where": problem.where, "message": problem.message}


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
