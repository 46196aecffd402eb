"""One connection of a sink: records out, answers back, and a watch that answers come at all."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from gateway.config.base import SinkConfig
from gateway.core.errors import LinkError, PluginError
from gateway.core.record import Record
from gateway.core.tag import Device
from gateway.core.text import cleaned
from gateway.outbox import Reader
from gateway.plugin import checked
from gateway.plugin.sink import Sink
from gateway.publish.counts import SinkCounts
from gateway.publish.host import Host, SinkSurroundings
from gateway.publish.in_flight import InFlight
from gateway.publish.quarantine import ENDS_OVER, Quarantine
from gateway.supervise import Foreign, containing
from gateway.supervise.foreign import Opening
from gateway.supervise.keep_running import EXPECTED, told

CONNECT = 30.0
"""Seconds that a sink may take to connect."""
FLUSH = 2.0
"""Seconds that a stop waits for the last acknowledgements."""
CLOSE = 5.0
"""Seconds that a sink may take to close."""
MOST_OPEN = 1_000_000
"""Records that a sink may have open."""
MEASURE = 1.0
"""Seconds between two looks at how much waits."""


class SinkSession:
    """Moves records from the reader into one sink object, from its connect to its close."""

    def __init__(
        self,
        sink_type: type[Sink[Any]],
        config: SinkConfig,
        around: SinkSurroundings,
        reader: Reader,
        counts: SinkCounts,
        quarantine: Quarantine,
        foreign: Foreign,
    ) -> None:
        self._foreign = foreign
        self._config = config
        self._around = around
        self._reader = reader
        self._counts = counts
        self._counts.new_session()
        self._quarantine = quarantine
        self._quarantine.new_session()
        self._turn_of_history = False
        self._ended = False
        self._room = asyncio.Event()
        self._answer = asyncio.Event()
        self._news = asyncio.Event()
        self._changes: dict[str, tuple[Device, bool, str]] = {}
        """The latest of each device, by its name."""
        self._odd = ""
        """Why the sink cannot tell its promise."""
        self._sink = sink_type(config, Host(config.name, around, self))
        self.in_flight = InFlight(config.window)
        self.log = structlog.get_logger().bind(sink=config.name)

    @property
    def promise(self) -> Mapping[str, Any]:
        """What the sink says of this connection."""
        try:
            with containing():
                return checked.promise(self._sink.promise)
        except Exception as error:
            if not self._odd:
                self.log.error("the sink cannot tell its promise", exc_info=error)
            self._odd = cleaned(told(error))
            return {"weaker": f"the sink cannot tell its promise: {self._odd}"}

    @property
    def busy(self) -> bool:
        """Whether anything is on its way, or waits in the outbox."""
        return bool(self.in_flight) or any(self._reader.pending.values())

    async def connect(self) -> None:
        """Open it. Raises what the sink raises."""
        opening = Opening(lambda: self._sink.connect(), self.close)
        try:
            async with asyncio.timeout(CONNECT):
                await self._foreign.call(opening.open)
        except BaseException as error:
            await opening.give_up()
            if isinstance(error, TimeoutError):
                raise LinkError(str(error) or f"no connection within {CONNECT:g} s") from error
            raise

    async def run(self) -> None:
        """Tell of every device, then move records until the connection ends, and raise why. At a stop, wait shortly for the
        last answers."""
        self.in_flight = InFlight(_size(self._sink.window))
        self._room.set()
        for device in self._around.devices():
            self.device_changed(device, *self._around.device_state(device.name))
        parts = (lambda: self._sink.serve(), self._tell, self._forward, self._watch, self._measure)
        tasks = [self._foreign.start(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._flush(tasks)
            raise
        finally:
            await self._foreign.end(tasks, CLOSE)
        errors = [error for task in tasks if (error := _error(task))]
        if errors and all(isinstance(error, EXPECTED) for error in errors):
            self._suspect_records()
        if errors:
            raise errors[0] if len(errors) == 1 else BaseExceptionGroup("the sink's connection ended", errors)

    def _suspect_records(self) -> None:
        """The link was lost: note what was on its way. Raises LinkError when that tells why."""
        if self._sink.own_fault:
            self._quarantine.fruitful()
            return
        self._quarantine.link_lost(self.in_flight.records)
        if self.in_flight and (suspect := self._quarantine.suspect):
            raise LinkError(
                f"{ENDS_OVER} {suspect}: too large, or not allowed? They go alone, and are set aside once that is certain"
            )

    async def close(self) -> None:
        """Close it; afterwards no answer of the sink counts any more. Never raises."""
        closing = self._foreign.start(lambda: self._sink.close())
        closing.add_done_callback(lambda task: task.cancelled() or task.exception())  # also of one that is left
        done, _ = await asyncio.wait([closing], timeout=CLOSE)
        self._ended = True
        if not done:
            closing.cancel()
            self.log.warning("closing the sink took too long", seconds=CLOSE)
        elif error := _error(closing):
            self.log.error("the sink's close failed", exc_info=error)

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        """Have the sink told, before it gets any further record."""
        self._changes[device.name] = (device, online, reason)
        self._news.set()

    def acknowledged(self, records: Iterable[Record]) -> None:
        """Called by the sink, through its host."""
        if self._ended:
            return
        known = self.in_flight.acknowledged(records)
        self._reader.acknowledged(known)
        self._quarantine.acknowledged(known)
        self._counts.acknowledged(known, self._around.clock.boot_ns())
        self._answered()

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """Called by the sink, through its host."""
        if self._ended or not self.in_flight.refused(record):
            return
        if final:
            self._dead(record, reason)
        else:
            self._counts.not_taken(reason, False)
            self._quarantine.acknowledged([record])
            self._reader.refused(record, reason, False)
        self._answered()

    def _answered(self) -> None:
        self._room.set()
        self._answer.set()

    async def _forward(self) -> None:
        """Hand over what waits in the outbox, as far as the window has room."""
        while True:
            if not self._quarantine.holds:
                await self._reader.wait()
            await self._room.wait()
            if self._quarantine.careful:
                await self._forward_carefully()
            elif room := self._quarantine.at_once(self.in_flight.room):
                self._hand_over(await self._reader.take(room))
            else:
                self._room.clear()

    async def _forward_carefully(self) -> None:
        """Hand over one record, when none is on its way; one in doubt after another was taken, or when there is no other.
        Live data and history take turns, because what a connection ended over may be in either."""
        if self.in_flight:
            self._room.clear()
        elif record := self._quarantine.next_put_by():
            self._hand_over([record])
        else:
            self._turn_of_history = not self._turn_of_history
            records = await self._reader.take(1, history_first=self._turn_of_history)
            self._hand_over(self._quarantine.may_go(records, self.in_flight.size))

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            self._tell_changes()

    def _tell_changes(self) -> None:
        self._news.clear()
        while self._changes:
            self._sink.device_changed(*self._changes.pop(next(iter(self._changes))))

    def _hand_over(self, records: Sequence[Record]) -> None:
        self._tell_changes()
        boot_ns = self._around.clock.boot_ns()
        for record, reason in self._quarantine.condemned(records, boot_ns):
            records = [other for other in records if other is not record]
            self._dead(record, reason)
        if not records:
            return
        self.in_flight.handed_over(records, boot_ns)
        self._quarantine.handing_over(records)
        try:
            self._sink.send(records)
        except EXPECTED:
            self._quarantine.survived()
            raise
        self._quarantine.survived()

    def _dead(self, record: Record, reason: str) -> None:
        self._counts.not_taken(reason, True)
        self._reader.refused(record, reason, True)

    async def _watch(self) -> None:
        """Raise LinkError when records are on their way and no answer comes."""
        while True:
            await asyncio.sleep(self._config.ack_timeout / 4)
            if wrong := self.in_flight.look(self._config.ack_timeout, self._sink.progress):
                raise LinkError(wrong)

    async def _measure(self) -> None:
        """Note how much waits, for a forecast; not in the first moment, in which more goes than later."""
        while True:
            await asyncio.sleep(MEASURE)
            self._counts.waiting(sum(self._reader.pending.values()), self._around.clock.boot_ns())

    async def _flush(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let the parts work on, until all is acknowledged, one of them ends, or the time is over."""
        all_answered = asyncio.create_task(self._all_answered())
        await asyncio.wait([all_answered, *tasks], timeout=FLUSH, return_when=asyncio.FIRST_COMPLETED)
        all_answered.cancel()
        await asyncio.wait([all_answered])

    async def _all_answered(self) -> None:
        while self.busy:
            self._answer.clear()
            await self._answer.wait()


def _size(window: object) -> int:
    if not isinstance(window, int) or not 1 <= window <= MOST_OPEN:
        raise PluginError(f"the sink's window is {cleaned(window)}, not a number from 1 to {MOST_OPEN}")
    return window


def _error(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
