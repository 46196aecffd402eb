"""`edge-gateway browse`: what a device offers, to look at, or as tags to paste into the configuration.

A device to which the running gateway has a connection is asked over that: many take few connections.
"""

import argparse
import asyncio
import csv
import io
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from gateway.acquire.asked import KNOWS_NO_TYPES
from gateway.acquire.driving import close
from gateway.acquire.probe_devices import unbound
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.loading import loaded
from gateway.cli.frame.places import at_state
from gateway.cli.frame.terminal import SPREADSHEET, colour, config_path, fail, table
from gateway.cli.frame.toml_text import comment, quoted
from gateway.config.kinds import DRIVER
from gateway.config.mistakes import check, did_you_mean
from gateway.config.model import DeviceSpec
from gateway.config.secrets import remember
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.text import for_spreadsheet, shown
from gateway.operate.logs import only_errors
from gateway.plugin.discovery import Plugins
from gateway.plugin.driver import Driver, Found
from gateway.plugin.hosts import LineHost
from gateway.supervise.keep_running import EXPECTED, told

T = TypeVar("T")

Offer = tuple[str, Found]
INCOMPLETE = 3
"""Exit status where the device does not tell all that it has."""
LONGEST = 200
"""Characters of a name that is made of a path; `check` takes a few more."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whom to ask, and what to show."""
    parser.add_argument(
        "device", help='a device of the configuration, or an address such as "opc.tcp://192.168.10.30:4840"'
    )
    only = 'only paths or addresses such as "Line1/*" or "*Temp*"; may be given several times'
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help=only)
    shapes = "table to look at (default); csv for a tags_file; toml for [device.tags]"
    parser.add_argument("--format", choices=("table", "csv", "toml"), default="table", help=shapes)
    parser.add_argument("--spreadsheet", action="store_true", help=SPREADSHEET)
    parser.add_argument("--driver", default="opcua", help="the driver for an address (default: opcua)")
    types = (
        "only what has a type that the gateway knows, such as robots and laboratory devices, with its states and units"
    )
    parser.add_argument("--types", action="store_true", help=types)
    limits = "show instead what the device bears and lacks, as far as that is known"
    parser.add_argument("--limits", action="store_true", help=limits)
    setting = "an option of the device for an address, such as security=none; may be given several times"
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help=setting)


@only_errors()
def run(args: argparse.Namespace) -> int:
    """Show the offers; 1 when the device cannot be asked, or offers nothing that is wanted, 3 when these are not all."""
    try:
        if args.limits:
            return _show_limits(args)
        offers = _asked(args)
        if offers is None:
            offers = _dialled(args, _typed_offers if args.types else _offers)
    except (ConfigError, AnswerError) as error:
        fail(str(error))
        return 1
    except (*EXPECTED, GatewayError) as error:
        fail(f"{args.device}: {told(error)}")
        return 1
    missing = [found.description for address, found in offers if not address]
    offers = [offer for offer in offers if offer[0]]
    wanted = [offer for offer in offers if _is_wanted(offer, args.only)]
    if args.json:
        print(json.dumps([entry(*offer) for offer in wanted], ensure_ascii=False, indent=1))
    else:
        lines = _csv(wanted, args.spreadsheet) if args.format == "csv" else SHAPES[args.format](wanted)
        sys.stdout.writelines(f"{line}\n" for line in lines)
    if not wanted:
        none = (
            "has nothing of a type that the gateway knows: browse without --types shows all"
            if args.types
            else "offers nothing"
        )
        fail(f"{args.device}: nothing of that kind among {len(offers)}" if offers else f"{args.device}: {none}")
    if missing:
        fail(f"{args.device}: this is not all that it has; missing: {'; '.join(missing)}")
        return INCOMPLETE
    return 0 if wanted else 1


def _show_limits(args: argparse.Namespace) -> int:
    facts = _known(args) or _dialled(args, _facts)
    if args.json:
        print(json.dumps(facts, ensure_ascii=False, indent=1))
    else:
        sys.stdout.writelines(f"{line}\n" for line in table([(name, f"{what}") for name, what in facts.items()]))
    return 0


def _known(args: argparse.Namespace) -> Mapping[str, Any] | None:
    """What the running gateway knows of the device by the connection that it has."""
    if "://" in args.device:
        return None
    try:
        answer = call(socket_path(args.socket), "status")
    except NoGatewayError:
        return None
    return next((device["connection"] for device in answer["devices"] if device["name"] == args.device), None)


def _asked(args: argparse.Namespace) -> list[Offer] | None:
    """The answer of the running gateway, over the connection that it has; None when it has none, or is not running."""
    if "://" in args.device:
        return None
    try:
        more = {"types": 1} if args.types else {}
        answer = call(socket_path(args.socket), "browse", device=args.device, **more)
    except NoGatewayError:
        return None
    return answer and [(offer.pop("address"), Found(**offer)) for offer in answer]


def _dialled(args: argparse.Namespace, ask: Callable[[Driver[Any, Any]], Awaitable[T]]) -> T:
    """The answer of the device over a connection of its own."""
    spec, plugins = _device(args)
    remember(spec.config)
    with at_state(args.config) as place:
        return asyncio.run(_connected(spec, plugins, place, ask))


async def _offers(driver: Driver[Any, Any]) -> list[Offer]:
    return [offer async for offer in driver.browse()]


