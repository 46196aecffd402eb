"""What a node says within one session, in its order: its birth and those of its devices, data, deaths.

One task does in turn what was asked for, so that nothing comes between a birth of the node and those of its devices, and no
number is given twice."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
import structlog

from gateway.plugin import Device, Message, Readings, Record, SinkHost, doubting, to_json

from .births_in_doubt import BirthsInDoubt
from .device_metrics import DeviceMetrics
from .node import COMMAND, STATEMENTS, Node
from .payload import MILLISECOND

PAUSE = 1.0
"""Seconds from one birth of the node to the next: a flood of requests is answered by one a second."""
LINGER = 1.0
"""Seconds after which a device that is not read is declared dead, counted from its last data: what was read last, and history
that comes late, go out before."""
HEADROOM = 64
"""Bytes of a packet beside topic and metrics, at most."""


class Delivery:
    """One attempt to deliver a record; comes back with the answer to each of its messages."""

    __slots__ = ("_missing", "record")

    def __init__(self, record: Record, messages: int) -> None:
        self.record = record
        self._missing = messages

    def one_taken(self) -> bool:
        """Count an acknowledgement. Whether the record is now delivered."""
        self._missing -= 1
        return self._missing == 0

    def refuse(self) -> bool:
        """Give this attempt up. Whether it was still open."""
        was_open = self._missing > 0
        self._missing = 0
        return was_open


class UnsendableError(Exception):
    """A record that cannot be written as a payload."""


class Lifecycle:
    """Of one session. `publish` takes a message and what comes back with its answer; `listen` subscribes a device's commands,
    and `largest` is how many bytes a packet may have."""

    def __init__(
        self,
        host: SinkHost,
        node: Node,
        log: structlog.stdlib.BoundLogger,
        publish: Callable[[Message, Delivery | None], None],
        listen: Callable[[Device], Awaitable[None]],
        doubt: BirthsInDoubt,
    ) -> None:
        self.largest = 1 << 28
        """Bytes that a packet may have at this broker."""
        self.births = 0
        """Of the node, in this session."""
        self._host = host
        self._node = node
        self._log = log
        self._publish = publish
        self._listen = listen
        self._doubt = doubt
        self._statements = host.encoder("{device}", False)
        self._news = asyncio.Event()
        self._records: list[Record] = []
        self._changed: dict[str, Device] = {}
        self._answers: list[Mapping[str, Any]] = []
        self._rebirth_wanted = False
        self._born_at = 0.0
        self._dying: dict[str, float] = {}
        """Devices that are alive and not read, and the loop time at which they will be dead."""
        self._unborn: dict[str, str] = {}
        """Devices whose birth the broker does not take, and why."""
        self._timer: asyncio.TimerHandle | None = None

    # What is asked for: each call returns at once.

    def send(self, records: Sequence[Record]) -> None:
        """Send these records."""
        self._records += records
        self._news.set()

    def device_changed(self, device: Device) -> None:
        """A device is another one, or is read again, or no more."""
        self._changed[device.name] = device
        self._news.set()

    def rebirth(self) -> None:
        """Be born again, as soon as that may be."""
        self._rebirth_wanted = True
        self._news.set()

    def answer(self, said: Mapping[str, Any]) -> None:
        """Tell what came of a command."""
        self._answers.append(said)
        self._news.set()

    def end(self) -> None:
        """Nothing more will be done."""
        if self._timer is not None:
            self._timer.cancel()

    # What is done.

    async def work(self) -> None:
        """Do what is asked for, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._rebirth_wanted:
                await self._be_born_again()
            for name in list(self._changed):
                await self._follow(self._changed.pop(name))
            records, self._records = self._records, []
            for record in records:
                await self._send(record)
            answers, self._answers = self._answers, []
            for said in answers:
                self._publish(self._node.statement(COMMAND, _now(), to_json(said).decode(), _now()), None)
            self._bury()

    async def _be_born_again(self) -> None:
        """At once, or, if the last birth is too young, after the pause; until then data go on."""
        wait = self._born_at + PAUSE - asyncio.get_running_loop().time()
        if wait > 0:
            self._wake_in(wait)
        else:
            await self.give_birth()

    async def give_birth(self) -> None:
        """The whole birth sequence: the node, and right behind it each device that is read."""
        self._rebirth_wanted = False
        self._born_at = asyncio.get_running_loop().time()
        self.births += 1
        devices = self._host.devices()
        for device in devices:
            self._node.device(device.name).define(device)
            await self._listen(device)
        self._node.templates.define(self._node.device(device.name) for device in devices)
        await self._save_aliases()
        self._dying.clear()
        self._publish(self._node.birth(_now()), None)
        await self._doubt.sent("")
        for device in devices:
            if self._is_read(device.name):
                self._bear(self._node.device(device.name))
                await self._doubt.sent(device.name)
                await asyncio.sleep(0)  # a birth of a thousand metrics takes a moment, and others want the loop too
        self._doubt.all_sent()

    async def _follow(self, device: Device) -> None:
        metrics = self._node.device(device.name)
        if self._is_read(device.name):
            metrics.define(device)
            await self._listen(device)
            if self._node.templates.lacks(metrics):
                self.rebirth()  # only the node's birth can define them
            await self._alive(metrics)
            self._dying.pop(device.name, None)
        elif metrics.alive:
            self._linger(device.name)

    def _is_read(self, device: str) -> bool:
        return self._host.device_state(device)[0]

    async def _alive(self, metrics: DeviceMetrics) -> bool:
        """Whether the device is alive, with all its metrics; it is borne if it was not."""
        if not metrics.alive or metrics.changed:
            await self._save_aliases()
            self._bear(metrics)
        return metrics.alive

    def _bear(self, metrics: DeviceMetrics) -> None:
        if why := self._doubt.why_not(metrics.name):
            self._give_up(metrics, why)
            return
        try:
            snapshot: Readings | None = self._host.snapshot(metrics.name)
        except KeyError:  # its device is gone; history of it is not
            snapshot = None
        now = _now()
        try:
            with doubting(UnsendableError):
                birth = metrics.birth(snapshot, now, self._node.templates.fitting(metrics))
        except UnsendableError as error:
            self._give_up(metrics, f"its present values cannot be written as a Sparkplug payload: {error}")
            return
        if why := self._too_large("DBIRTH", metrics.name, birth):
            self._give_up(metrics, why)
            return
        self._unborn.pop(metrics.name, None)
        metrics.alive = True
        self._publish(self._node.device_message("DBIRTH", metrics.name, now, birth), None)

    def _give_up(self, metrics: DeviceMetrics, why: str) -> None:
        if metrics.alive:
            self._publish(self._node.device_message("DDEATH", metrics.name, _now()), None)
        metrics.alive = False
        if self._unborn.get(metrics.name) != why:
            self._unborn[metrics.name] = why
            self._log.warning("a device cannot be born", device=metrics.name, reason=why)

    async def _save_aliases(self) -> None:
        if self._node.aliases.unsaved:
            try:
                await asyncio.to_thread(self._node.aliases.save)
            except OSError as error:
                self._node.aliases.unsaved = False  # births tell them; only the next start may give others
                self._log.warning("the aliases of metrics cannot be saved", reason=str(error))

    # Records.

    async def _send(self, record: Record) -> None:
        try:
            await self._say(record)
        except UnsendableError as error:
            self._host.refused(record, f"it cannot be written as a Sparkplug payload: {error}", True)

    async def _say(self, record: Record) -> None:
        if record.readings is None:
            with doubting(UnsendableError):
                ms, text = self._statement(record)
            self._publish(self._node.statement(STATEMENTS[record.kind], ms, text, _now()), Delivery(record, 1))
            return
        metrics = self._node.device(record.readings.device.name)
        with doubting(UnsendableError):
            metrics.admit(record.readings)
        if not await self._alive(metrics):
            self._host.refused(record, self._unborn[metrics.name], False)
            return
        with doubting(UnsendableError):
            parts = self._parts(metrics, record.readings)
        delivery = Delivery(record, len(parts))
        for part in parts:
            self._publish(self._node.device_message("DDATA", metrics.name, _now(), part), delivery)
        if not parts:
            self._host.acknowledged([record])
        if not self._is_read(metrics.name):
            self._linger(metrics.name)

    def _parts(self, metrics: DeviceMetrics, readings: Readings) -> list[bytes]:
        """The metrics of one message, or of as many as the broker's limit makes necessary."""
        part = metrics.data(readings)
        if not part:
            return []
        if not (why := self._too_large("DDATA", metrics.name, part)):
            return [part]
        if len(readings) == 1:
            raise UnsendableError(why)
        rows, half = np.arange(len(readings)), len(readings) // 2
        return [each for some in (rows[:half], rows[half:]) for each in self._parts(metrics, readings.take(some))]

    def _too_large(self, verb: str, device: str, metrics: bytes) -> str:
        size = len(self._node.topics.of_device(verb, device).encode()) + len(metrics) + HEADROOM
        if size <= self.largest:
            return ""
        return (
            f"its {verb} has {size} bytes, and the broker takes {self.largest} at most: raise that limit, or spread the"
            " device's tags over several [[device]]"
        )

    def _statement(self, record: Record) -> tuple[int, str]:
        """An event, loss or receipt: its time, ms since 1970 UTC, and its JSON."""
        (message,) = self._statements.messages(record)
        said = (record.body or {}).get("ts")
        ms = said if isinstance(said, int) and 0 <= said < 1 << 62 else record.wall_ns // MILLISECOND
        text = message.payload.decode()
        if why := self._too_large("NDATA", "", message.payload):
            raise UnsendableError(why)
        return ms, text

    # Deaths.

    def _linger(self, device: str) -> None:
        self._dying[device] = asyncio.get_running_loop().time() + LINGER
        self._wake_in(LINGER)

    def _bury(self) -> None:
        """Declare those dead that are not read and have had nothing to say for a while."""
        now = asyncio.get_running_loop().time()
        for name, at in list(self._dying.items()):
            if self._is_read(name):
                del self._dying[name]
            elif at <= now:
                del self._dying[name]
                metrics = self._node.device(name)
                if metrics.alive:
                    metrics.alive = False
                    self._publish(self._node.device_message("DDEATH", name, _now()), None)
        if self._dying:
            self._wake_in(min(self._dying.values()) - now)

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None and not self._timer.cancelled():
            loop = asyncio.get_running_loop()
            if loop.time() < self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.001, seconds), self._news.set)


def _now() -> int:
    """The time of sending, ms since 1970 UTC."""
    return time.time_ns() // MILLISECOND
