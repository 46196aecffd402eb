"""One session with a broker: dialled, born, fed with records, asked for rebirths, and ended by a death."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from gateway.plugin import Device, LinkError, Message, Record, RefusedError, SinkHost, UnreachableError
from gateway.plugin.mqtt import TOO_LARGE, MqttOptions, MqttSession, Received, Will, is_final

from .births_in_doubt import BirthsInDoubt
from .broker import session_options
from .commands import Commands
from .config import SparkplugConfig
from .lifecycle import Delivery, Lifecycle
from .node import Node, Topics
from .payload import MILLISECOND
from .primary_host import PrimaryHost
from .stored import SESSIONS, Aliases, next_session
from .templates import Templates

WAIT = 12.0
"""Seconds that an attempt to connect waits for the primary host."""
FAREWELL = 1.0
"""Seconds that a broker gets to take the last messages."""

WEAKER = "hosts that are away miss what is said meanwhile: with primary_host it waits for that one"

_BROKER, _BDSEQ = "broker", "bdseq"
"""What one session leaves for the next: which broker's turn it is, and its number."""


class EdgeSession:
    """`connect` it once, then `serve`, and `close` it."""

    def __init__(self, config: SparkplugConfig, host: SinkHost, log: structlog.stdlib.BoundLogger) -> None:
        self._config = config
        self._host = host
        self._log = log
        self._topics = Topics(config.group, config.node or host.gateway)
        self._primary = PrimaryHost(config.primary_host)
        self._heard = asyncio.Event()
        self._own_open = 0
        """Births, deaths and answers of ours that the broker has not read."""
        self._host_left = False
        self._subscribed: set[str] = set()

    async def connect(self) -> None:
        """Dial a broker, wait for the primary host if there is one, and be born with all devices that are read."""
        try:
            await self._connect()
        except (LinkError, OSError) as error:
            if not isinstance(error, RefusedError) or len(self._config.brokers) > 1:
                self._next_broker()
            raise

    async def _connect(self) -> None:
        aliases = await asyncio.to_thread(Aliases, self._host.state_dir, self._log)
        bdseq = await self._next_number()
        templates = Templates(self._config.templates)
        version, as_long = self._host.version, self._config.uint32_as_long
        self._node = Node(self._topics, bdseq, aliases, version, templates, as_long)
        death = self._node.death(_now())
        self._mqtt = MqttSession(
            self._options,
            will=Will(death.topic, death.payload, retain=False, needed=True),
            on_acknowledged=self._acknowledged,
            on_refused=self._refused,
            on_message=self._received,
        )
        self._doubt = BirthsInDoubt(self._host.memory, self._log, self._mqtt.barrier)
        self._life = Lifecycle(self._host, self._node, self._log, self._publish, self._listen, self._doubt)
        self._commands = Commands(self._host, self._node, self._log, self._life.rebirth, self._life.answer)
        await self._mqtt.connect()
        try:
            self._life.largest = self._mqtt.maximum_packet_size
            await self._mqtt.subscribe(self._topics.of_node("NCMD"))
            if self._config.primary_host:
                await self._mqtt.subscribe(self._primary.topic)
                await self._wait_for_host()
            if self._doubt.careful:
                self._life.rebirth()  # one by one, which may take longer than connecting may
            else:
                await self._life.give_birth()
        except BaseException:
            await self.close()
            raise

    @property
    def _options(self) -> MqttOptions:
        brokers = self._config.brokers
        host, port = brokers[self._host.memory.get(_BROKER, 0) % len(brokers)]
        return session_options(self._config, self._topics, host, port)

    def _next_broker(self) -> None:
        self._host.memory[_BROKER] = self._host.memory.get(_BROKER, 0) + 1

    async def _next_number(self) -> int:
        try:
            bdseq = await asyncio.to_thread(next_session, self._host.state_dir, self._log)
        except OSError as error:
            self._log.warning("the number of the session cannot be saved", reason=str(error))
            bdseq = (self._host.memory.get(_BDSEQ, -1) + 1) % SESSIONS
        self._host.memory[_BDSEQ] = bdseq
        return bdseq

    async def _wait_for_host(self) -> None:
        """Return when the primary host is online at this broker. Raises LinkError when that takes too long."""
        ended: asyncio.Future[Exception] = asyncio.ensure_future(self._mqtt.closed())
        online: asyncio.Future[None] = asyncio.ensure_future(self._host_online())
        try:
            heard: set[asyncio.Future[Any]] = {ended, online}
            await asyncio.wait(heard, timeout=WAIT, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise ended.result()
            if not online.done():
                raise UnreachableError(
                    f'the primary host "{self._primary.name}" is not online at broker {self._mqtt.options.address}:'
                    " nothing is sent before it says that it is"
                )
        finally:
            for each in (ended, online):
                each.cancel()

    async def _host_online(self) -> None:
        while not self._primary.online:
            self._heard.clear()
            await self._heard.wait()

    async def _listen(self, device: Device) -> None:
        """Subscribe the commands of a device that has tags to be written."""
        topic = self._topics.of_device("DCMD", device.name)
        writable = self._config.commands and any(tag.config is not None and tag.config.write for tag in device.tags)
        if writable and topic not in self._subscribed:
            self._subscribed.add(topic)
            await self._mqtt.subscribe(topic)

    async def serve(self) -> None:
        """Until the connection ends, or the primary host does; raises why."""
        ended = asyncio.create_task(self._mqtt.closed())
        working, gone = asyncio.create_task(self._life.work()), asyncio.create_task(self._host_gone())
        tasks: list[asyncio.Task[Any]] = [ended, working, gone]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not working.cancelled():
            working.result()
        if not gone.cancelled():
            self._host_left = True
            self._next_broker()
            raise LinkError(
                f'the primary host "{self._primary.name}" has gone offline at broker {self._mqtt.options.address}'
            )
        if self._own_open:
            self._doubt.ended()
        raise ended.result()

    async def _host_gone(self) -> None:
        """Return when the primary host says that it is offline; never without one."""
        while not self._config.primary_host or self._primary.online:
            self._heard.clear()
            await self._heard.wait()

    # What comes in.

    def _received(self, received: Received) -> None:
        if received.topic == self._primary.topic and self._config.primary_host:
            self._primary.take(received.payload)
            self._heard.set()
        else:
            self._commands.take(received.topic, received.payload, received.retained)

    def _acknowledged(self, deliveries: list[Delivery | None]) -> None:
        self._own_open -= deliveries.count(None)
        done = [each.record for each in deliveries if each is not None and each.one_taken()]
        if done:
            self._host.acknowledged(done)

    def _refused(self, delivery: Delivery | None, code: int, reason: str) -> None:
        """A message did not go out, or a marker was refused; after that, numbers are missing, which a rebirth mends."""
        self._life.rebirth()
        if delivery is None:
            self._own_open -= 1
            self._log.warning("a message of the node was not taken", reason=reason)
        elif delivery.refuse():
            fix = ": raise that limit at the broker" if code == TOO_LARGE else ""
            self._host.refused(delivery.record, reason + fix, is_final(code))

    # What goes out.

    def send(self, records: Sequence[Record]) -> None:
        """Hand over records without waiting."""
        self._life.send(records)

    def device_changed(self, device: Device) -> None:
        """A device is another one, or is read again, or no more."""
        self._life.device_changed(device)

    def _publish(self, message: Message, delivery: Delivery | None) -> None:
        if not self._mqtt.is_closed:
            self._own_open += delivery is None
            self._mqtt.publish_many([(message.topic, message.payload, False, delivery)])

    @property
    def promise(self) -> Mapping[str, Any]:
        """What this connection is, for `status`."""
        words = {**self._mqtt.promise}
        words.pop("weaker", None)  # it says what MQTT 3.1.1 and QoS 0 lack, which is Sparkplug's own
        if not self._config.primary_host:
            words["weaker"] = WEAKER
        return {
            **words,
            **self._mqtt.status(),
            "broker": self._mqtt.options.address,
            "node": f"{self._topics.group}/{self._topics.node}",
            "session": self._node.bdseq,
            "devices_alive": sum(device.alive for device in self._node.devices.values()),
            "births": self._life.births,
            "rebirths_asked": self._commands.rebirths,
            "commands_done": self._commands.written,
            "commands_refused": self._commands.refused,
            "states_ignored": self._primary.ignored,
        }

    @property
    def progress(self) -> int:
        """Grows with what the broker takes."""
        return self._mqtt.progress

    @property
    def own_fault(self) -> bool:
        """Whether the end is none of the records' doing: the primary host went, or a birth was on its way."""
        return self._host_left or self._own_open > 0

    async def check(self) -> str:
        """Greets the broker as another client, says no birth and no death, and finds out which barrier it needs."""
        options = self._options
        session = MqttSession(
            replace(options, client_id=f"{options.client_id}-check", barrier="auto"),
            on_acknowledged=lambda _: None,
            on_refused=lambda *_: None,
            on_message=lambda _: None,
        )
        await session.connect()
        try:
            await session.subscribe(self._topics.of_node("NCMD"))
        finally:
            await session.disconnect(FAREWELL)
        said = f"{session.promise['protocol']}, encryption: {session.promise['encryption']}"
        if session.behind_groups == self._config.barrier:
            return f"{said}, barrier: {self._config.barrier}"
        return f'{said}; this broker needs barrier = "{session.behind_groups}"'

    async def close(self) -> None:
        """Say that the node is dead, which the broker says only when no good-bye comes, and good-bye."""
        await self._commands.end()
        self._life.end()
        if self._node.born and not self._mqtt.is_closed:
            self._mqtt.forget_waiting()
            self._publish(self._node.death(_now()), None)
            await self._mqtt.settle(FAREWELL)
        await self._mqtt.disconnect(FAREWELL, with_will=self._node.born)


def _now() -> int:
    return time.time_ns() // MILLISECOND
