"""What a device calls itself, and the finding of devices by asking for that."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from gateway.core.parsing import doubting
from gateway.core.quality import is_bad
from gateway.core.text import cleaned
from gateway.plugin import Device, DeviceConfig, DeviceError, Discovered, Driver, LinkError, Readings, Search, Tag, Tags
from gateway.plugin.driver import option_types

LOST = (LinkError, OSError, EOFError)
"""Nobody is there, or somebody else; TimeoutError is an OSError."""


def text_of(data: bytes, encoding: str = "ascii") -> str:
    """A name out of a device's answer, without what it is filled up with. Raises DeviceError for what is none."""
    with doubting(DeviceError):
        return cleaned(data.decode(encoding).strip("\0 "), 80)


async def find_devices(
    driver: type[Driver[Any, Any]], search: Search, ways: Sequence[Mapping[str, Any]], tag: Mapping[str, Any]
) -> AsyncIterator[Discovered]:
    """What answers `identify` at a place, for the `discover` of a driver: asked in each of these ways (options beside host),
    until one is answered. `tag` is one that most of such devices have; it is read, and told where it can be.

    A refusal is an answer too: whoever refuses in the protocol speaks it.
    """
    for port in search.ports or (None,):
        for way in ways if search.host else ():
            options = {"host": search.host, **way, **({} if port is None else {"port": port})}
            if (found := await _asked(driver, search, options, tag)) is not None:
                yield found
                break


async def _asked(
    driver: type[Driver[Any, Any]], search: Search, options: Mapping[str, Any], tag: Mapping[str, Any]
) -> Discovered | None:
    device = _device(driver, {**options, "timeout": f"{search.timeout:g}s"}, tag)
    line = driver([device])
    try:
        await search.turn()
        async with asyncio.timeout(search.timeout):
            await line.connect()
        try:
            return await _known(line, device, search, options, tag)
        finally:
            await line.close()
    except LOST:
        return None
    finally:
        line.release()


async def _known(
    line: Driver[Any, Any], device: Device, search: Search, options: Mapping[str, Any], tag: Mapping[str, Any]
) -> Discovered:
    await search.turn()
    name, about = "", []
    try:
        async with asyncio.timeout(search.timeout):
            name = await line.identify(device)
    except DeviceError as error:
        about.append(f"it does not say what it is: {error}")
    await search.turn()
    readable = False
    try:
        async with asyncio.timeout(search.timeout):
            values = await line.read(device.tags)
        readable = not is_bad(values.quality).any() if isinstance(values, Readings) else None not in list(values)
    except (DeviceError, *LOST) as error:
        about.append(f"its values cannot be read: {error}")
    return Discovered(options, {"first": dict(tag)} if readable else {}, name, about)


def _device(driver: type[Driver[Any, Any]], options: Mapping[str, Any], tag: Mapping[str, Any]) -> Device:
    device_type, tag_type = option_types(driver)
    config: DeviceConfig = device_type.model_validate({"name": "search", "driver": "search", **options})
    options_of_tag = tag_type.model_validate(dict(tag))
    bound = Tag(1, config.name, "first", options_of_tag.value_type(), "", "", config=options_of_tag)
    return Device(config.name, config.driver, Tags(config.name, [bound]), config=config)
