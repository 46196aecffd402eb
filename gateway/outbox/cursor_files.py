"""How far each sink has come, written down now and then: a lost cursor costs repeats only."""

from collections.abc import Mapping
from pathlib import Path

from gateway.core.clock import Clock
from gateway.outbox.deliver import Reader
from gateway.outbox.format import cursor_path, dump_cursor
from gateway.outbox.write import Writer

_CURSOR_RATE = 4096
"""Bytes a second, about, that each cursor may cost the disk. It grows with the holes that waiting refusals leave; a loss of
the hint costs repeats only."""


class CursorFiles:
    """Of one log, saved by the writer."""

    def __init__(
        self, directory: Path, log_id: str, clock: Clock, readers: Mapping[str, Reader], writer: Writer
    ) -> None:
        self._directory = directory
        self._log_id = log_id
        self._clock = clock
        self._readers = readers
        self._writer = writer
        self._due: dict[str, int] = {}
        """By sink, when its cursor may be written again; boot clock, ns."""

    def save_due(self) -> None:
        """Those that have changed; the large ones more rarely."""
        now = self._clock.boot_ns()
        for reader in self._readers.values():
            if reader.changed and now >= self._due.get(reader.sink, 0):
                self.save_of(reader)

    def save(self) -> None:
        """All that have changed."""
        for reader in self._readers.values():
            if reader.changed:
                self.save_of(reader)

    def save_of(self, reader: Reader) -> None:
        """That of one sink."""
        reader.saved()
        cursors = {lane: position.cursor for lane, position in reader.positions.items()}
        data = dump_cursor(self._log_id, reader.sink, cursors)
        self._due[reader.sink] = self._clock.boot_ns() + len(data) // _CURSOR_RATE * 1_000_000_000
        self._writer.save(cursor_path(self._directory, reader.sink), data)
