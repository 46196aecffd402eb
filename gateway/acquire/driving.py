"""What is asked of a driver beside reading: its end, its subscription, what its device offers, and what it says of itself."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import structlog

from gateway.core.errors import DeviceError, PluginError
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag
from gateway.core.text import cleaned
from gateway.plugin import checked
from gateway.plugin.driver import Driver, Found
from gateway.supervise import alone, containing
from gateway.supervise.keep_running import told

CLOSE_TIMEOUT = 3.0

T = TypeVar("T")


class OfItself:
    """What a line's driver says of itself; where it cannot, that is told instead."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._odd: dict[str, str] = {}

    def ask(self, driver: Driver[Any, Any] | None, name: str, check: Callable[[Any], T]) -> T | None:
        """A property of the driver, checked; None without a driver, and where it raises."""
        if driver is None:
            return None
        try:
            with containing():
                said = check(getattr(driver, name))
        except Exception as error:  # noqa: BLE001 - a plugin's property
            if name not in self._odd:
                self._log.error("the driver cannot tell of itself", what=name, exc_info=error)
            self._odd[name] = cleaned(told(error))
            return None
        self._odd.pop(name, None)
        return said

    @property
    def remarks(self) -> list[str]:
        """What it cannot tell, and why."""
        return [f"the driver cannot tell its {name}: {why}" for name, why in self._odd.items()]


async def close(driver: Driver[Any, Any], log: Any = None) -> None:
    """Close, for at most so long. Never raises: how a connection ended is known already."""
    log = log or structlog.get_logger()
    closing = alone(driver.close)
    closing.add_done_callback(lambda task: task.cancelled() or task.exception())  # also of one that is left
    try:
        done, _ = await asyncio.wait([closing], timeout=CLOSE_TIMEOUT)
    finally:
        closing.cancel()
    if not done:
        log.warning("closing took too long, the connection was left", seconds=CLOSE_TIMEOUT)
    elif not closing.cancelled() and (error := closing.exception()):
        log.error("the driver's close failed", exc_info=error)


def stream(driver: Driver[Any, Any]) -> AsyncGenerator[Readings, None]:
    """The driver's subscription."""
    blocks = driver.stream()
    if not isinstance(blocks, AsyncGenerator):
        raise PluginError("stream is no async generator: write async def stream(self) with yield in it")
    return blocks


async def recorded(
    driver: Driver[Any, Any], device: Device, tag: Tag, from_ns: int, to_ns: int, most: int, now_ns: int
) -> tuple[list[Readings], bool]:
    """About so many readings that a device has recorded of a tag in a span of time, checked, and whether these are all."""
    blocks: list[Readings] = []
    count = 0
    history = driver.history(tag, from_ns, to_ns)
    if not isinstance(history, AsyncGenerator):
        raise PluginError("history is no async generator: write async def history(self, …) with yield in it")
    async with aclosing(history):
        async for block in history:
            blocks.append(checked.readings(block, device, now_ns))
            count += len(block)
            if count >= most:
                return blocks, False
    return blocks, True


async def offers(driver: Driver[Any, Any], *, types: bool = False) -> list[tuple[str, Found]]:
    """All that a driver browses, or of what has a type that it knows, checked. Raises DeviceError for what has no end."""
    found_all = []
    async for address, found in driver.browse_types() if types else driver.browse():
        found_all.append(checked.offer(address, found))
        if len(found_all) >= checked.OFFERS:
            raise DeviceError(f"it offers more than {checked.OFFERS} places: is it a circle?")
        if not len(found_all) % 1000:
            await asyncio.sleep(0)
    return found_all
