"""Moves the outbox into one sink, for as long as the gateway runs.

The outbox is the only queue. A connection holds at most a window of records; whatever ends it, what was not acknowledged
is handed out again to the next one, under the same ids.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog

from gateway.config.base import RangeSinkConfig, SinkConfig
from gateway.core.errors import LinkError, RefusedError, UnreachableError
from gateway.core.event import Event, EventLog
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.plugin.range_sink import RangeSink, release
from gateway.plugin.sink import Sink
from gateway.publish.counts import SinkCounts
from gateway.publish.host import SinkSurroundings
from gateway.publish.quarantine import Quarantine
from gateway.publish.range_session import Halving, RangeSession
from gateway.publish.sink_session import SinkSession
from gateway.status import SinkStatus
from gateway.supervise import Backoff, Foreign, Health, keep_running

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between attempts to connect: the first pause, and the longest that the doubling leads to."""


LISTENED_FOR = 3.0
"""The longest pause while nothing listens there, or, where the sink was connected before, while a proxy in front of nothing
takes the connection: dialling is then all that a knock would be. Between half and the whole of it, so that gateways which
have lost one broker do not all return in one moment."""


class Publisher:
    """One sink's way out of the outbox."""

    def __init__(
        self,
        config: SinkConfig,
        sink_type: type[Sink[Any]],
        outbox: Outbox,
        around: SinkSurroundings,
        barred: Callable[[], str] = str,
    ) -> None:
        """`barred` says why the sink is not to be connected; it is asked before each attempt."""
        self._barred = barred
        self.config = config
        self.health = Health(f"sink {config.name}", around.clock)
        self._sink_type = sink_type
        self._selection = config.selection
        self._reader = outbox.reader(config.name, config.order, config.backfill, self._selection)
        self._around = replace(
            around,
            devices=lambda: self._selection.devices(around.devices()),
            trouble=lambda: _trouble(outbox),
            memory={},
            selection=self._selection,
        )
        self._gathers = issubclass(sink_type, RangeSink)
        if self._gathers:
            self._reader.marks_late = False
        self._counts = SinkCounts()
        self._quarantine = Quarantine()
        self._halving = Halving()
        self._session: SinkSession | None = None
        self._missed: dict[str, tuple[Device, bool, str]] = {}
        """The latest of each device while there was no connection, by its name."""
        self._foreign = Foreign(structlog.get_logger().bind(sink=config.name))
        self._events: EventLog = outbox
        self._broker = ""
        """Of several, the one that it was connected to last."""
        self._unreachable = False
        self._worked = False
        """Whether it was ever connected as it is configured."""

    async def run(self) -> None:
        """Publish until cancelled; then wait shortly for the acknowledgement of what is on its way."""
        backoff = Backoff(
            FIRST_PAUSE, LONGEST_PAUSE, hurry=lambda: self._quarantine.in_a_hurry, most=self._longest_pause
        )
        try:
            await keep_running(self._hold_session, self.health, backoff)
        finally:
            release(self._around.memory)

    def _longest_pause(self) -> float:
        return LISTENED_FOR if self._unreachable else LONGEST_PAUSE

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        """A device came, went, or has a new description. The next connection asks by itself for those that are there then,
        and is told of those that are not. Nothing is told of what is not meant for this sink."""
        if (seen := self._selection.device(device)) is None:
            return
        if self._session is not None:
            self._session.device_changed(seen, online, reason)
        else:
            self._missed[device.name] = (seen, online, reason)

    async def _hold_session(self) -> None:
        self._foreign.check()
        if why := self._barred():
            raise RefusedError(why)
        session = self._new_session()
        self._unreachable = False
        try:
            await session.connect()
        except (UnreachableError, OSError):
            self._unreachable = True
            raise
        except LinkError as error:
            self._unreachable = self._worked and not isinstance(error, RefusedError)
            raise
        self._worked = True
        self._session = session
        self._tell_where(str(session.promise.get("broker", "")))
        try:
            self.health.up(str(session.promise.get("weaker", "")))
            self._tell_missed(session)
            await session.run()
        finally:
            self._session = None
            await session.close()
            self._reader.rewind()

    def _new_session(self) -> SinkSession:
        session = (RangeSession if self._gathers else SinkSession)(
            self._sink_type,
            self.config,
            self._around,
            self._reader,
            self._counts,
            self._quarantine,
            self._foreign,
        )
        if isinstance(session, RangeSession):
            session.halving = self._halving
        return session

    def _tell_where(self, broker: str) -> None:
        """Log, and tell the far side, that it is another one of several brokers than before."""
        if broker == self._broker:
            return
        before, self._broker = self._broker, broker
        if before:
            now = self._around.clock.wall_ns()
            message = f'sink "{self.config.name}" has gone from broker {before} to {broker}'
            detail = {"sink": self.config.name, "before": before, "broker": broker}
            structlog.get_logger().warning("the sink has gone to another broker", **detail)
            self._events.append_event(Event(f"sink-{now}", "sink", "moved", "", now, message, "warning", detail))

    def _tell_missed(self, session: SinkSession) -> None:
        missed, self._missed = self._missed, {}
        for name in missed.keys() - {device.name for device in self._around.devices()}:
            session.device_changed(*missed[name])

    def status(self) -> SinkStatus:
        """The sink's state, promise, counts since the start, and what the outbox holds for it."""
        session = self._session
        in_flight = session.in_flight if session else None
        return SinkStatus(
            name=self.config.name,
            plugin=self.config.plugin,
            state=self.health.state,
            reason=self.health.reason,
            since_s=round(self.health.age, 1),
            next_attempt_s=_rounded(self.health.next_attempt),
            promise=dict(session.promise) if session else {},
            window=in_flight.size if in_flight is not None else self.config.window,
            open=len(in_flight) if in_flight is not None else 0,
            oldest_open_s=self._seconds_since(in_flight.oldest_ns if in_flight is not None else None),
            last_acknowledged_s=self._seconds_since(self._counts.acknowledged_ns),
            acknowledged_records=self._counts.records,
            acknowledged_readings=self._counts.readings,
            waiting_after_refusal=self._reader.waiting_after_refusal,
            barred=self._reader.barred,
            refused_for_now=self._counts.refused,
            refused_for_good=self._counts.dead,
            last_refusal=self._counts.refusal,
            drained_in_s=self._counts.drained_in() if session else None,
            outbox=self._reader.status(),
            commits_every_s=self.config.commit_interval if isinstance(self.config, RangeSinkConfig) else None,
        )

    def _seconds_since(self, boot_ns: int | None) -> float | None:
        return None if boot_ns is None else round((self._around.clock.boot_ns() - boot_ns) / 1e9, 1)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _trouble(outbox: Outbox) -> str:
    return f"nothing is kept: {outbox.not_kept}" if outbox.not_kept else ""
