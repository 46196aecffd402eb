"""In the process of a driver: the driver, its devices and its calls."""

import asyncio
import pickle
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

import structlog

from gateway.config.secrets import adopt
from gateway.core.device_event import Retained
from gateway.core.errors import LinkError, PluginError
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.isolation import wire
from gateway.isolation.calls import AHEAD
from gateway.isolation.failures import failure
from gateway.isolation.wire import FrameKind
from gateway.plugin import checked
from gateway.plugin.driver import Driver, Found
from gateway.plugin.guessing import Guessing
from gateway.plugin.hosts import Memory, OpenLineHost
from gateway.plugin.sound import sound
from gateway.supervise import containing
from gateway.supervise.foreign import place
from gateway.supervise.keep_running import told

LOOK = 1.0
"""Seconds between two looks at what a driver says of itself, on the occasion of its answers."""
ALIVE = 0.1
"""Signs of life that follow each other sooner are one."""
DEAF = 0.6
"""Seconds after which a call that goes on though it was cancelled is named, before the gateway ends this process."""
OFFERS = 200
"""Places in one part of what is browsed."""

_AT_ONCE = ("introduce", "introduce_tags", "release")


class Outlet(Protocol):
    """The way to the gateway."""

    def send(self, kind: FrameKind, number: int, *body: bytes) -> None:
        """Send a frame; from the loop's thread."""
        ...


class DriverSession:
    """One connection: a driver, and what it says unasked."""

    def __init__(
        self,
        number: int,
        outlet: Outlet,
        driver_type: type[Driver[Any, Any]],
        devices: Sequence[Device],
        state_dir: Path,
        memory: Memory,
        block: Callable[[Any], list[bytes]],
    ) -> None:
        self._number = number
        self._block = block
        self._outlet = outlet
        self._alive_at = 0.0
        self._looked = 0.0
        self._last: Any = None
        self.open = False
        self.driver = driver_type(devices, OpenLineHost(self, devices[0].name, state_dir, memory))

    def alive(self) -> None:
        """The driver has seen a sign of life."""
        now = time.monotonic()
        if now - self._alive_at > ALIVE:
            self._alive_at = now
            self._say({"what": "alive"})

    def told(self, what: Any) -> None:
        """The driver tells of a device."""
        try:
            with containing():
                event = checked.told(what, {device.name for device in self.driver.devices}, time.time_ns())
            if isinstance(event, Retained):
                body: Mapping[str, object] = {"device": event.device, "conditions": sorted(event.conditions)}
            else:
                body = asdict(event)
            self._say({"what": "told", "event": body})
        except Exception as error:  # noqa: BLE001 - it is told, and counted, over there
            self._say({"what": "not_told", "why": told(error)})

    def brought(self, readings: Any) -> None:
        """The driver has values between two polls."""
        try:
            with containing():
                self._outlet.send(FrameKind.BROUGHT, self._number, *self._block(readings))
        except Exception as error:  # noqa: BLE001 - it is told, and counted, over there
            self._say({"what": "not_brought", "why": told(error)})

    def _say(self, said: Mapping[str, Any]) -> None:
        self._outlet.send(FrameKind.SAID, self._number, wire.as_json(said))

    def look(self, at_once: bool = False) -> None:
        """Tell what the driver says of itself, where that has changed."""
        now = time.monotonic()
        if not self.open or (now - self._looked < LOOK and not at_once):
            return
        self._looked = now
        said = {
            name: self._of_itself(name, check)
            for name, check in (("counts", checked.counts), ("facts", checked.facts), ("remarks", checked.remarks))
        }
        if said != self._last:
            self._last = said
            self._say({"what": "of_itself", "said": said})

    def _of_itself(self, name: str, check: Callable[[Any], Any]) -> Any:
        try:
            with containing():
                return check(getattr(self.driver, name))
        except Exception as error:  # noqa: BLE001 - a plugin's property
            return {"cannot": told(error)}


