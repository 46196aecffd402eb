"""The audit trail: who did what to this gateway, when and why, in a file that shows any later change.

Each record is on disk, and anchored, before `write` returns: one line is appended to `audit.jsonl`, then `audit.head`, a
file of its own, is moved to it. The chain (`gateway.trust.chain`) shows every change inside; the anchor shows lines cut off
at the end. Neither protects from somebody who may write both files and makes a new chain: for that, keep a copy of a
record's hash where he cannot reach it.

At a start the trail goes on where it ended. What a power cut left half written is set aside, and a record says so. A trail
that was damaged is never mended: it goes on from its anchor, with a record that says what was wrong, and `verify` points at
the damage until somebody has acknowledged it.
"""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting
from gateway.places.regular import open_regular
from gateway.trust import audit_files
from gateway.trust.chain import ACKNOWLEDGED, DAMAGED, START, BrokenRecordError, Head, read, seal
from gateway.trust.verify import MOST, Damage, TrailReport, verify

__all__ = ["AuditError", "AuditTrail", "TrailReport", "verify"]

_AT_ONCE = 100
"""Damages that one record acknowledges."""
_RESERVED = {"n", "ts", "tz", "prev", "hash"}


class AuditError(GatewayError):
    """The audit trail cannot be written. What it should have told must not happen then, or must be told elsewhere."""


class AuditRecords(Protocol):
    """Where a part writes what has happened: the gateway's audit log, `gateway.operate.audit_log`."""

    async def record(self, action: str, who: str, **fields: Any) -> None:
        """Write a record, if that can be."""
        ...


class Unaudited:
    """For parts that run without a gateway, such as those of a benchmark."""

    async def record(self, action: str, who: str, **fields: Any) -> None:
        pass


