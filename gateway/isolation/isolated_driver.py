"""A driver that stands in the gateway for one that works in a process of its own."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from gateway.config.base import DeviceConfig
from gateway.config.secrets import known_of, variables_of
from gateway.core.device_event import Condition, DeviceEvent, Retained
from gateway.core.errors import LinkError, PluginError
from gateway.core.parsing import JsonObject, doubting
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.core.text import cleaned
from gateway.isolation import wire
from gateway.isolation.calls import AHEAD
from gateway.isolation.driver_process import POLITE, Process, Starts
from gateway.isolation.origin import DriverOrigin
from gateway.isolation.wire import FrameKind
from gateway.plugin.driver import Driver, Found, Values, option_types
from gateway.plugin.guessing import Guess
from gateway.plugin.hosts import LineHost

R = TypeVar("R")
MEMORY = 512 * 1024 * 1024


class Isolated(Driver[Any, Any]):
    """Made by `isolated`, which adds what the driver's own class can do. Each call goes to the process; what comes back is
    checked by those who call a driver, as always, and that it can be understood at all here."""

    origin: DriverOrigin
    memory: int
    kept: Process | None = None
    """The process of the line, which outlives its connections; without one each object has its own."""

    def __init__(self, devices: Sequence[Device], host: LineHost | None = None) -> None:
        super().__init__(devices, host)
        self._process = self.kept or Process(self.origin, devices[0].name, self.memory)
        self._books = _books(self._process)
        self._session = self._books.next_session()
        self._given: tuple[Device, ...] = ()
        self._introducing = asyncio.Lock()
        self._said: Mapping[str, Any] = {}

    @property
    def process(self) -> Process:
        """Where the driver works."""
        return self._process

    @property
    def counts(self) -> Mapping[str, int]:
        return self._of_itself("counts", {})

    @property
    def facts(self) -> Mapping[str, str | float]:
        return self._of_itself("facts", {})

    @property
    def remarks(self) -> Sequence[str]:
        return self._of_itself("remarks", [])

    def _of_itself(self, name: str, nothing: R) -> R:
        """What the driver last said of itself."""
        said = self._said.get(name, nothing)
        if isinstance(said, dict) and "cannot" in said:
            raise PluginError(cleaned(said["cannot"]))
        return said if isinstance(said, type(nothing)) else nothing

    async def prepare(self) -> None:
        """Have the process ready, before the time for connecting begins. Raises LinkError or PluginError."""
        variables = frozenset(name for device in self.devices for name in variables_of(device.config))
        await self._process.ready(variables)

    async def connect(self) -> None:
        await self.prepare()
        secrets: dict[str, str] = {}
        for device in self.devices:
            secrets |= known_of(device.config)
        self._process.hear[self._session] = self._heard
        await self._introduce()
        try:
            await self._process.calls.call("open", self._session, self._numbers(), secrets, self.host.state_dir)
        except asyncio.CancelledError:
            await self.close()  # it may be open by now
            raise

    async def close(self) -> None:
        """Ends the process when it does not close in time."""
        try:
            async with asyncio.timeout(POLITE):
                await self._process.calls.call("close", self._session)
        except TimeoutError:
            await self._process.put_down(f"did not close the connection within {POLITE:g} s")
        except LinkError:
            if self._process.pid is not None:
                raise

    def release(self) -> None:
        self._process.hear.pop(self._session, None)
        self._process.calls.notify("release", self._session)
        if self.kept is None:
            self._process.abandon()
        super().release()

    async def _read(self, tags: Tags) -> Values:
        if self._given is not self.devices:
            await self._introduce()
        number = self._books.tags.get(tags)
        if number is None or self._books.born != self._process.born:
            number = self._introduce_tags(tags)
        data = await self._process.calls.ask(FrameKind.READ, wire.READ.pack(self._session, number))
        with self._understood():
            if data[8] == FrameKind.BLOCK:
                return wire.block_of(data, self._books.devices)
            return wire.values_of(data)

    async def _stream(self) -> AsyncIterator[Values]:
        await self._introduce()
        number, inflow = self._process.calls.inflow("stream", self._session)
        try:
            taken = 0
            while True:
                data = await inflow.next()
                with self._understood():
                    block = wire.block_of(data, self._books.devices)
                yield block
                taken += 1
                if not taken % (AHEAD // 2):
                    self._process.calls.more(number, AHEAD // 2)
        except StopAsyncIteration:
            return
        finally:
            await self._process.calls.end_inflow(number)

    async def _history(self, tag: Tag, from_ns: int, to_ns: int) -> AsyncGenerator[Readings, None]:
        await self._introduce()
        number, inflow = self._process.calls.inflow("history", self._session, tag.device, tag.name, from_ns, to_ns)
        try:
            while True:
                data = await inflow.next()
                with self._understood():
                    block = wire.block_of(data, self._books.devices)
                yield block
                self._process.calls.more(number, 1)
        except StopAsyncIteration:
            return
        finally:
            await self._process.calls.end_inflow(number)

    async def _browse(self) -> AsyncIterator[tuple[str, Found]]:
        async with aclosing(self._offers("browse")) as offers:
            async for offer in offers:
                yield offer

    async def _browse_types(self) -> AsyncIterator[tuple[str, Found]]:
        async with aclosing(self._offers("browse_types")) as offers:
            async for offer in offers:
                yield offer

    async def _offers(self, method: str) -> AsyncGenerator[tuple[str, Found], None]:
        number, inflow = self._process.calls.inflow(method, self._session)
        try:
            while True:
                data = await inflow.next()
                with self._understood():
                    offers = [(str(address), Found(*what)) for address, *what in wire.rows(wire.said(data), 7)]
                for offer in offers:
                    yield offer
                self._process.calls.more(number, 1)
        except StopAsyncIteration:
            return
        finally:
            await self._process.calls.end_inflow(number)

    async def _describe(self) -> Mapping[Tag, Found]:
        answer = await self._process.calls.call("describe", self._session)
        tags = {(tag.device, tag.name): tag for device in self.devices for tag in device.tags}
        with self._understood():
            return {
                tags[device, tag]: Found(*what)
                for device, tag, *what in wire.rows(answer, 6)
                if (device, tag) in tags and all(isinstance(each, str) for each in what)
            }

    async def _write(self, tag: Tag, value: float | bool | int | str) -> None:
        await self._asked("write", tag.device, tag.name, value)

    async def _acknowledge(self, device: Device, condition: str, event: str, comment: str) -> None:
        await self._asked("acknowledge", device.name, condition, event, comment)

    async def _call(
        self, device: Device, target: str, method: str, arguments: Sequence[Any]
    ) -> Sequence[tuple[str, Any]]:
        answer = await self._asked("call_method", device.name, target, method, list(arguments))
        with self._understood():
            return [(name, value) for name, value in wire.rows(answer, 2)]

    async def _guesses(self, device: Device, address: str, count: int) -> Sequence[Guess]:
        answer = await self._asked("guesses", device.name, address, count)
        with self._understood():
            return [Guess(dict(options), value) for options, value in wire.rows(answer, 2)]

    async def _asked(self, method: str, *args: Any) -> Any:
        if self._given is not self.devices:
            await self._introduce()
        return await self._process.calls.call(method, self._session, *args)

    def _understood(self) -> "doubting_process":
        return doubting_process(self._process)

    # What the process has to know.

    def _numbers(self) -> list[int]:
        return [self._books.numbers[device] for device in self.devices]

    async def _introduce(self) -> None:
        """Hand over the devices, as they are now."""
        async with self._introducing:
            if self._given is not self.devices:
                await self._introduce_new()

    async def _introduce_new(self) -> None:
        books, devices = self._books, self.devices
        if books.born != self._process.born:
            books.begin(self._process.born)
        new = [(books.number(), device) for device in devices if device not in books.numbers]
        many = sum(len(device.tags) for _, device in new) > _MANY
        pickled = await asyncio.to_thread(_pickled, new) if many else _pickled(new)
        for number, device in new:
            books.add(number, device)
        gone = books.keep(devices)
        self._process.calls.notify("introduce", self._session, self._numbers(), pickled, gone)
        self._given = devices

    def _introduce_tags(self, tags: Tags) -> int:
        books = self._books
        device = next((device for device in self.devices if device.name == tags.device), None)
        if device is None or books.born != self._process.born:
            raise LinkError("its process was started anew")
        number, gone = books.add_tags(tags)
        names = None if tags is device.tags else [tag.name for tag in tags]
        self._process.calls.notify("introduce_tags", number, books.numbers[device], names, gone)
        return number

    # What it says unasked.

    def _heard(self, data: bytes) -> None:
        with suppress(LinkError), self._understood():
            if data[8] == FrameKind.BROUGHT:
                self.host.bring(wire.block_of(data, self._books.devices))
                return
            said = wire.said(data)
            match said["what"]:
                case "alive":
                    self.host.alive()
                case "told":
                    self.host.tell(_told(said["event"]))
                case "not_told":
                    self.host.tell(PluginError(cleaned(said["why"])))  # type: ignore[arg-type]
                case "not_brought":
                    self.host.bring(PluginError(cleaned(said["why"])))  # type: ignore[arg-type]
                case "of_itself":
                    self._said = {str(name): value for name, value in said["said"].items()}


class doubting_process:  # noqa: N801 - a context manager that reads as a word
    """What was sent within and cannot be understood ends the process, as LinkError."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._doubting = doubting(LinkError)

    def __enter__(self) -> None:
        self._doubting.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            self._process.refuse(str(error))
        self._doubting.__exit__(kind, error, trace)


