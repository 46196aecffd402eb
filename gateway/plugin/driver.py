"""The contract of a driver."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, ParamSpec, TypeVar, get_args

import numpy as np
import structlog
from numpy.typing import NDArray

from gateway.config.base import DeviceConfig, TagConfig
from gateway.core.errors import PluginError
from gateway.core.readings import Exact, Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.plugin.hosts import LineHost, OnlyAlive

D = TypeVar("D", bound=DeviceConfig)
T = TypeVar("T", bound=TagConfig)
P = ParamSpec("P")
R = TypeVar("R")

Values = Sequence[Exact | float | bool | None] | NDArray[np.float64] | Readings
"""What `read` returns: one value per tag in the order of the tags (None or NaN for a bad one), or full Readings when the
device gives its own times or qualities."""


Ability = Literal[
    "read", "stream", "write", "acknowledge", "call", "browse", "browse_types", "history", "guesses", "discover"
]
"""What a driver may be able to do, by the name of the method. `guesses` and `discover` stand beside its contract: see
`gateway.plugin.guessing` and `gateway.plugin.finding`."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a driver learned of a tag from the device: its type, and unit and description where the config has none."""

    type: str
    unit: str = ""
    description: str = ""
    path: str = field(default="", compare=False)
    """Where `browse` found it, in steps of the device's own names with "/" between them."""

    role: str = field(default="", compare=False)
    """"state" of a tag that is in one of a few states or modes; of `browse_types`."""

    group: str = field(default="", compare=False)
    """The part of the device that it belongs to, in words, such as "Robotics AxisType Robot/Axis 1"; of `browse_types`."""

    option: str = field(default="address", compare=False)
    """The option of a tag that takes what `browse` yields before it."""


