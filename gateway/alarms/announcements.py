"""What alarms have to say: it is told when the file that knows of it is on disk."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from gateway.alarms import alarm_file
from gateway.alarms.alarm import Alarm, Key
from gateway.alarms.evidence import Evidence, EvidenceStore
from gateway.core.event import Event, EventLog
from gateway.supervise.contained import containing

PATIENCE = 2.0
"""Seconds that an event waits for the disk, at most."""

log = structlog.get_logger()


class Announcements:
    """Saves the alarms, then tells the events, in their order. Only for one thread, the event loop's."""

    def __init__(
        self, events: EventLog, alarms: Mapping[Key, Alarm], path: Path | None, store: EvidenceStore | None
    ) -> None:
        """The file at `path` says of the alarms how they are when it is written; without one, events are told at once."""
        self._events = events
        self._alarms = alarms
        self._path = path
        self._store = store
        self._untold: list[Event] = []
        self._unkept: list[tuple[Event, Evidence]] = []
        self._changed = asyncio.Event()
        self._unsaved = False
        self._saving: asyncio.Task[None] | None = None

    def add(self, event: Event, evidence: Evidence | None) -> None:
        """Tell this as soon as the alarms, as they are after the change, are saved."""
        log.info("event", kind=event.kind, state=event.state, device=event.device, message=event.message)
        self._untold.append(event)
        if evidence is not None and self._store is not None:
            self._unkept.append((event, evidence))

    def alarms_changed(self) -> None:
        """Save them, and tell what was added."""
        if self._path is None:
            self.save_now()
        else:
            self._unsaved = True
            self._changed.set()

    def save_along(self) -> None:
        """They have changed in something that need not be on disk at once."""
        self._unsaved = True

    async def next_change(self, seconds: float) -> None:
        """Wait until there is something to tell or save, for so long at most."""
        if self._untold:
            return
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def save(self) -> None:
        """Write the file, then tell what is untold; not later than a disk that hangs may hold it up."""
        untold, self._untold = self._untold, []
        try:
            if self._unsaved and self._path and (self._saving is None or self._saving.done()):
                self._unsaved = False
                self._saving = asyncio.create_task(asyncio.to_thread(self._write, *self._to_write()))
            if self._saving is not None:
                await asyncio.wait([self._saving], timeout=PATIENCE)
        finally:
            self._tell(untold)

    async def finish(self) -> None:
        """Save and tell what is left, at the end."""
        if self._saving is not None:
            await asyncio.wait([self._saving], timeout=PATIENCE)
        self.save_now()

    def save_now(self) -> None:
        """The same without waiting for a file that is being written; blocking."""
        if self._unsaved and self._path is not None:
            self._write(*self._to_write())
        untold, self._untold = self._untold, []
        self._tell(untold)

    def _to_write(self) -> tuple[bytes, list[tuple[Event, Evidence]]]:
        unkept, self._unkept = self._unkept, []
        return alarm_file.content(self._alarms.values()), unkept

    def _write(self, alarms: bytes, unkept: list[tuple[Event, Evidence]]) -> None:
        """Whatever is raised costs no more than this file."""
        assert self._path is not None
        try:
            alarm_file.write(self._path, alarms, self._store, unkept)
        except Exception as error:
            log.error("alarms are not kept for the next start", file=str(self._path), exc_info=error)

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                with containing():
                    self._events.append_event(event)
            except Exception as error:
                log.error("an event is not told", event_id=event.id, state=event.state, exc_info=error)
