"""`edge-gateway discover`: what devices there are on a range of addresses, as `[[device]]` tables to paste.

It asks before it begins, keeps to a pace, reads only, and ends at Ctrl-C with what it has found.
"""

import argparse
import asyncio
import ipaddress
import json
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from gateway.cli.browse import entry, toml
from gateway.cli.discover.ranges import RangeError, addresses, beyond_the_plant
from gateway.cli.discover.searching import Drivers, Plan, Progress, search
from gateway.cli.frame import toml_text
from gateway.cli.frame.screen import CLEAR, control
from gateway.cli.frame.terminal import config_path, count, fail
from gateway.config.kinds import DRIVER
from gateway.config.load import load
from gateway.config.mistakes import did_you_mean
from gateway.config.model import Config, GatewaySection
from gateway.core.amounts import format_duration
from gateway.core.errors import ConfigError
from gateway.core.text import cleaned
from gateway.operate.logs import only_errors
from gateway.plugin.discovery import Plugins
from gateway.plugin.finding import Discovered

INTERRUPTED = 130
FASTEST = 500.0
LONGEST = 30.0
Found = tuple[str, Discovered]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look, and how."""
    where = (
        'addresses to look at: "192.168.10.0/28", "192.168.10.5-40", "192.168.10.21" or a host\'s name; or the URL of one '
        'device, such as "opc.tcp://192.168.10.30:4840", to see too what it offers'
    )
    parser.add_argument("range", nargs="*", metavar="RANGE", help=where)
    only = "only devices of this driver, such as modbus; may be given several times"
    parser.add_argument("--driver", action="append", default=[], metavar="NAME", help=only)
    ports = "TCP ports to look at in place of the protocols' usual ones; may be given several times"
    parser.add_argument("--port", action="append", type=_port, default=[], metavar="PORT", help=ports)
    units = 'unit ids to ask for, such as "1-247" (default of modbus: 1-10 and 255)'
    parser.add_argument("--units", type=_units, default=(), metavar="RANGE", help=units)
    serial = "look also at this serial port; never looked at unless it is named"
    parser.add_argument("--serial", action="append", default=[], metavar="PORT", help=serial)
    timeout = "seconds that a connection or an answer may take (default: 1)"
    parser.add_argument("--timeout", type=_seconds, default=1.0, metavar="SECONDS", help=timeout)
    rate = "connections and requests a second, of all together, at most (default: 20)"
    parser.add_argument("--rate", type=_rate, default=20.0, metavar="NUMBER", help=rate)
    parser.add_argument("--yes", action="store_true", help="do not ask before, for scripts")


@only_errors()
def run(args: argparse.Namespace) -> int:
    """0 when something was found, 1 when nothing was, 2 when it was not to be, 130 when it was broken off."""
    try:
        plan, skipped = _plan(args)
    except (RangeError, ConfigError) as error:
        fail(str(error))
        return 2
    for said in skipped:
        fail(said)
    if not args.yes and not _agreed(plan):
        return 2
    return _show(args, plan)


def find(plan: Plan) -> tuple[Progress, bool]:
    """What is there and how far the search came, and whether it was broken off."""
    progress = Progress()
    return progress, asyncio.run(_search(plan, progress))


def _show(args: argparse.Namespace, plan: Plan) -> int:
    progress, broken_off = find(plan)
    found = progress.found
    for bug in progress.bugs:
        fail(bug)
    if broken_off:
        fail(f"broken off after {progress.done} of {progress.total} places: this is what was found until then")
    if args.json:
        print(json.dumps([_entry(*each) for each in named(found)], ensure_ascii=False, indent=2))
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(found, plan.drivers))
    if not found and not broken_off:
        fail(_nothing(plan))
    return INTERRUPTED if broken_off else int(not found)


def _nothing(plan: Plan) -> str:
    return (
        f"nothing answered at {count(len(plan.places), 'place')}: is the address right, is the device on, "
        "and its protocol switched on there? A device on another port is found with --port"
    )


def _plan(args: argparse.Namespace) -> tuple[Plan, list[str]]:
    """What to look at, and what is left out. Raises RangeError and ConfigError."""
    urls = [each for each in args.range if "://" in each]
    hosts = addresses([each for each in args.range if each not in urls])
    if not hosts and not urls and not args.serial:
        raise RangeError("where to look? Such as: edge-gateway discover 192.168.10.0/28   or   --serial /dev/ttyUSB0")
    plugins: list[Plugins] = []

    def look_up(section: GatewaySection) -> Plugins:
        plugins.append(Plugins.for_config(section))
        return plugins[0]

    try:
        config: Config | None = load(config_path(args.config), look_up)
    except ConfigError:
        config = None  # it need not be there yet
    drivers = _drivers(plugins[0] if plugins else Plugins(), args.driver)
    named = [place for url in urls for place in _places_of(url, drivers)]
    known, said = _known(config, [*hosts, *(host for _, host, _ in named)], drivers)
    return Plan(hosts, drivers, args.serial, args.port, args.units, named, args.timeout, args.rate, known), said


def _places_of(url: str, drivers: Drivers) -> Iterator[tuple[str, str, int | None]]:
    """Where a URL leads, with the driver that speaks it. Raises RangeError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise RangeError(f"{url!r} is no URL: {error}") from None
    able = [name for name, driver in drivers.items() if parts.scheme in driver.schemes]
    if not able or not host:
        schemes = ", ".join(sorted({f"{each}://HOST:PORT" for driver in drivers.values() for each in driver.schemes}))
        raise RangeError(f"{url!r}: a device is named by {schemes or 'its address, not by a URL'}")
    for address in addresses([host]):
        yield from ((name, address, port) for name in able)