class AuditTrail:
    """The trail of one gateway. Safe to use from several threads and processes at once."""

    def __init__(self, path: Path, clock: Clock, *, part_size: int = 16 * 1024 * 1024) -> None:
        """`path` is the file that is written to, in a directory of the gateway's own; when it has `part_size` bytes it is
        renamed after its first record, stays beside the new one, and the chain goes on. Raises AuditError."""
        self.path = path
        self._clock = clock
        self._part_size = part_size
        self._end = START
        self._seen: tuple[int, int] | None = None
        """Inode and size of the file when `_end` was true."""
        self.damage = ""
        """What was wrong with the trail when this object found it, in words."""
        self._alone = threading.Lock()
        with self._writing() as file:
            self._catch_up(file)

    def write(self, action: str, who: str, **fields: Any) -> None:
        """Add a record, and return when it is safely on disk: a few milliseconds, on a bad card a second.

        `action` is a word such as "config.reload", `who` the person or part that did it; of use in `fields` are target,
        old, new, why, config, version. Values are what JSON holds; very long ones are cut. Raises AuditError when it cannot
        be written, and ValueError for a field that the trail itself fills.
        """
        if clash := _RESERVED & fields.keys():
            raise ValueError(f"the audit trail itself fills {', '.join(sorted(clash))}")
        with self._writing() as file:
            self._catch_up(file)
            self._add(file, {"action": action, "who": who, **fields})

    def record_damage(self, why: str) -> None:
        """What the trail itself does not show, such as that it was removed. Raises AuditError."""
        self.damage = why
        self.write(DAMAGED, "system", why=why)

    def acknowledge(self, who: str, why: str) -> list[Damage]:
        """Say that somebody has looked at all damage that there is now; `verify` calls it no problem any more. Returns it.
        Blocking: reads the whole trail. Raises AuditError."""
        looked_at: list[Damage] = []
        for _ in range(MOST // _AT_ONCE + 2):
            report = self._report()
            if report.problem is None:
                break
            if not report.damages:  # nothing has come behind it yet
                self.write(DAMAGED, "system", why=report.problem.message)
                continue
            some = report.damages[:_AT_ONCE]
            told = [f"{damage.problem.where}: {damage.problem.message}" for damage in some]
            self.write(ACKNOWLEDGED, who, why=why, damages=[damage.key for damage in some], old=told)
            looked_at += some
        self.damage = ""
        return looked_at

    def _report(self) -> TrailReport:
        try:
            return verify(self.path)
        except OSError as error:
            raise AuditError(f"the audit trail cannot be read: {error.strerror or error}") from error

    def head(self) -> Head:
        """Where the trail ends, whoever wrote last. Raises AuditError."""
        with self._writing() as file:
            self._catch_up(file)
        return self._end

    @contextmanager
    def _writing(self) -> Iterator["_File"]:
        with self._alone:
            try:
                with _locked(self.path) as file:
                    yield file
            except OSError as error:
                self._seen = None
                raise AuditError(
                    f"the audit trail {error.filename or self.path} cannot be written: {error.strerror or error}"
                ) from error

    def _is_acknowledged(self) -> bool:
        """Whether another process has written so since this object wrote."""
        for part in reversed(audit_files.parts(self.path)):
            for line in audit_files.lines_backwards(part):
                with suppress(BrokenRecordError):
                    record = read(line)
                    if record["n"] <= self._end.n or record["action"] == ACKNOWLEDGED:
                        return bool(record["n"] > self._end.n)
        return False

    def _add(self, file: "_File", fields: Mapping[str, object]) -> None:
        with doubting(lambda reason: AuditError(f"this cannot be written into the audit trail: {reason}")):
            line, end = seal({**_now(self._clock), **fields}, self._end)
        if file.size and file.size + len(line) > self._part_size:
            self._begin_part(file)
        new = audit_files.prepare_head(self.path, end)  # first what takes room: a full disk refuses the whole
        file.append(line)
        self._end, self._seen = end, (file.inode, file.size)
        audit_files.move_head(self.path, new)

    def _begin_part(self, file: "_File") -> None:
        first = audit_files.first_number(self.path) or self._end.n
        file.begin_anew(audit_files.older_part(self.path, first))

    def _catch_up(self, file: "_File") -> None:
        """Learn where the chain ends, if this object was not the last that wrote; note what is wrong with it."""
        if self._seen == (file.inode, file.size):
            return
        if not file.size and not audit_files.is_begun(self.path):
            audit_files.move_head(self.path, audit_files.prepare_head(self.path, START))
        torn = file.tear_off()
        if self._seen is not None and self.damage and self._is_acknowledged():
            self.damage = ""
        found = audit_files.last_record(audit_files.parts(self.path)) or START
        anchor = audit_files.read_head(self.path)
        self._end = found
        damage = _damage(found, anchor)
        if anchor is not None and damage:
            self._end = anchor
        if damage:
            self._add(file, {"action": DAMAGED, "who": "system", "why": damage})
            self.damage = damage
        if torn:
            aside = audit_files.set_aside(self.path, self._end.n + 1, torn)
            what = {"target": aside.name, "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
            why = "the last line was written only in part, as a power cut leaves it"
            self._add(file, {"action": "audit.sealed", "who": "system", "why": why, **what})
        self._seen = (file.inode, file.size)


def _damage(found: Head, anchor: Head | None) -> str:
    """What is wrong with the end of the trail; empty if nothing. One that ends behind its anchor is sound: there the power
    went between the two writes."""
    if anchor is None:
        return "audit.head was missing or illegible, so nobody can say whether records were missing" if found.n else ""
    if found.n > anchor.n or found == anchor:
        return ""
    return f"the trail ended with {found} where {anchor} was the last one written"


def _now(clock: Clock) -> dict[str, str]:
    wall_ns = clock.wall_ns()
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    ahead, minutes = divmod(abs(time.localtime(seconds).tm_gmtoff) // 60, 60)
    sign = "-" if time.localtime(seconds).tm_gmtoff < 0 else "+"
    utc = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    now = {"ts": f"{utc}.{rest // 1_000_000:03d}Z", "tz": f"{sign}{ahead:02d}:{minutes:02d}"}
    synchronised = clock.synchronised()
    return now if synchronised else {**now, "clock": "unknown" if synchronised is None else "not synchronised"}


class _File:
    """The file that is written to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _open(path, os.O_RDWR | os.O_APPEND)

    def close(self) -> None:
        os.close(self._descriptor)

    def begin_anew(self, older: Path) -> None:
        """Give the file another name, and begin a new one of the old name."""
        self.path.rename(older)
        self.close()
        self._descriptor = _open(self.path, os.O_RDWR | os.O_APPEND)

    @property
    def inode(self) -> int:
        return os.fstat(self._descriptor).st_ino

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def append(self, line: bytes) -> None:
        """Write a line and sync it: the whole of it, or, on a full disk, nothing."""
        before = self.size
        try:
            if os.write(self._descriptor, line) != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise
        if not before:
            audit_files.sync_directory(self.path.parent)

    def tear_off(self) -> bytes:
        """Remove what stands behind the last whole line, and return it."""
        torn = audit_files.after_last_line(self.path)
        if torn:
            os.ftruncate(self._descriptor, self.size - len(torn))
        return torn


@contextmanager
def _locked(path: Path) -> Iterator[_File]:
    """The file, while nobody else writes to the trail."""
    lock = _open(path.with_suffix(".lock"), os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = _File(path)
        try:
            yield file
        finally:
            file.close()
    finally:
        os.close(lock)


def _open(path: Path, flags: int) -> int:
    return open_regular(path, flags | os.O_CREAT | os.O_NOFOLLOW)