def _told(event: JsonObject) -> Any:
    """An event out of JSON; what its parts are is checked by who takes it."""
    if "conditions" in event:
        return Retained(event["device"], frozenset(map(str, event["conditions"])))
    condition = event.pop("condition")
    return DeviceEvent(**event, condition=Condition(**condition) if condition else None)


class _Books:
    """What a process was given, by number: of its present life."""

    def __init__(self) -> None:
        self.born = 0
        self.numbers: dict[Device, int] = {}
        self.devices: dict[int, Device] = {}
        self.tags: weakref.WeakKeyDictionary[Tags, int] = weakref.WeakKeyDictionary()
        self._number = 0
        self._session = 0
        self._gone: list[int] = []

    def next_session(self) -> int:
        self._session += 1
        return self._session

    def begin(self, born: int) -> None:
        """A new process knows nothing."""
        self.born = born
        for known in (self.numbers, self.devices, self.tags, self._gone):
            known.clear()

    def number(self) -> int:
        """One that nothing has yet."""
        self._number += 1
        return self._number

    def add(self, number: int, device: Device) -> None:
        """The process knows this device now."""
        self.numbers[device] = number
        self.devices[number] = device

    def keep(self, devices: Sequence[Device]) -> list[int]:
        """Forget all other devices; their numbers."""
        gone = [number for number, device in self.devices.items() if device not in devices]
        for number in gone:
            del self.numbers[self.devices.pop(number)]
        return gone

    def add_tags(self, tags: Tags) -> tuple[int, list[int]]:
        """The number of these, and those of others that are there no more."""
        number = self.tags[tags] = self.number()
        weakref.finalize(tags, self._gone.append, number).atexit = False
        gone = [*self._gone]
        self._gone.clear()
        return number, gone


