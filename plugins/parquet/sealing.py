"""Files of one commit, sealed in staging: written, synced, counted and hashed before any of them is put into the lake."""

import hashlib
import os
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from pyarrow import parquet

from gateway.kit.table import READINGS, ReadingsColumns, records_table
from gateway.plugin import Record, Tag, read_regular, to_json, write_whole

from .config import GROUPS, Partition

FORMAT = 1
"""Of manifests and of what a lake says of itself."""
MOST_DAYS = 32
"""Of one commit: a device whose clock is wild must not make a file a second. Rows of further days share one file, whose day
is NULL."""
NO_DAY = "__HIVE_DEFAULT_PARTITION__"
MANIFEST = "manifest.json"
_TEXTS = [field.name for field in READINGS if pa.types.is_string(field.type)]
_DELTA = dict.fromkeys(("time", "accepted", "seq"), "DELTA_BINARY_PACKED")
_SEEN = ["time", "device", "tag", "value", "accepted", "seq"]
"""Columns by which readers leave out parts of a file."""

Said = dict[str, Any]


class Sealing:
    """Seals commits in a folder: it is `next` while it is written, and `sealed` in the moment in which it is whole."""

    def __init__(self, folder: Path, partition: Partition, level: int, progress: Callable[[], None]) -> None:
        self._folder = folder
        self._next = folder / "next"
        self.sealed = folder / "sealed"
        self._partition = partition
        self._level = level
        self._progress = progress

    def found(self) -> bytes | None:
        """The manifest of a commit that was sealed and not put away, and what was not sealed is removed."""
        shutil.rmtree(self._next, ignore_errors=True)
        with suppress(FileNotFoundError):
            return read_regular(self.sealed / MANIFEST, 1 << 26)
        self.done()
        return None

    def done(self) -> None:
        """It is in the lake."""
        shutil.rmtree(self.sealed, ignore_errors=True)

    def seal(self, records: Sequence[Record], gateway: str, head: Said) -> bytes:
        """Returns the manifest: `head`, and what the commit holds. Raises OSError, and then leaves nothing."""
        shutil.rmtree(self._next, ignore_errors=True)
        self._next.mkdir(parents=True)
        try:
            manifest = to_json({**head, **_told(records), "files": self._files(records, gateway, head)})
            write_whole(self._next / MANIFEST, manifest)
            self._next.rename(self.sealed)
            _sync(self._folder)
        except BaseException:
            shutil.rmtree(self._next, ignore_errors=True)
            raise
        return manifest

    def _files(self, records: Sequence[Record], gateway: str, head: Said) -> list[Said]:
        files = []
        readings = [record for record in records if record.readings is not None and len(record.readings)]
        if readings:
            files += self._readings(readings, gateway, _name(readings, head))
        others: dict[tuple[str, int], list[Record]] = {}
        for record in records:
            if record.readings is None:
                others.setdefault((record.lane.word, record.wall_ns // 86_400_000_000_000), []).append(record)
        for (_, day), some in others.items():
            table = records_table(some, gateway)
            files.append(self._write(table, f"records/date={_day(day)}/{_name(some, head)}"))
        return files

    def _readings(self, records: Sequence[Record], gateway: str, name: str) -> list[Said]:
        columns = ReadingsColumns(gateway)
        for record in records:
            assert record.readings is not None
            columns.add(record, record.readings)
        parts = columns.sort(self._group, MOST_DAYS)
        table = columns.table(READINGS, dictionaries=True)
        files = []
        for part in parts:
            group = f"part={part.group}/" if part.group else ""
            place = f"readings/date={NO_DAY if part.day is None else _day(part.day)}/{group}{name}"
            files.append(self._write(table.slice(part.start, part.end - part.start), place, delta=True))
        return files

    def _group(self, tag: Tag) -> str:
        if self._partition == "device":
            return _folder_of(tag.device)
        return f"{zlib.crc32(tag.device.encode()) % GROUPS:02}" if self._partition == "group" else ""

    def _write(self, table: pa.Table, place: str, *, delta: bool = False) -> Said:
        staged = self._next / f"{len(list(self._next.iterdir())):05}"
        parquet.write_table(
            table,
            staged,
            compression="zstd",
            compression_level=self._level,
            store_schema=False,
            use_dictionary=[name for name in table.column_names if name in (*_TEXTS, "kind", "code", "row")],
            column_encoding={**_DELTA, "value": "BYTE_STREAM_SPLIT"} if delta else None,
            write_statistics=[name for name in table.column_names if name in _SEEN],
        )
        _sync(staged)
        self._progress()
        return {
            "path": place,
            "staged": staged.name,
            "rows": table.num_rows,
            "bytes": staged.stat().st_size,
            "sha256": _hash(staged),
        }


def _folder_of(device: str) -> str:
    """Its name, escaped as Hive does; of one that is too long for a folder a part, and a hash."""
    quoted = quote(device, safe="")
    if len(quoted) <= 200:
        return quoted
    return f"{re.sub('[^a-zA-Z0-9._-]', '_', device)[:100]}-{hashlib.sha256(device.encode()).hexdigest()[:16]}"


def _told(records: Sequence[Record]) -> Said:
    """What a commit says of its records: numbers of the first and last, and how many, by lane; readings by device."""
    lanes = {}
    for lane in sorted({record.lane for record in records}):
        some = [record for record in records if record.lane is lane]
        lanes[lane.word] = {
            "first": min(record.seq for record in some),
            "last": max(record.seq for record in some),
            "records": len(some),
            "readings": sum(record.rows for record in some),
        }
    devices: Counter[str] = Counter()
    for record in records:
        if record.readings is not None:
            devices[record.readings.device.name] += len(record.readings)
    return {"lanes": lanes, "devices": dict(sorted(devices.items()))}


def _name(records: Sequence[Record], head: Said) -> str:
    first, last = min(record.seq for record in records), max(record.seq for record in records)
    return f"{records[0].log}-{records[0].lane.word}-{first:012}-{last:012}-{head['commit']:09}.parquet"


def _day(day: int) -> str:
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date())


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