def _drivers(plugins: Plugins, wanted: Sequence[str]) -> Drivers:
    able = {name: plugins.driver(name) for name in plugins.names(DRIVER)}
    able = {name: driver for name, driver in able.items() if "discover" in driver.can}
    for name in wanted:
        if name not in able:
            raise RangeError(
                f'no driver "{name}" finds devices{did_you_mean(name, able)}; those that do: {", ".join(able)}'
            )
    return {name: driver for name, driver in able.items() if not wanted or name in wanted}


def _known(
    config: Config | None, hosts: Sequence[str], drivers: Drivers
) -> tuple[Collection[tuple[str, str]], list[str]]:
    """What the configuration has already at these addresses, and what to say of it."""
    known: dict[tuple[str, str], list[str]] = {}
    for spec in config.devices if config else ():
        options = dict(spec.config)
        host = str(options.get("host") or urlsplit(str(options.get("url", ""))).hostname or "")
        if host in hosts and spec.config.driver in drivers:
            known.setdefault((spec.config.driver, host), []).append(spec.config.name)
    return known, [
        f"{host} is not asked by {driver}: the configuration has it already ({', '.join(names)}), and many devices bear few "
        "connections"
        for (driver, host), names in known.items()
    ]


def _agreed(plan: Plan) -> bool:
    """Ask the person, on the terminal."""
    if not sys.stdin.isatty():
        fail("this dials other machines, and nobody can be asked here: add --yes if that is meant")
        return False
    print(_question(plan), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _question(plan: Plan) -> str:
    span = f"{plan.hosts[0]} to {plan.hosts[-1]}" if len(plan.hosts) > 1 else "".join(plan.hosts)
    places = ", ".join(part for part in (span, *plan.places[len(plan.hosts) :]) if part)
    drivers = plan.drivers if plan.hosts or plan.serial else dict.fromkeys(name for name, _, _ in plan.urls)
    public = beyond_the_plant([*plan.hosts, *(host for _, host, _ in plan.urls)])
    warning = f"{len(public)} of them are addresses of the public internet. " if public else ""
    return (
        f"This looks at {count(len(plan.places), 'place')} ({places}) for {', '.join(drivers)}: "
        f"{count(plan.connections, 'connection')}, {plan.rate:g} a second at most, about {format_duration(plan.seconds)} and "
        f"longer where devices answer. It reads, and writes nothing. {warning}Ask whoever runs this network.\nGo on? [y/N] "
    )


async def _search(plan: Plan, progress: Progress) -> bool:
    """Whether it was broken off."""
    drawing = asyncio.create_task(_draw(progress)) if sys.stderr.isatty() else None
    try:
        await search(plan, progress)
    except asyncio.CancelledError:
        return True  # Ctrl-C: what was found is shown
    finally:
        if drawing is not None:
            drawing.cancel()
            print(control(CLEAR), end="", file=sys.stderr, flush=True)
    return False


async def _draw(progress: Progress) -> None:
    while True:
        text = f"{progress.done} of {progress.total} places looked at, {count(len(progress.found), 'device')} found"
        print(f"{control(CLEAR)}{text}", end="", file=sys.stderr, flush=True)
        await asyncio.sleep(0.2)


def named(found: Sequence[Found]) -> list[tuple[str, str, Discovered]]:
    """Each with a name for the configuration, in the order of their addresses."""
    ordered = sorted(found, key=lambda each: (_place(each[1]), each[0], int(each[1].options.get("unit", 0))))
    names: dict[str, None] = {}
    for driver, each in ordered:
        unit = f"-unit-{each.options['unit']}" if each.options.get("unit", 1) not in (0, 1, 255) else ""
        base = re.sub(r"[^A-Za-z0-9]+", "-", f"{driver}-{_where(each)}").strip("-") + unit
        names[next(name for name in _tries(base) if name not in names)] = None
    return [(name, driver, each) for name, (driver, each) in zip(names, ordered, strict=True)]


def _tries(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}-{number}" for number in range(2, 10_000))


def _where(found: Discovered) -> str:
    options = found.options
    if "url" in options:
        parts = urlsplit(str(options["url"]))
        return f"{parts.hostname}{'' if parts.port == 4840 else f'-{parts.port}'}"
    port = options.get("port")
    return f"{options.get('host') or options.get('serial', 'device')}{'' if port is None else f'-{port}'}"


def _place(found: Discovered) -> tuple[int, int, str]:
    """To sort by: addresses as numbers."""
    text = str(found.options.get("host") or urlsplit(str(found.options.get("url", ""))).hostname or "")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 9, 0, text
    return address.version, int(address), str(found.options.get("port") or found.options.get("url", ""))


def lines(found: Sequence[Found], drivers: Drivers) -> Iterator[str]:
    """The devices as TOML, with what they say of themselves as comments."""
    for name, driver, each in named(found):
        about = [cleaned(said, 300) for said in dict.fromkeys((each.name, *each.about)) if said]
        tags = {} if each.offers else each.tags
        yield from toml_text.device(name, driver, each.options, tags, [*about, _hint(name, each, drivers[driver].can)])
        if each.offers:
            yield from toml(each.offers)
            yield ""


def _hint(name: str, each: Discovered, can: Collection[str]) -> str:
    if "browse" in can:
        return f'more of it: edge-gateway browse "{name}" --format toml'
    tried = [str(options["address"]) for options in each.tags.values() if "address" in options]
    trying = f'; to try an address: edge-gateway probe "{name}" {tried[0]}' if tried and "guesses" in can else ""
    return f"what else it has, its manual tells{trying}"


def _entry(name: str, driver: str, each: Discovered) -> dict[str, Any]:
    return {
        "name": name, "driver": driver, "says": each.name, "about": list(each.about),
        "options": dict(each.options), "tags": {tag: dict(options) for tag, options in each.tags.items()},
        **({"offers": [entry(*offer) for offer in each.offers]} if each.offers else {}),
    }  # fmt: skip


def _port(text: str) -> int:
    if text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: a port is a number from 1 to 65535")


def _units(text: str) -> Sequence[int]:
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or not 0 <= int(first) <= int(last or first) <= 255:
            raise argparse.ArgumentTypeError(f'{text!r}: write unit ids from 0 to 255, such as "1-16" or "1,2,255"')
        found |= dict.fromkeys(range(int(first), int(last or first) + 1))
    return tuple(found)


def _seconds(text: str) -> float:
    return _number(text, 0.05, LONGEST)


def _rate(text: str) -> float:
    return _number(text, 0.1, FASTEST)


def _number(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number from {least:g} to {most:g}")
    return number


def find_on(ranges: Sequence[str]) -> list[tuple[dict[str, Any], list[str]]]:
    """What is found on these addresses, as the configuration writes a device with its tags, and what it says of itself; with
    the usual pace. Raises RangeError."""
    plan = Plan(addresses(ranges), _drivers(Plugins(), ()))
    progress, _ = find(plan)
    return [
        (
            {
                "name": name,
                "driver": driver,
                **each.options,
                "tags": {tag: dict(said) for tag, said in each.tags.items()},
            },
            [said for said in (each.name, *each.about) if said],
        )
        for name, driver, each in named(progress.found)
    ]
