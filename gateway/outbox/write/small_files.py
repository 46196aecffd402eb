"""What the writer's thread does beside segments: small files replaced, files removed, definitions of tags appended."""

import os
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog

from gateway.outbox.write.ballast import NO_ROOM, Ballast
from gateway.outbox.write.ground import Spares
from gateway.places.durable import sync_path, write_whole
from gateway.places.regular import open_regular

log = structlog.get_logger()


_SYNCED_AT_ONCE = 10
"""Files that one call of `sync` makes durable at most, so that a flood of them does not hold up the log."""


class SmallFiles:
    """`replacing` and `removing` are filled by the event loop, in order; everything else is the thread's."""

    def __init__(self, directory: Path, ballast: Ballast, spares: Spares) -> None:
        self.replacing: deque[tuple[Path, bytes, bool]] = deque()
        """File, content, and whether it is to be synced."""
        self.removing: deque[Path] = deque()
        self.written_bytes = 0
        """Bytes written since the start."""
        self.syncs = 0
        """How often something was made durable since the start."""
        self._directory = directory
        self._ballast = ballast
        self._lending = spares.lending
        self._unsynced: deque[Path] = deque(maxlen=1000)

    def count(self, written_bytes: int, syncs: int) -> None:
        """Something else was written."""
        self.written_bytes += written_bytes
        self.syncs += syncs

    def replace(self) -> None:
        """Write what is to be replaced; not synced."""
        while self.replacing:
            path, data, sync = self.replacing.popleft()
            try:
                self._lending(partial(self._replace, path, data))
                if sync:
                    self._unsynced.append(path)
            except OSError as error:
                log.warning(
                    "a cursor of the outbox cannot be written; a crash now would cause repeats", error=str(error)
                )

    def _replace(self, path: Path, data: bytes) -> None:
        try:
            write_whole(path, data, sync=False)
        except OSError as error:
            if error.errno not in NO_ROOM or not self._ballast.give_back():
                raise
            write_whole(path, data, sync=False)
        self.count(len(data), 0)

    def sync(self) -> None:
        """Make some of the files durable that wait for it."""
        paths = [self._unsynced.popleft() for _ in range(min(_SYNCED_AT_ONCE, len(self._unsynced)))]
        directories = {path.parent for path in paths}
        for path in (*paths, *directories):
            try:
                self._lending(partial(sync_path, path))
                self.count(0, 1)
            except FileNotFoundError:
                pass  # removed meanwhile
            except OSError as error:
                log.warning("a small file of the outbox cannot be synced", file=str(path), error=str(error))

    def remove(self) -> None:
        """Remove files, after everything was replaced that was to be."""
        while self.removing:
            path = self.removing.popleft()
            self.replace()
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("a file of the outbox cannot be removed", file=str(path), error=str(error))

    def write_definitions(self, lines: Sequence[bytes], *, instead: bool) -> None:
        """Have these definitions in the dictionary, synced, behind what it has, or `instead` of that. Raises OSError; then
        nothing of them stands there."""
        data = b"".join(lines)
        if instead:
            path = self._directory / "tags"
            try:
                write_whole(path, data)
            except OSError:
                path.with_name(path.name + ".part").unlink(missing_ok=True)  # the room is needed
                raise
            self.count(len(data), 2)
            return
        tags = open_regular(self._directory / "tags", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        with os.fdopen(tags, "ab", buffering=0) as file:
            start = file.seek(0, os.SEEK_END)
            try:
                file.write(data)
                os.fdatasync(file.fileno())
            except OSError:
                file.truncate(start)
                raise
        self.count(len(data), 1)
