"""The files of an audit trail: `audit.jsonl`, the older parts beside it, `audit.head`, which says where it ends, and
`audit.lock`, which whoever writes them holds."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.trust.chain import BrokenRecordError, Head, read

_BLOCK = 1 << 16


def parts(path: Path) -> list[Path]:
    """All files of the trail that are there, oldest first; the last one is written to."""
    older = sorted(path.parent.glob(f"{path.stem}.[0-9]*{path.suffix}"))
    return [*older, path] if path.exists() else older


def is_begun(path: Path) -> bool:
    """Whether there is anything of this trail beside its present file."""
    return _head_file(path).exists() or any(part != path for part in parts(path))


def older_part(path: Path, first: int) -> Path:
    """What the file that begins with record `first` is called once a newer one is begun."""
    return path.with_name(f"{path.stem}.{first:012d}{path.suffix}")


def read_head(path: Path) -> Head | None:
    """The anchored end of the trail, or None if it is missing or illegible."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(_head_file(path).read_bytes())
        return Head(int(said["n"]), str(said["hash"]))
    return None


def write_head(path: Path, head: Head) -> None:
    """Move the anchor, so that a power cut leaves the old or the new one. OSError when it cannot be done."""
    target = _head_file(path)
    new = target.with_name(f"{target.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        os.write(descriptor, json.dumps({"n": head.n, "hash": head.hash}).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(target)
    sync_directory(path.parent)


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
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        rest = b""
        while position:
            step = min(_BLOCK, position)
            position = file.seek(position - step)
            lines = io.BytesIO(file.read(step) + rest).readlines()
            rest = lines.pop(0) if position else b""
            yield from reversed(lines)


def _head_file(path: Path) -> Path:
    return path.with_suffix(".head")


def after_last_line(path: Path) -> bytes:
    """What stands behind the last end of a line."""
    last = next(lines_backwards(path), b"")
    return b"" if last.endswith(b"\n") else last


def first_number(path: Path) -> int | None:
    """The number of the first record of a file, or None if that is not sound."""
    with path.open("rb") as file, suppress(BrokenRecordError):
        return int(read(file.readline())["n"])
    return None


def set_aside(path: Path, number: int, torn: bytes) -> Path:
    """Keep the torn beginning of record `number` in a file of its own."""
    aside = path.with_name(f"{path.stem}.{number:012d}.torn")
    aside.touch(0o640)
    aside.write_bytes(torn)
    return aside


def tail(path: Path, count: int) -> list[dict[str, Any]]:
    """The last records, oldest first; in place of a broken line {"broken": why and what}. Raises OSError."""
    records: list[dict[str, Any]] = []
    for part in reversed(parts(path) or [path]):
        for line in lines_backwards(part):
            if len(records) >= count:
                break
            records.append(_shown(line))
    return records[::-1]


def _shown(line: bytes) -> dict[str, Any]:
    try:
        return read(line)
    except BrokenRecordError as error:
        return {"broken": f"{error}: {line.decode(errors='replace').rstrip()[:200]}"}
