"""What people ask of a device, over the line that is open. All raise DeviceError or LinkError with the reason."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from gateway.acquire.line import Line
from gateway.acquire.values import as_readings
from gateway.core.errors import DeviceError
from gateway.core.readings import Readings
from gateway.core.tag import Tag, Tags
from gateway.plugin import checked
from gateway.plugin.driver import Ability, Found
from gateway.plugin.guessing import Guess, Guessing
from gateway.supervise import containing

BROWSE_TIMEOUT = 60.0
"""Seconds that a device may take to tell all that it offers."""
HISTORY_TIMEOUT = 60.0
"""Seconds that it may take to tell a portion of what it has recorded."""
KNOWS_NO_TYPES = "its driver knows no types of devices: browse without --types shows all that it has"


def _require(line: Line, ability: Ability, otherwise: str) -> None:
    if ability not in line.driver_type.can:
        raise DeviceError(otherwise)


async def read(line: Line, device: str, tags: Tags) -> Readings:
    """Read now, out of turn."""
    source, type_ = line.sources[device], line.driver_type
    _require(line, "read", f"{device} is subscribed; its driver cannot read at once, so the last value stands")
    values = await line.ask(source, lambda driver: driver.read(tags), type_.takes_turns)
    with containing():
        return source.conditioned(as_readings(source.device, tags, values, source.now()))


async def write(line: Line, tag: Tag, value: float | bool | int | str) -> None:
    """Write a value in the device's own unit, before all waiting reads."""
    _require(line, "write", f"{tag.device} cannot be written: its driver does not write")
    beside_reads = line.driver_type.writes_beside_reads
    await line.ask(line.sources[tag.device], lambda driver: driver.write(tag, value), beside_reads)


async def acknowledge(line: Line, device: str, condition: str, event: str, comment: str) -> None:
    """Acknowledge a condition of the device."""
    _require(line, "acknowledge", f"{device}: its driver acknowledges nothing")
    source = line.sources[device]
    await line.ask(source, lambda driver: driver.acknowledge(source.device, condition, event, comment))


def methods(line: Line, device: str) -> Mapping[str, Sequence[str]]:
    """What the device's config allows to be called."""
    with containing():
        return checked.methods(line.driver_type.methods(line.sources[device].spec.config))


async def call(
    line: Line, device: str, target: str, method: str, arguments: Sequence[Any]
) -> Sequence[tuple[str, Any]]:
    """Call a method of the device."""
    _require(line, "call", f"{device}: its driver has no methods to call")
    source = line.sources[device]
    results: Sequence[tuple[str, Any]] = await line.ask(
        source, lambda driver: driver.call(source.device, target, method, arguments)
    )
    with containing():
        return checked.results(results)


async def guesses(line: Line, device: str, address: str, count: int) -> Sequence[Guess]:
    """What the driver guesses of an address of the device."""
    _require(line, "guesses", f"{device}: its driver has nothing to guess: its devices tell their types")
    source = line.sources[device]
    found: Sequence[Guess] = await line.ask(
        source,
        lambda driver: cast(Guessing, driver).guesses(source.device, address, count),
        line.driver_type.takes_turns,
    )
    with containing():
        return checked.guesses(found)


def has_history(line: Line, device: str) -> None:
    """Raises DeviceError where the driver has none to give."""
    _require(line, "history", f"{device}: its driver knows no history of devices")


async def recorded(
    line: Line, device: str, name: str, from_ns: int, to_ns: int, most: int
) -> tuple[list[Readings], bool]:
    """About so many readings that the device has recorded of a tag in this span, and whether these are all."""
    has_history(line, device)
    source = line.sources[device]
    tag = next((tag for tag in source.device.tags if tag.name == name), None)
    if tag is None:
        raise DeviceError(f'{device} has no tag "{name}" any more')
    async with asyncio.timeout(HISTORY_TIMEOUT):
        return await line.recorded(source, tag, from_ns, to_ns, most)


async def browse(line: Line, device: str, *, types: bool = False) -> list[tuple[str, Found]] | None:
    """What the device offers, or what of it has a type that is known; None while the line is not connected."""
    _require(line, "browse", f"{device}: its driver cannot browse")
    if types:
        _require(line, "browse_types", f"{device}: {KNOWS_NO_TYPES}")
    async with asyncio.timeout(BROWSE_TIMEOUT):
        return await line.offers(types=types)
