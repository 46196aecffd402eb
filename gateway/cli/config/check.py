"""`edge-gateway check`: what a configuration says, or everything that is wrong with it."""

import argparse
import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gateway.acquire.acquirer import by_line
from gateway.acquire.probe_devices import unbound
from gateway.cli.config.outbox_room import room
from gateway.cli.frame.client import socket_path
from gateway.cli.frame.loading import loaded
from gateway.cli.frame.places import state_dir
from gateway.cli.frame.terminal import config_path, fail, joined
from gateway.config.base import DeviceConfig, Secret, Section, ServiceConfig, SinkConfig
from gateway.config.load import remarks
from gateway.config.mistakes import did_you_mean
from gateway.config.model import Config, DeviceSpec
from gateway.config.secrets import doubt, named_in, remember
from gateway.config.text import excerpt
from gateway.config.tls import Tls
from gateway.core.amounts import format_duration, format_size
from gateway.core.clock import SystemClock
from gateway.core.errors import ConfigError, Problem, RefusedError
from gateway.core.text import cleaned
from gateway.detect.fit import model_problems
from gateway.dial import doubtful_certificate, doubtful_files, doubtful_key
from gateway.isolation import refusal
from gateway.operate.logs import only_errors
from gateway.places.drop_ins import FOLDER
from gateway.places.owner import as_owner
from gateway.places.readable import unreadable_by_owner
from gateway.places.state_dir import CONFIG
from gateway.plugin.discovery import Plugins
from gateway.plugin.driver import subscribes
from gateway.supervise import containing
from gateway.supervise.keep_running import told as in_words
from gateway.trust.access import SINK, sinks, unknown


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="the configuration, in place of --config FILE")
    parser.add_argument("--connect", action="store_true", help="dial every device and destination, changing nothing")
    parser.add_argument(
        "--format", choices=("text", "json", "github"), default="text",
        help="json: as --json; github: mistakes and warnings as annotations of a workflow (::error file=…)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """0: it can be run; 1: it cannot, or with --connect something does not answer."""
    path = _whole(config_path(args.file or args.config))
    as_json = args.json or args.format == "json"
    connect = socket_path(args.socket) if args.connect else None
    return check(path, as_json, connect, annotated=args.format == "github" and not as_json)


def _whole(path: Path) -> Path:
    """Of a file in conf.d, the configuration that it is a part of."""
    main = path.absolute().parent.parent / CONFIG.name
    if path.absolute().parent.name != FOLDER or not main.is_file():
        return path
    fail(f"{path} is a part of {main}, which is checked as a whole")
    return main


def check(path: Path, as_json: bool = False, connect: Path | None = None, annotated: bool = False) -> int:
    """Prints the summary and returns 0, or prints all problems and returns 1. `connect`: dial too, or ask the gateway whose
    control socket this is. `annotated`: problems and warnings as GitHub's workflow commands."""
    try:
        config, plugins = loaded(path)
    except ConfigError as error:
        if annotated:
            print(joined(_annotation("error", each) for each in error.problems))
        else:
            print(json.dumps(_failed(error.problems)) if as_json else _failed_text(error.problems))
        return 1
    left_out = [*config.parked, *model_problems(config, by_trial=True), *unreadable(config)]
    left_out += _not_to_be_isolated(config, plugins)
    summary = summarise(config, plugins, left_out)
    if not as_json:
        print(joined(text(summary)), flush=True)
    if connect is not None:
        with only_errors():
            summary["connections"] = _connected(config, plugins, connect, as_json)
        summary["ok"] &= all(result["ok"] for result in summary["connections"])
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
    elif annotated:
        told = [_annotation("error", each) for each in left_out]
        told += [_annotation("warning", Problem(**each)) for each in summary["warnings"]]
        print("".join(f"{line}\n" for line in told), end="")
    elif left_out:
        print(_failed_text(left_out))
    return 0 if summary["ok"] else 1


def _connected(config: Config, plugins: Plugins, socket: Path, quiet: bool) -> list[dict[str, Any]]:
    """Dials as the service will: with its certificates, as its user."""
    for part in _parts(config):
        remember(part)
    place = state_dir(config.path)
    with as_owner(place):
        return asyncio.run(_connect(config, plugins, socket, place, quiet))


def _parts(config: Config) -> list[DeviceConfig | SinkConfig | ServiceConfig]:
    return [*(spec.config for spec in config.devices), *config.sinks, *config.services]


async def _connect(config: Config, plugins: Plugins, socket: Path, place: Path, quiet: bool) -> list[dict[str, Any]]:
    """Dials, and prints each result as it comes."""
    from gateway.cli.config import connections

    parts = _parts(config)
    widths = (
        len("service" if config.services else "device"),
        max((len(part.name) for part in parts), default=0),
        max((len(connections.address(part)) for part in parts), default=0),
    )
    results = []
    if not quiet:
        print("connecting", flush=True)
    async for result in connections.results(config, plugins, socket, place):
        results.append(result)
        if not quiet:
            print(joined(connections.lines(result, widths)), flush=True)
    failed = sum(not result["ok"] for result in results)
    if not quiet:
        told = "all of them answer" if not failed else _count(failed, "problem")
        print(joined([*connections.notes(results), told]))
    return results


def summarise(config: Config, plugins: Plugins, left_out: Sequence[Problem]) -> dict[str, Any]:
    """What a configuration will do, as JSON; each driver tells how it will read. `left_out`: what keeps parts of it out."""
    warnings = [
        *remarks(config),
        *_unknown_accounts(config),
        *_missing_secrets(config),
        *_doubtful_certificates(config),
        *_doubts(config, plugins),
    ]
    return {
        "ok": not left_out,
        "problems": [_entry(problem) for problem in left_out],
        "path": str(config.path),
        "hash": config.hash,
        "gateway": config.gateway.name,
        "devices": [
            {
                "name": spec.config.name,
                "driver": spec.config.driver,
                "tags": len(spec.tags),
                "plan": _plan(plugins, spec),
            }
            for spec in config.devices
        ],
        "sinks": [{"name": sink.name, "plugin": sink.plugin} for sink in config.sinks],
        "models": [{"file": str(model.file), "devices": list(model.devices)} for model in config.models],
        "outbox": room(config, state_dir(config.path) / "outbox"),
        "clock": SystemClock().synchronised(),
        "files": [str(path) for path in config.parts],
        "disabled": [" ".join(part) for part in config.disabled],
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
    lines = [f"{summary['path']}  {'ok' if summary['ok'] else 'FAIL'}  {', '.join(counts)}  hash {summary['hash'][:8]}"]
    width = max((len(part["name"]) for part in [*devices, *sinks]), default=0)
    for device in devices:
        lines.append(f"  device  {device['name']:{width}}  {device['driver']}, {_count(device['tags'], 'tag')}")
        lines += [f"          {line}" for line in device["plan"]]
    lines += [f"  sink    {sink['name']:{width}}  {sink['plugin']}" for sink in sinks]
    lines += [f"  model   {model['file']}  watches {', '.join(model['devices'])}" for model in models]
    lines.append(f"  outbox  {_room(summary['outbox'])}")
    if not summary["clock"]:
        known = "is not synchronised" if summary["clock"] is not None else "may or may not be synchronised"
        lines.append(f"  clock   of this machine {known}: is there a time service (NTP)? timedatectl tells")
    lines += [f"  file    {path}" for path in summary["files"][1:]]
    lines += [f"  off     {part} (enabled = false)" for part in summary["disabled"]]
    lines += [f"  parked  {error}" for error in summary["parked_plugins"]]
    for warning in summary["warnings"]:
        lines.append("  warning " + ": ".join(part for part in (warning["where"], warning["message"]) if part))
    return lines


def _room(outbox: dict[str, Any]) -> str:
    said = f"may take {format_size(outbox['max_size'])}"
    if outbox["usable"] < outbox["max_size"]:
        said += f", but the disk has room for {format_size(outbox['usable'])}"
    if outbox["lasts_s"] is not None:
        said += f": without a sink it lasts {format_duration(outbox['lasts_s'])} at least"
    if outbox["keep_s"]:
        said += f"; what was sent stays for {format_duration(outbox['keep_s'])}, as far as there is room"
    return said


def _doubts(config: Config, plugins: Plugins) -> Sequence[Problem]:
    """What drivers say of lines that several devices share, or that are slow."""
    try:
        lines = by_line(config.devices, plugins).values()
    except Exception as error:  # noqa: BLE001 - a plugin's
        return [
            Problem(str(config.path), 0, "", f"a plugin cannot tell the line of a device: {cleaned(in_words(error))}")
        ]
    found = []
    for specs in lines:
        doubts = partial(plugins.driver(specs[0].config.driver).doubts, [*map(unbound, specs)])
        where = f'line of "{specs[0].config.name}"'
        odd = partial(_read_otherwise, specs, plugins)
        found += [Problem(str(config.path), 0, where, each) for each in _said(odd, "subscribes")]
        found += [Problem(str(config.path), 0, where, doubt) for doubt in _said(doubts, "doubts")]
    return found


def _read_otherwise(specs: Sequence[DeviceSpec], plugins: Plugins) -> list[str]:
    """Devices that are to be read otherwise than the first one of their line, which speaks for it."""
    ways = [subscribes(plugins.driver(spec.config.driver), spec.config) for spec in specs]
    done = "subscribed" if ways[0] else "polled"
    return [
        f"{spec.config.name} will be {done}, as the first device of the connection that they share is"
        for spec, way in zip(specs, ways, strict=True)
        if way != ways[0]
    ]


def _not_to_be_isolated(config: Config, plugins: Plugins) -> Iterator[Problem]:
    """Devices whose driver is to run in a process of its own, and cannot."""
    for spec in config.devices:
        if spec.config.run_in == "process" and (why := refusal(plugins.driver(spec.config.driver), unbound(spec))):
            yield Problem(str(config.path), 0, f'device "{spec.config.name}": run_in', why)


def _plan(plugins: Plugins, spec: DeviceSpec) -> list[str]:
    driver = plugins.driver(spec.config.driver)
    return _said(lambda: driver.plan(unbound(spec)), "plan")


def _said(ask: Callable[[], Iterable[str]], what: str) -> list[str]:
    """What a driver says, which may have a bug there."""
    try:
        with containing():
            return [cleaned(line) for line in ask()]
    except Exception as error:  # noqa: BLE001 - a plugin's
        return [f"its driver cannot tell its {what}: {cleaned(in_words(error))} (a bug of the driver)"]


def unreadable(config: Config) -> Sequence[Problem]:
    """What the service's user may not read, where root asks who may read all."""
    file = str(config.path)
    named = [
        *(("", path) for path in config.parts),
        *((f"[gateway] {key}", path) for key, path in _paths(config.gateway)),
    ]
    named += [
        (f'device "{spec.config.name}": {key}', path) for spec in config.devices for key, path in _paths(spec.config)
    ]
    named += [(f'sink "{sink.name}": {key}', path) for sink in config.sinks for key, path in _paths(sink)]
    named += [(f'service "{each.name}": {key}', path) for each in config.services for key, path in _paths(each)]
    named += [(f"model {model.file}: {key}", path) for model in config.models for key, path in _paths(model)]
    found = unreadable_by_owner(state_dir(config.path), [path for _, path in named])
    return [Problem(file, 0, where, found[path]) for where, path in named if path in found]


def _paths(options: Section) -> Iterator[tuple[str, Path]]:
    """The files and folders that a table names, with their keys."""
    for key, value in options:
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, Path):
                yield key, each
            elif isinstance(each, Secret):
                if each.file is not None:
                    yield key, Path(each.file)
            elif isinstance(each, Section):
                yield from ((f"{key}.{inner}", path) for inner, path in _paths(each))


def _doubtful_certificates(config: Config) -> Sequence[Problem]:
    """Certificates and keys that cannot be used, or are out of date."""
    named: list[tuple[str, Section]] = [(f'sink "{sink.name}"', sink) for sink in config.sinks]
    named += [(f'device "{spec.config.name}"', spec.config) for spec in config.devices]
    named += [(f'service "{service.name}"', service) for service in config.services]
    return [
        Problem(str(config.path), 0, where, said)
        for where, options in named
        for key, value in options
        for said in _doubtful(key, value)
    ]


def _doubtful(key: str, value: object) -> list[str]:
    if isinstance(value, Tls):
        return doubtful_files(value)
    if isinstance(value, Path) and key.endswith("certificate"):
        return doubtful_certificate(key, value)
    return doubtful_key(key, value) if isinstance(value, Path) and key.endswith("private_key") else []


def _unknown_accounts(config: Config) -> Sequence[Problem]:
    """The service runs on another machine, perhaps, which knows them."""
    message = "this machine knows no such user or group"
    found = [Problem(str(config.path), 0, f'[access]: "{name}"', message) for name in unknown(config.access)]
    there = [sink.name for sink in config.sinks]
    return found + [
        Problem(str(config.path), 0, f'[access]: "{SINK}{name}"', f"there is no such sink{did_you_mean(name, there)}")
        for name in sinks(config.access)
        if name not in there
    ]


def _missing_secrets(config: Config) -> Sequence[Problem]:
    """Secrets that cannot be had here and now; the service may be given more than the user who checks."""
    named: list[tuple[str, Section]] = [(f'sink "{sink.name}"', sink) for sink in config.sinks]
    named += [(f'device "{spec.config.name}"', spec.config) for spec in config.devices]
    named += [(f'service "{service.name}"', service) for service in config.services]
    problems = []
    for where, options in named:
        for key, secret in named_in(options):
            try:
                said = doubt(secret)
            except RefusedError as error:
                said = str(error)
            if said:
                problems.append(Problem(str(config.path), 0, f"{where}: {key}", said))
    return problems


def _annotation(level: str, problem: Problem) -> str:
    """As a runner of GitHub's shows it at the line (workflow commands): what would end a property or the line is escaped."""
    text = ": ".join(part for part in (problem.where, problem.message) if part)
    file = _escaped(problem.file).replace(":", "%3A").replace(",", "%2C")
    at = f",line={problem.line}" if problem.line else ""
    return f"::{level} file={file}{at}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _failed(problems: Sequence[Problem]) -> dict[str, Any]:
    return {"ok": False, "problems": [_entry(problem) for problem in problems]}


def _failed_text(problems: Sequence[Problem]) -> str:
    return joined([line for problem in problems for line in told(problem)] + [_count(len(problems), "problem")])


def told(problem: Problem) -> list[str]:
    """A mistake for a person, with the line of the file where its place in it is known."""
    try:
        text = Path(problem.file).read_text(encoding="utf-8-sig") if problem.line else ""
    except (OSError, ValueError):
        text = ""
    return [str(problem), *excerpt(text, problem.line, problem.message)]


def _entry(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "line": problem.line, "where": problem.where, "message": problem.message}


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