async def _typed_offers(driver: Driver[Any, Any]) -> list[Offer]:
    if "browse_types" not in driver.can:
        raise GatewayError(KNOWS_NO_TYPES)
    return [offer async for offer in driver.browse_types()]


async def _facts(driver: Driver[Any, Any]) -> Mapping[str, Any]:
    return dict(driver.facts)


def _device(args: argparse.Namespace) -> tuple[DeviceSpec, Plugins]:
    if "://" in args.device:
        return _addressed(args)
    config, plugins = loaded(config_path(args.config))
    devices = {spec.config.name: spec for spec in config.devices}
    if args.device not in devices:
        raise GatewayError(f"there is no such device{did_you_mean(args.device, devices)}")
    return devices[args.device], plugins


def _addressed(args: argparse.Namespace) -> tuple[DeviceSpec, Plugins]:
    """A device that stands in no configuration."""
    plugins = Plugins()
    options: dict[str, Any] = {"name": "browsed", "driver": args.driver, "url": args.device}
    for setting in args.option:
        key, _, value = setting.partition("=")
        options[key] = _plain(value)
    try:
        config, mistakes = check(plugins.options(DRIVER, args.driver)[0], options, Path.cwd())
    except KeyError:
        raise GatewayError(f'no driver "{args.driver}"{did_you_mean(args.driver, plugins.names(DRIVER))}') from None
    if config is None:
        raise GatewayError("; ".join(f"{'.'.join(map(str, each.path))}: {each.message}" for each in mistakes))
    return DeviceSpec(config, {}), plugins


def _plain(text: str) -> Any:
    """A number, true, false or a table as JSON writes them; anything else is a text."""
    with suppress(ValueError):
        return json.loads(text)
    return text


async def _connected(
    spec: DeviceSpec, plugins: Plugins, state_dir: Path, ask: Callable[[Driver[Any, Any]], Awaitable[T]]
) -> T:
    driver_type = plugins.driver(spec.config.driver)
    if "browse" not in driver_type.can:
        raise GatewayError(f'the driver "{spec.config.driver}" cannot browse')
    driver = driver_type([unbound(spec)], LineHost(spec.config.name, state_dir))
    try:
        async with asyncio.timeout(spec.config.timeout):
            await driver.connect()
        try:
            return await ask(driver)
        finally:
            await close(driver)
    finally:
        driver.release()


def _is_wanted(offer: Offer, globs: Sequence[str]) -> bool:
    address, found = offer
    return not globs or any(fnmatchcase(text, glob) for glob in globs for text in (found.path, address))


def entry(address: str, found: Found) -> dict[str, str]:
    """An offer as JSON."""
    typed = {"role": found.role, "group": found.group} if found.group else {}
    return {
        "path": found.path, "address": address, "type": found.type, "unit": found.unit, "description": found.description,
        **typed,
    }  # fmt: skip


def _table(offers: Sequence[Offer]) -> Iterator[str]:
    for group, some in groupby(offers, lambda offer: offer[1].group):
        if group:
            yield colour(f"# {shown(group)}", "bold")
        rows = [(found.path, _kind(found), found.unit, address, found.description) for address, found in some]
        head, *rest = table([("PATH", "TYPE", "UNIT", "ADDRESS", "DESCRIPTION"), *rows])
        yield colour(head, "bold")
        yield from rest


def _kind(found: Found) -> str:
    return f"{found.type}, {found.role}" if found.role else found.type


def _csv(offers: Sequence[Offer], spreadsheet: bool = False) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", offers[0][1].option if offers else "address", "unit", "description"))
    for name, (address, found) in zip(names(offers), offers, strict=True):
        cells = (name, address, found.unit, found.description)
        writer.writerow(map(for_spreadsheet, cells) if spreadsheet else cells)
    yield text.getvalue().removesuffix("\n")


def toml(offers: Sequence[Offer]) -> Iterator[str]:
    """The table of the tags, to paste; what belongs together stands under a comment."""
    yield "[device.tags]"
    group = ""
    for name, (address, found) in zip(names(offers), offers, strict=True):
        if found.group != group:
            group = found.group
            yield comment(group)
        options = {found.option: address, "unit": found.unit, "description": found.description}
        told = ", ".join(f"{key} = {quoted(value)}" for key, value in options.items() if value)
        yield f"{quoted(name)} = {{ {told} }}  # {_kind(found) or 'array'}"


def names(offers: Sequence[Offer]) -> list[str]:
    """A tag name for each: the last step of its path, and as many steps before as make it the only one."""
    paths = [_steps(address, found) for address, found in offers]
    depth = [1] * len(paths)
    while True:
        told = [".".join(path[-steps:]) for path, steps in zip(paths, depth, strict=True)]
        twins = {name for name in told if told.count(name) > 1} if len(set(told)) < len(told) else set()
        deeper = [row for row, name in enumerate(told) if name in twins and depth[row] < len(paths[row])]
        if not deeper:
            return _numbered(told)
        for row in deeper:
            depth[row] += 1


def _steps(address: str, found: Found) -> list[str]:
    """A tag's name becomes part of topics: what has a meaning there, or cannot be seen, is left out."""
    path = "".join("_" if char in "+#" or shown(char) != char else char for char in found.path or address)
    return [step.strip() or "_" for step in path.split("/")]


def _numbered(told: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    unique = []
    for name in (each[:LONGEST].strip() for each in told):
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


SHAPES: dict[str, Callable[[Sequence[Offer]], Iterator[str]]] = {"table": _table, "csv": _csv, "toml": toml}
