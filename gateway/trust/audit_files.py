"""The files of an audit trail: `audit.jsonl`, the older parts beside it, `audit.head`, which says where it ends, and
`audit.lock`, which whoever writes them holds."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from gateway.core.parsing import JsonObject
from gateway.places.regular import open_regular, read_regular
from gateway.trust.chain import LONGEST, BrokenRecordError, Head, head, read

_BLOCK = 1 << 16


def parts(path: Path) -> list[Path]:
    """All files of the trail that are there, oldest first; the last one is written to."""
    older = sorted(path.parent.glob(f"{path.stem}.[0-9]*{path.suffix}"))
    return [*older, path] if os.path.lexists(path) else older


def is_begun(path: Path) -> bool:
    """Whether there is anything of this trail beside its present file."""
    return os.path.lexists(_head_file(path)) or any(part != path for part in parts(path))


def older_part(path: Path, first: int) -> Path:
    """What the file that begins with record `first` is called once a newer one is begun."""
    return path.with_name(f"{path.stem}.{first:012d}{path.suffix}")


def read_head(path: Path) -> Head | None:
    """The anchored end of the trail, or None if it is missing or illegible. Raises OSError when it is there and cannot be
    read: then nobody knows."""
    with suppress(FileNotFoundError, BrokenRecordError):
        return head(read_regular(_head_file(path), 4096))
    return None


def prepare_head(path: Path, head: Head) -> Path:
    """Lay the anchor's next content beside it, so that moving it takes no room on the disk. No link that somebody laid there
    is followed. OSError when it cannot be done."""
    new = _head_file(path).with_name(f"{_head_file(path).name}.new")
    new.unlink(missing_ok=True)
    _write_new(new, json.dumps({"n": head.n, "hash": head.hash}).encode() + b"\n")
    return new


def move_head(path: Path, new: Path) -> None:
    """Make it the anchor, so that a power cut leaves the old or the new one. OSError when it cannot be done."""
    new.replace(_head_file(path))
    sync_directory(path.parent)


def _write_new(path: Path, data: bytes) -> None:
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(28, "No space left on device")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def opened(path: Path) -> BinaryIO:
    """A file of the trail, to read. OSError also for what is no regular file."""
    return os.fdopen(open_regular(path), "rb")


def sync_directory(directory: Path) -> None:
    """Make renamed and new files last through a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def last_record(parts: list[Path]) -> Head | None:
    """The last sound record of a trail, or None if there is none."""
    for part in reversed(parts):
        for line in lines_backwards(part):
            with suppress(BrokenRecordError):
                record = read(line)
                return Head(record["n"], record["hash"])
    return None


def lines_backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last one first, reading no more of it than is asked for."""
    with opened(path) as file:
        position = file.seek(0, os.SEEK_END)
        rest = b""
        while position:
            step = min(_BLOCK, position)
            position = file.seek(position - step)
            lines = io.BytesIO(file.read(step) + rest).readlines()
            rest = lines.pop(0) if position else b""
            yield from reversed(lines)
            if len(rest) > LONGEST:  # no line of ours; it comes in pieces
                yield rest
                rest = b""


def _head_file(path: Path) -> Path:
    return path.with_suffix(".head")


def after_last_line(path: Path) -> bytes:
    """What stands behind the last end of a line."""
    last = next(lines_backwards(path), b"")
    return b"" if last.endswith(b"\n") else last


def first_number(path: Path) -> int | None:
    """The number of the first record of a file, or None if that is not sound."""
    with opened(path) as file, suppress(BrokenRecordError):
        return int(read(file.readline(LONGEST + 1))["n"])
    return None


def set_aside(path: Path, number: int, torn: bytes) -> Path:
    """Keep the torn beginning of record `number` in a file of its own."""
    aside = path.with_name(f"{path.stem}.{number:012d}.torn")
    aside.unlink(missing_ok=True)
    _write_new(aside, torn)
    return aside


def tail(path: Path, count: int) -> list[JsonObject]:
    """The last records, oldest first; in place of a broken line {"broken": why and what}. Raises OSError."""
    records: list[JsonObject] = []
    for part in reversed(parts(path) or [path]):
        for line in lines_backwards(part):
            if len(records) >= count:
                break
            records.append(_shown(line))
    return records[::-1]


def _shown(line: bytes) -> JsonObject:
    try:
        return read(line)
    except BrokenRecordError as error:
        return {"broken": f"{error}: {line.decode(errors='replace').rstrip()[:200]}"}
