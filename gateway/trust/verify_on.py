"""Verifying a trail that grows, again and again: each look costs what is new since the last one, and no more than its time.

What was verified is remembered by the end of the chain there. Whether the files before it are still the same is told by the
file system for older parts, which nobody writes to (inode, size, and the times, of which ctime cannot be set), and by a hash
over the bytes for the part that grows. Whatever differs has all of it verified anew; so has every day, since a disk may
forget what the file system has not noticed.
"""

import hashlib
import os
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

from gateway.trust import audit_files
from gateway.trust.chain import LONGEST, Head
from gateway.trust.verify import MOST, TrailReport, Walk, report_of

ANEW = 86_400.0
"""Seconds after which all of it is verified once more."""
_RECENT = 1000
"""Records of which the hashes are kept, to know an anchor that is behind."""
_BLOCK = 1 << 20
_LOOK = 100
"""Lines between two looks at the clock."""

_Mark = tuple[int, int, int, int]


class TrailWatch:
    """One trail. Blocking, and not for two threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin()

    def _begin(self) -> None:
        self._walk = Walk(None)
        self._done: list[_Mark] = []
        """Of each older part that was verified to its end."""
        self._name, self._inode = self.path, 0
        """Of the part after these, and how far it was verified: bytes, lines, and the hash of these bytes."""
        self._offset = self._lines = 0
        self._hash = hashlib.sha256()
        self._recent: deque[Head] = deque(maxlen=_RECENT)
        self._began = time.monotonic()

    @property
    def records(self) -> int:
        """How many were sound so far."""
        return self._walk.end.n

    def look(self, patience: float, *, anew: bool = False) -> TrailReport | None:
        """What is wrong with it; None where the time was too short: the next look goes on. Raises OSError."""
        until = time.monotonic() + patience
        if anew or time.monotonic() > self._began + ANEW:
            self._begin()
        anchor = audit_files.read_head(self.path)  # before the records: it may fall behind them, but never runs ahead
        parts = audit_files.parts(self.path)
        if not parts and anchor is None:
            raise FileNotFoundError(2, "there is no audit trail", str(self.path))
        if not self._is_as_it_was(parts, anchor):
            self._begin()
        self._walk.anchored(anchor)
        torn = 0
        for part in parts[len(self._done) :]:
            try:
                read = self._read(part, part == parts[-1], until)
            except FileNotFoundError:
                if parts == audit_files.parts(self.path):
                    raise
                return None  # renamed, as a new part was begun
            if read is None:
                return None
            torn = read
        return report_of(self.path, self._walk, anchor, torn)

    def _read(self, part: Path, is_last: bool, until: float) -> int | None:
        """As `_go_on`; what is read to its end, and is written to no more, is remembered as it was before."""
        with audit_files.opened(part) as file:
            mark = _mark(os.fstat(file.fileno()))
            read = self._go_on(file, part, is_last, until)
        if read is not None and not is_last:
            self._done.append(mark)
            self._inode = self._offset = self._lines = 0
            self._hash = hashlib.sha256()
        return read

    def _is_as_it_was(self, parts: list[Path], anchor: Head | None) -> bool:
        """Whether what was verified is still there, and the anchor belongs to it."""
        known = len(self._done)
        if [_mark(part.lstat()) for part in parts[:known]] != self._done:
            return False
        if not self._recent:
            return not self._done and not self._offset
        for each in (anchor, self._walk.anchor):  # also the last one: what was wrong with it is among the damages
            if each is None or (0 < each.n <= self._walk.end.n and each not in self._recent):
                return False
        if not self._offset:
            return True
        if len(parts) <= known:
            return False
        if parts[known] != self._name and (self._walk.damages or self._walk.broken or self._walk.acknowledged):
            return False  # renamed since, and what is said of it names the file
        with audit_files.opened(parts[known]) as file:
            same = os.fstat(file.fileno()).st_ino == self._inode
            return same and _hash_of(file, self._offset) == self._hash.digest()

    def _go_on(self, file: BinaryIO, part: Path, is_last: bool, until: float) -> int | None:
        """To the end of a part; the bytes of a last line that is incomplete. None: the time is over."""
        self._name, self._inode = part, os.fstat(file.fileno()).st_ino
        file.seek(self._offset)
        read = 0
        while line := file.readline(LONGEST + 1):
            if is_last and not line.endswith(b"\n") and len(line) <= LONGEST:
                return len(line)
            if read and read % _LOOK == 0 and time.monotonic() > until:
                return None
            read += 1
            if len(self._walk.damages) > MOST:
                return 0
            self._lines += 1
            self._walk.line(part, self._lines, line)
            self._offset += len(line)
            self._hash.update(line)
            self._recent.append(self._walk.end)
        return 0


def _mark(stat: os.stat_result) -> _Mark:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _hash_of(file: BinaryIO, length: int) -> bytes:
    found = hashlib.sha256()
    while length > 0 and (data := file.read(min(_BLOCK, length))):
        found.update(data)
        length -= len(data)
    return found.digest()
