"""Dials devices and reads each once, for `check --connect`; nothing of it is kept."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from gateway.acquire.condition import Conditioner
from gateway.acquire.driving import close, stream
from gateway.acquire.values import as_readings
from gateway.config.model import DeviceSpec
from gateway.core.clock import Clock
from gateway.core.errors import DeviceError, LinkError
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.core.text import cleaned
from gateway.isolation import Isolated, placed
from gateway.plugin import checked
from gateway.plugin.driver import Driver, Found
from gateway.plugin.hosts import LineHost
from gateway.supervise import Foreign, contained
from gateway.supervise.keep_running import EXPECTED, told

DESCRIBE = 10.0
"""Seconds that a device may take at least to describe its tags."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device said."""

    device: str
    readings: Readings | None
    """One reading per tag, conditioned; of a device that only reports changes, those that came in time."""
    reason: str
    """Why there are no readings; empty when there are."""
    says: str = ""
    """What it calls itself; empty where it does not say."""

    remarks: Sequence[str] = ()
    """What the driver says of the connection that works, such as why it has no value for some of the tags."""


def unbound(spec: DeviceSpec, found: Mapping[str, Found] | None = None) -> Device:
    """The device as a driver sees it, with numbers of tags that stand in no log."""
    name = spec.config.name
    tags = []
    for number, (tag, config) in enumerate(spec.tags.items(), 1):
        told = (found or {}).get(tag, Found(""))
        kind = "float64" if config.scaled else config.value_type() or told.type
        unit, description = config.unit or told.unit, config.description or told.description
        tags.append(Tag(number, name, tag, kind, unit, description, config=config))
    return Device(name, spec.config.driver, Tags(name, tags), config=spec.config)


async def probe(
    specs: Sequence[DeviceSpec], driver_type: type[Driver[Any, Any]], clock: Clock, state_dir: Path | None = None
) -> list[Answer]:
    """What the devices of one line say, over one connection. Never raises for what a device or its driver does."""
    try:
        return await contained(_with_driver(specs, driver_type, clock, state_dir))
    except Exception as error:  # noqa: BLE001 - a driver can raise anything, and the person is to see it
        return [Answer(spec.config.name, None, _reason(error)) for spec in specs]


async def _with_driver(
    specs: Sequence[DeviceSpec], driver_type: type[Driver[Any, Any]], clock: Clock, state_dir: Path | None
) -> list[Answer]:
    host = LineHost(specs[0].config.name, state_dir)
    driver = placed(driver_type, [spec.config for spec in specs])([unbound(spec) for spec in specs], host)
    try:
        if isinstance(driver, Isolated):
            await driver.prepare()
        return await _over(driver, specs, clock, Foreign(structlog.get_logger()))
    except Exception as error:
        if isinstance(driver, Isolated) and (end := driver.process.epitaph()):
            raise LinkError(end) from error
        raise
    finally:
        driver.release()
        if isinstance(driver, Isolated):
            await driver.process.end()


async def _over(driver: Driver[Any, Any], specs: Sequence[DeviceSpec], clock: Clock, foreign: Foreign) -> list[Answer]:
    timeout = specs[0].config.timeout
    async with _limit(timeout, "no connection"):
        await foreign.call(lambda: driver.connect())
    try:
        async with _limit(max(timeout, DESCRIBE), "no description of the tags"):
            found = checked.described(await foreign.call(lambda: driver.describe()))
        devices = [
            unbound(spec, {tag.name: told for tag, told in found.items() if tag.device == spec.config.name})
            for spec in specs
        ]
        driver.redefine(devices)
        pairs = list(zip(devices, specs, strict=True))
        answers = [await _read(driver, device, spec, clock, foreign) for device, spec in pairs]
        remarks = checked.remarks(driver.remarks)
        return [
            replace(answer, says=await _identity(driver, device, spec, foreign), remarks=remarks)
            for answer, (device, spec) in zip(answers, pairs, strict=True)
        ]
    finally:
        await close(driver, structlog.get_logger().bind(line=specs[0].config.name))


async def _read(driver: Driver[Any, Any], device: Device, spec: DeviceSpec, clock: Clock, foreign: Foreign) -> Answer:
    try:
        async with _limit(spec.config.timeout, "no answer"):
            if "read" in driver.can:
                values = await foreign.call(lambda: driver.read(device.tags))
            else:
                values = await foreign.call(lambda: _first(driver))
            readings = as_readings(device, device.tags, values, clock.wall_ns())
    except DeviceError as error:
        return Answer(device.name, None, _reason(error))
    return Answer(device.name, Conditioner(device, spec.tags).scale(readings), "")


async def _identity(driver: Driver[Any, Any], device: Device, spec: DeviceSpec, foreign: Foreign) -> str:
    """After the values, since a device that does not know this request may hang up."""
    try:
        async with _limit(spec.config.timeout, "no answer"):
            return cleaned(await foreign.call(lambda: driver.identify(device)), 80)
    except EXPECTED:
        return ""


async def _first(driver: Driver[Any, Any]) -> Readings:
    async with aclosing(stream(driver)) as readings:
        return await anext(readings)


@asynccontextmanager
async def _limit(seconds: float, what: str) -> AsyncIterator[None]:
    """A time-out that says what did not come."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"{what} within {seconds:g} s") from error


def _reason(error: Exception) -> str:
    return cleaned(told(error) if isinstance(error, EXPECTED) else f"{told(error)} (a bug of the driver)")