_MANY = 300
"""Tags that are not pickled in the event loop, but in a thread: it takes milliseconds."""
_all_books: "weakref.WeakKeyDictionary[Process, _Books]" = weakref.WeakKeyDictionary()


def _books(process: Process) -> _Books:
    return _all_books.setdefault(process, _Books())


def _pickled(devices: list[tuple[int, Device]]) -> bytes:
    import pickle

    try:
        return pickle.dumps(devices, 5)
    except Exception as error:
        raise PluginError(
            f'its options cannot be handed to another process ({cleaned(error)}): write run_in = "gateway"'
        ) from error


_FORWARDED = (
    "read",
    "stream",
    "browse",
    "browse_types",
    "history",
    "describe",
    "write",
    "acknowledge",
    "call",
    "guesses",
)
_OF_THE_CLASS = ("line_key", "plan", "doubts", "methods", "subscribes")


def isolated(
    driver_type: type[Driver[Any, Any]], memory: int = MEMORY, process: Process | None = None
) -> type[Isolated]:
    """The driver's class, with each object, or all of them, in a process of their own. Raises PluginError for a class that
    no other process could load."""
    body: dict[str, object] = {
        "__module__": driver_type.__module__,
        "__qualname__": driver_type.__qualname__,
        "__doc__": driver_type.__doc__,
        "__orig_bases__": (Driver[option_types(driver_type)],),  # type: ignore[misc]
        "origin": DriverOrigin.of(driver_type),
        "memory": memory,
        "kept": process,
        "writes_beside_reads": driver_type.writes_beside_reads,
        "takes_turns": driver_type.takes_turns,
        "can": driver_type.can,
    }
    body |= {name: staticmethod(getattr(driver_type, name)) for name in _OF_THE_CLASS}
    if "discover" in driver_type.can:
        body["discover"] = staticmethod(driver_type.discover)  # type: ignore[attr-defined]
    for name in _FORWARDED:
        if getattr(driver_type, name, None) is not getattr(Driver, name, None):
            body[name] = vars(Isolated)[f"_{name}"]
    return type(driver_type.__name__, (Isolated,), body)


def placed(
    driver_type: type[Driver[Any, Any]], configs: Sequence[DeviceConfig], starts: Starts | None = None
) -> type[Driver[Any, Any]]:
    """The class to make drivers of for a line of these devices: the very one, or, as soon as one of them is to run in a
    process, one whose objects share a process. Raises PluginError as `isolated`."""
    if not any(config.run_in == "process" for config in configs):
        return driver_type
    memory = max(config.process_memory for config in configs)
    process = Process(DriverOrigin.of(driver_type), configs[0].name, memory, starts)
    return isolated(driver_type, memory, process)


def refusal(driver_type: type[Driver[Any, Any]], device: Device) -> str:
    """Why a device cannot be read by a driver in a process of its own; empty when it can."""
    try:
        DriverOrigin.of(driver_type)
        _pickled([(0, device)])
    except PluginError as error:
        return str(error)
    return ""