class Driver(Generic[D, T]):
    """One object is one line: one TCP session, one serial bus. A NEW object serves each connection attempt, so a driver
    holds no state beyond it and never reconnects by itself.

    A subclass names its option types as type arguments, `class Scale(Driver[ScaleConfig, CellConfig])`, and that is its
    whole registration. It implements `connect`, `close`, and either `read` (polled) or `stream` (subscribing).

    The gateway calls, all in the event loop: `connect` once; then `describe` once; then `read` as scheduled, at most
    `max_in_flight` at once, or one `stream`; `write`, `call`, `acknowledge` and `browse` at any time between, also while
    `stream` runs; at the end `close`, once, and only after a `connect` that succeeded. Any call may be cancelled. Time-outs,
    retries, backoff, logging, metrics and quality for unanswered tags are the gateway's.

    Errors: `DeviceError` counts against the one device. `LinkError`, OSError, EOFError and TimeoutError end the line: it
    is closed and dialled anew. `RefusedError` does the same, and tells that a person must act. Anything else is taken for
    a bug of the driver: its traceback is logged and the line backs off.
    """

    can: ClassVar[frozenset[Ability]] = frozenset()
    """What it can do; whoever wants something of a driver looks here. Where a class does not declare it: what its base
    can, and the methods that it has of its own."""

    schemes: ClassVar[frozenset[str]] = frozenset()
    """How URLs begin by which `discover` may be given one of its devices, such as "opc.tcp"."""

    devices: tuple[Device, ...]
    """The devices of this line; one, unless `line_key` says that several share a line."""

    writes_beside_reads = False
    """Whether `write` may be called while a `read` is under way, and then goes between its requests. Else it waits for the
    read to end, and goes before those that wait."""

    takes_turns = False
    """Whether the driver itself takes turns between the scans of a line. Then `read` is called for each of them as it falls
    due, also beside others, though never twice at once for the same tags, and may take `timeout` times as long as the line
    has scans. Else reads wait for each other."""

    config: D
    """Options of the first device of the line, which speak for the line."""

    host: LineHost
    log: structlog.stdlib.BoundLogger
    """Logger bound to the line."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "can" not in vars(cls):
            cls.can |= {name for name in get_args(Ability) if all(_differs(cls, base, name) for base in cls.__bases__)}

    def __init__(self, devices: Sequence[Device], host: LineHost | Callable[[], None] | None = None) -> None:
        name = devices[0].name
        self.devices = tuple(devices)
        self.config = devices[0].config
        if host is None:
            host = LineHost(name)
        self.host = host if isinstance(host, LineHost) else OnlyAlive(name, host)
        """What it may ask of the gateway."""
        self.log = self.host.log
        # The names of version 0.1; they go with the next one.
        self.alive, self.tell, self.state_dir = self.host.alive, self.host.tell, self.host.state_dir
        self._thread: ThreadPoolExecutor | None = None

    def redefine(self, devices: Sequence[Device]) -> None:
        """Called by the gateway after `describe`: the devices of the line as they are with what was described."""
        self.devices = tuple(devices)

    @classmethod
    def line_key(cls, config: D) -> Hashable | None:
        """Devices with equal keys share one line. None, the default: every device has a line of its own."""
        return None

    @classmethod
    def subscribes(cls, config: D) -> bool:
        """Whether a line of this configuration streams rather than being polled; where devices share a line, that of the
        first one speaks for all. Default: whether the driver can stream."""
        return "stream" in cls.can

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        """How the device's tags will be read, in words, for `check`; needs no connection. Default: nothing to say."""
        return []

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        """What will not go well with these devices on one line, in words, for `check`; needs no connection. Default:
        nothing."""
        return []

    @classmethod
    def methods(cls, config: D) -> Mapping[str, Sequence[str]]:
        """What people may call, as the config allows it: object → its methods. Default: nothing."""
        return {}

    @property
    def counts(self) -> Mapping[str, int]:
        """What went wrong on the line and was made good, by kind, such as {"retries": 3}; for `status`. Default: nothing."""
        return {}

    @property
    def facts(self) -> Mapping[str, str | float]:
        """What `status` tells of the open line, such as {"security": "none"}. Default: nothing."""
        return {}

    @property
    def remarks(self) -> Sequence[str]:
        """What a person should know of the open line though it works, one sentence each, for `status`: that it is not
        protected, that a certificate expires soon. Default: nothing."""
        return []

    async def connect(self) -> None:
        """Open the line. Raises on failure, and then leaves nothing open."""
        raise NotImplementedError

    async def describe(self) -> Mapping[Tag, Found]:
        """What the device tells of tags whose type, unit or description the config leaves open. Default: nothing."""
        return {}

    async def identify(self, device: Device) -> str:
        """What a device calls itself, such as "Mitsubishi Q03UDE", for `check --connect`; to be asked for by what changes
        nothing, and is called only there. Default: nothing."""
        return ""

    async def read(self, tags: Tags) -> Values:
        """Read these tags of one device. `tags` is the same object at every scan: cache a read plan under it."""
        raise NotImplementedError

    def stream(self) -> AsyncIterator[Readings]:
        """Subscribe, and yield readings as they come; implement as an async generator. It ends only by raising."""
        raise NotImplementedError

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        """Write one value, in the device's unit. Raises DeviceError with the device's reason when it refuses."""
        raise NotImplementedError

    async def acknowledge(self, device: Device, condition: str, event: str, comment: str) -> None:
        """Acknowledge a condition at its event of this id, both as they were told. Raises DeviceError with the reason
        when the device refuses. A driver that tells conditions has this."""
        raise NotImplementedError

    async def call(
        self, device: Device, target: str, method: str, arguments: Sequence[Any]
    ) -> Sequence[tuple[str, Any]]:
        """Call a method of an object, one of `methods`, with JSON values as arguments. Returns name and JSON value of each
        result. Raises DeviceError where the arguments do not fit or the device refuses; then nothing was done."""
        raise NotImplementedError

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        """Yield what the device offers: address as the config writes it, and its description. Where that is not all, say so
        at the end under the address "", with what is missing, in words, as the description."""
        raise NotImplementedError
        yield  # an async generator

    async def browse_types(self) -> AsyncIterator[tuple[str, Found]]:
        """The same of those parts of the device alone whose types the driver knows, such as those of a companion standard,
        with role and group; nothing where there are none."""
        raise NotImplementedError
        yield  # an async generator

    def history(self, tag: Tag, from_ns: int, to_ns: int) -> AsyncIterator[Readings]:
        """Yield what the device has recorded itself of a tag, with source times in [from_ns, to_ns) in order, each once;
        implement as an async generator. It may be closed before its end, and asked again from there. Raises DeviceError
        with the reason where the device has no history of the tag, or does not give it."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the line. Must not raise for a line that is already dead."""

    async def in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking call in the line's one worker thread; calls never overlap."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"line-{self.devices[0].name}")
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: call(*args, **kwargs))

    def release(self) -> None:
        """Called by the gateway after `close`, or after a `connect` that failed: lets the worker thread go."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def subscribes(driver_type: type[Driver[Any, Any]], config: DeviceConfig) -> bool:
    """Whether a line of this configuration streams rather than being polled. Raises PluginError where its driver cannot do
    what it says, and what its driver raises."""
    ask: Callable[..., Any] = driver_type.subscribes
    streams = bool(ask(config) if inspect.signature(ask).parameters else ask())  # without an argument: until 0.3
    needed: Ability = "stream" if streams else "read"
    if needed not in driver_type.can:
        done = "subscribes" if streams else "is polled"
        raise PluginError(f'{config.name} {done}, and its driver "{config.driver}" has no {needed}')
    return streams


def _differs(cls: type[Driver[Any, Any]], base: type, name: str) -> bool:
    """Whether a class has another method of this name than one of its bases; a base that is no driver gives it all it has."""
    return not issubclass(base, Driver) or getattr(cls, name, None) is not getattr(base, name, None)


def option_types(cls: type[Any]) -> tuple[type[Any], ...]:
    """The option types that a Driver or Sink subclass names as its type arguments. Raises TypeError if it names none."""
    for klass in cls.__mro__:
        for base in getattr(klass, "__orig_bases__", ()):
            args = getattr(base, "__args__", ())
            if args and not any(isinstance(arg, TypeVar) for arg in args):
                return tuple(args)
    raise TypeError(f"{cls.__name__} names no option types: write class {cls.__name__}(Driver[MyDevice, MyTag])")