class Served:
    """Carries out what the gateway asks for, each call in a task of its own, and sends what comes of it."""

    def __init__(self, driver_type: type[Driver[Any, Any]], outlet: Outlet) -> None:
        self._driver_type = driver_type
        self._outlet = outlet
        self._devices: dict[int, Device] = {}
        self._tags: dict[int, Tags] = {}
        self._sessions: dict[int, DriverSession] = {}
        self._memory: Memory = {}
        """What one connection leaves for the next; of this process."""
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._granted: dict[int, asyncio.Semaphore] = {}
        """Parts that a stream may send."""

    def take(self, kind: FrameKind, number: int, frame: bytes) -> None:
        """A frame of the gateway."""
        if kind is FrameKind.READ:
            session, tags = wire.READ.unpack_from(frame, wire.BODY)
            self._begin(number, self._outcome(number, session, self._read(number, session, tags)))
        elif kind is FrameKind.CANCEL:
            self._cancel(number)
        elif kind is FrameKind.MORE:
            (count,) = wire.NUMBER.unpack_from(frame, wire.BODY)
            for _ in range(count if number in self._granted else 0):
                self._granted[number].release()
        else:
            method, args = pickle.loads(frame[wire.BODY :])
            self._call(number, method, args)

    def _call(self, number: int, method: str, args: tuple[Any, ...]) -> None:
        if method in _AT_ONCE:
            getattr(self, f"_{method}")(*args)
        elif method in ("stream", "browse", "browse_types", "history"):
            self._granted[number] = asyncio.Semaphore(AHEAD)
            self._begin(number, self._outcome(number, args[0], self._flow(number, method, *args)))
        else:
            self._begin(number, self._outcome(number, args[0], self._answer(number, method, *args)))

    def _begin(self, number: int, call: Coroutine[Any, Any, None]) -> None:
        task = self._calls[number] = asyncio.get_running_loop().create_task(call)
        task.add_done_callback(lambda _: self._ended(number, call))

    def _ended(self, number: int, call: Coroutine[Any, Any, None]) -> None:
        call.close()  # of one that was cancelled before its first step
        del self._calls[number]
        self._granted.pop(number, None)

    def _cancel(self, number: int) -> None:
        if (task := self._calls.get(number)) is None:
            return  # its answer is on the way
        task.cancel()

        asyncio.get_running_loop().call_later(DEAF, _say_deaf, task)

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled():
                self._fail(number, LinkError("cancelled"))

        task.add_done_callback(ended)

    def _fail(self, number: int, error: Exception) -> None:
        self._outlet.send(FrameKind.FAILED, number, wire.as_json(failure(error)))

    async def _outcome(self, number: int, session: int, call: Awaitable[None]) -> None:
        """Have the call made, which sends its result; send its error when it raises."""
        try:
            with containing():
                await call
        except Exception as error:  # noqa: BLE001 - judged in the gateway
            if opened := self._sessions.get(session):
                opened.look(at_once=True)
            self._fail(number, error)

    async def _read(self, number: int, session: int, tags: int) -> None:
        opened, wanted = self._sessions[session], self._tags[tags]
        values = await opened.driver.read(wanted)
        opened.look()
        if isinstance(values, Readings):
            self._outlet.send(FrameKind.BLOCK, number, *self._block(values))
        else:
            self._outlet.send(FrameKind.VALUES, number, *wire.values_body(values, len(wanted)))

    def _block(self, block: Any) -> list[bytes]:
        device = block.device if isinstance(block, Readings) else None
        number = next((number for number, known in self._devices.items() if known is device), None)
        if device is None or number is None:
            raise PluginError("stream yielded what is no Readings of a device of this line")
        return wire.block_body(checked.readings(block, device, time.time_ns()), number)

    async def _answer(self, number: int, method: str, session: int, *args: Any) -> None:
        answer = await getattr(self, f"_{method}")(session, *args)
        if opened := self._sessions.get(session):
            opened.look()
        self._outlet.send(FrameKind.DONE, number, wire.as_json(answer))

    async def _blocks(self, number: int, session: DriverSession, yielded: AsyncIterator[Readings]) -> None:
        async with aclosing(yielded) as blocks:  # type: ignore[type-var]
            async for block in blocks:
                session.look()
                self._outlet.send(FrameKind.BLOCK, number, *self._block(block))
                await self._granted[number].acquire()

    async def _browse(self, number: int, offered: AsyncIterator[tuple[str, Found]]) -> None:
        part: list[Any] = []
        async with aclosing(offered) as offers:  # type: ignore[type-var]
            async for address, found in offers:
                named, what = checked.offer(address, found)
                part.append([named, what.type, what.unit, what.description, what.path, what.role, what.group])
                if len(part) >= OFFERS:
                    self._outlet.send(FrameKind.PART, number, wire.as_json(part))
                    part = []
                    await self._granted[number].acquire()
        self._outlet.send(FrameKind.PART, number, wire.as_json(part))

    async def _flow(self, number: int, method: str, session: int, *args: Any) -> None:
        opened = self._sessions[session]
        driver = opened.driver
        match method:
            case "stream":
                await self._blocks(number, opened, driver.stream())
            case "history":
                device, tag, from_ns, to_ns = args
                await self._blocks(number, opened, driver.history(self._tag(session, device, tag), from_ns, to_ns))
            case _:
                await self._browse(number, driver.browse_types() if method == "browse_types" else driver.browse())
        self._outlet.send(FrameKind.DONE, number, b"null")

    # What the gateway calls, by name.

    def _introduce(self, session: int, now: Sequence[int], pickled: bytes, gone: Sequence[int]) -> None:
        self._devices |= dict(pickle.loads(pickled))
        for number in gone:
            del self._devices[number]
        if session in self._sessions:
            self._sessions[session].driver.redefine([self._devices[number] for number in now])

    def _introduce_tags(self, number: int, device: int, names: Sequence[str] | None, gone: Sequence[int]) -> None:
        for each in gone:
            self._tags.pop(each, None)
        found = self._devices[device]
        if names is None:
            tags = found.tags
        else:
            known = {tag.name: tag for tag in found.tags}
            tags = Tags(found.name, [known[name] for name in names])
        self._tags[number] = tags

    def _release(self, session: int) -> None:
        if (ended := self._sessions.pop(session, None)) is not None:
            ended.driver.release()

    async def _open(self, session: int, devices: Sequence[int], secrets: Mapping[str, str], state_dir: Path) -> None:
        adopt(secrets)
        known = [self._devices[number] for number in devices]
        opened = DriverSession(session, self._outlet, self._driver_type, known, state_dir, self._memory, self._block)
        self._sessions[session] = opened
        await opened.driver.connect()
        opened.open = True
        opened.look(at_once=True)

    async def _close(self, session: int) -> None:
        opened = self._sessions.get(session)
        if opened is not None and opened.open:
            opened.look(at_once=True)
            opened.open = False
            await opened.driver.close()

    async def _describe(self, session: int) -> list[Any]:
        found = checked.described(await self._sessions[session].driver.describe())
        return [
            [tag.device, tag.name, what.type, what.unit, what.description, what.path] for tag, what in found.items()
        ]

    async def _write(self, session: int, device: str, tag: str, value: float | bool | int | str) -> None:
        await self._sessions[session].driver.write(self._tag(session, device, tag), value)

    async def _acknowledge(self, session: int, device: str, condition: str, event: str, comment: str) -> None:
        await self._sessions[session].driver.acknowledge(self._device(session, device), condition, event, comment)

    async def _call_method(
        self, session: int, device: str, target: str, method: str, arguments: Sequence[Any]
    ) -> list[Any]:
        found = await self._sessions[session].driver.call(self._device(session, device), target, method, arguments)
        return [[name, value] for name, value in checked.results(found)]

    async def _guesses(self, session: int, device: str, address: str, count: int) -> list[Any]:
        guessing = cast(Guessing, self._sessions[session].driver)
        found = await guessing.guesses(self._device(session, device), address, count)
        return [[dict(guess.options), sound(guess.value)] for guess in checked.guesses(found)]

    def _device(self, session: int, name: str) -> Device:
        return next(device for device in self._sessions[session].driver.devices if device.name == name)

    def _tag(self, session: int, device: str, name: str) -> Tag:
        return next(tag for tag in self._device(session, device).tags if tag.name == name)


def _say_deaf(task: asyncio.Task[None]) -> None:
    if not task.done():
        structlog.get_logger().warning("a call does not end although it was cancelled", at=place(task))
