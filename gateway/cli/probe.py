"""`edge-gateway probe`: what an address of a device may mean, under every type and byte order, the likely ones first."""

import argparse
import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

from gateway.acquire.driving import close
from gateway.acquire.plausible import Ranked, rank, several
from gateway.acquire.probe_devices import unbound
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.loading import loaded
from gateway.cli.frame.terminal import colour, config_path, fail, joined, number, table
from gateway.config.mistakes import did_you_mean
from gateway.config.model import DeviceSpec
from gateway.core.errors import ConfigError, GatewayError
from gateway.operate.logs import only_errors
from gateway.plugin.driver import Driver
from gateway.plugin.guessing import Guess, Guessing
from gateway.supervise.keep_running import EXPECTED, told


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look, and what to expect there."""
    parser.add_argument("device", help="a device of the configuration")
    parser.add_argument("address", help='where to look, as tags write it, such as "40001" or "hr:0"')
    parser.add_argument("--count", type=int, default=4, help="how many registers from there on (default: 4)")
    parser.add_argument("--expect", metavar="LOW..HIGH", type=_span, help='what the value should be, such as "15..80"')
    parser.add_argument("--all", action="store_true", help="show also what is not plausible")


PLAUSIBLE = 0.2
"""Score from which on a guess is worth a try."""


@only_errors()
def run(args: argparse.Namespace) -> int:
    """Show the guesses; 1 when none fits, or the device cannot be read."""
    try:
        reads = _asked(args) or asyncio.run(_dialled(args))
    except (ConfigError, AnswerError) as error:
        fail(str(error))
        return 1
    except (GatewayError, *EXPECTED) as error:
        fail(f"{args.device}: {told(error)}")
        return 1
    ranked = rank(reads, args.expect)
    if args.json:
        print(json.dumps([_entry(each) for each in ranked], ensure_ascii=False))
    else:
        print(joined(lines(ranked, args.all, args.expect)))
    return 0 if fits(ranked, args.expect) else 1


def fits(ranked: Sequence[Ranked], expected: tuple[float, float] | None) -> bool:
    """Whether any of it may be what is looked for: a value within the range; without one, a number as plants have."""
    if expected is None:
        return any(each.score >= PLAUSIBLE for each in ranked)
    values = [each.guess.value for each in ranked]
    return any(isinstance(value, int | float) and expected[0] <= value <= expected[1] for value in values)


def lines(ranked: Sequence[Ranked], everything: bool, expected: tuple[float, float] | None = None) -> list[str]:
    """A table, and the best as a line of the configuration, or that nothing fits."""
    shown = ranked if everything else ranked[:12]
    if not shown:
        return ["nothing that these registers could mean"]
    cells = [
        (
            number(each.guess.value),
            *(str(each.guess.options.get(key, "")) for key in ("address", "type", "order")),
            f"{each.score:.2f}",
        )
        for each in shown
    ]
    head, *rest = table([("VALUE", "ADDRESS", "TYPE", "ORDER", "PLAUSIBLE"), *cells], right=(0, 4))
    left = [f"and {len(ranked) - len(shown)} more: --all"] if len(shown) < len(ranked) else []
    if fits(ranked, expected):
        return [colour(head, "bold"), *rest, *left, "", f"name = {_toml(shown[0].guess)}"]
    what = f"a value from {expected[0]:g} to {expected[1]:g}" if expected else "a number such as plants have"
    advice = "is the address right, or one off; is the value scaled, or does it stand in another table?"
    return [
        colour(head, "bold"),
        *rest,
        *left,
        "",
        colour(f"nothing fits: no type and order gives {what}: {advice}", "red"),
    ]


def _toml(guess: Guess) -> str:
    options = [f"{key} = {json.dumps(value)}" for key, value in guess.options.items()]
    return "{ " + ", ".join(options) + " }"


def _entry(ranked: Ranked) -> dict[str, Any]:
    return {**ranked.guess.options, "value": ranked.guess.value, "plausible": ranked.score}


def _span(text: str) -> tuple[float, float]:
    low, _, high = text.partition("..")
    try:
        span = float(low), float(high)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r}: write the lowest and the highest, such as "15..80"') from None
    if not span[0] < span[1]:
        raise argparse.ArgumentTypeError(f"{text!r}: the first number must be smaller than the second")
    return span


def _asked(args: argparse.Namespace) -> Sequence[Sequence[Guess]] | None:
    """The answer of the running gateway, which reads the device already; None when none is running."""
    try:
        answer = call(socket_path(args.socket), "probe", device=args.device, address=args.address, count=args.count)
    except NoGatewayError:
        return None
    return [[Guess(each["options"], each["value"]) for each in read] for read in answer]


async def _dialled(args: argparse.Namespace) -> Sequence[Sequence[Guess]]:
    spec, driver_type = _device(args)
    driver = driver_type([unbound(spec)])
    try:
        async with asyncio.timeout(spec.config.timeout):
            await driver.connect()
        try:
            return await several(lambda: cast(Guessing, driver).guesses(driver.devices[0], args.address, args.count))
        finally:
            await close(driver)
    finally:
        driver.release()


def _device(args: argparse.Namespace) -> tuple[DeviceSpec, type[Driver[Any, Any]]]:
    config, plugins = loaded(config_path(args.config))
    devices = {spec.config.name: spec for spec in config.devices}
    if args.device not in devices:
        raise GatewayError(f"there is no such device{did_you_mean(args.device, devices)}")
    spec = devices[args.device]
    driver_type = plugins.driver(spec.config.driver)
    if "guesses" not in driver_type.can:
        raise GatewayError(f'the driver "{spec.config.driver}" has nothing to guess: its devices tell their types')
    return spec, driver_type
