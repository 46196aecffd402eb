"""The two tables of a lake, readings and records, and what of each log is in them. All calls block.

A version of a table carries, in one entry of the table's own log, the rows and who they are of: for each log and lane the
last number (`txn`, application "LOG:lane"), the number of commits (application "LOG"), and, as text, all that is
committed. So after a crash the table itself says what it has (Delta protocol, "Transaction Identifiers").
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from deltalake import ColumnProperties, CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from gateway.kit.committed import Committed
from gateway.kit.table import READINGS, ReadingsColumns, records_table
from gateway.plugin import (
    Batch,
    LinkError,
    Record,
    RefusedError,
    cleaned,
    doubting,
    parse_json,
    read_regular,
    to_json,
    write_whole,
)

from .config import DeltaConfig

MOST_DAYS = 32
"""Of one commit: a device whose clock is wild must not make a file a second. Rows of further days have no date."""
TARGET = 128 * 1024 * 1024
"""Bytes of a file that compaction aims at; larger ones are left alone."""
SAID = "edge_gateway"
"""Under which a version tells what of a log is committed."""
STATE_AT_MOST = 64 * 1024 * 1024
HISTORY = 1000
"""Versions that are looked through for the last one of ours."""
RETRIES = {"max_retries": "3", "retry_timeout": "20s"}
"""Of one request, by the library; beyond, the whole commit is tried once more, later and later."""
TRIES = 2
"""Times that a version is tried under the next number, since another writer took this one."""
_SEEN = ("time", "device", "tag", "accepted", "seq")
"""Columns by which readers leave out files; statistics of all others would cost more than all the rest of writing."""


def _column(dictionary: bool = True, seen: bool = False) -> ColumnProperties:
    return ColumnProperties(dictionary_enabled=dictionary, statistics_enabled="CHUNK" if seen else "NONE")


_WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=3,
    max_row_group_size=131_072,
    default_column_properties=_column(),
    column_properties={
        **{name: _column(name in ("device", "tag"), seen=True) for name in _SEEN},
        "value": _column(dictionary=False),
    },
)
_CONFIGURATION = {"readings": {"delta.dataSkippingStatsColumns": ",".join(_SEEN)}}
_DAY = 86_400_000_000_000


class Tables:
    def __init__(self, config: DeltaConfig, gateway: str, folder: Path, memory: dict[str, Any], log: Any) -> None:
        """`folder`: of the sink itself; `memory`: what its connections leave to each other."""
        self._gateway = gateway
        self._config = config
        self.progress = 0
        self._tables = [Table(config, name, folder, log) for name in ("records", "readings")]
        self._compacted = memory.setdefault("compacted", {})

    @property
    def promise(self) -> dict[str, Any]:
        """What status says of them."""
        return {"versions": {table.name: table.version for table in self._tables}}

    def commit(self, batch: Batch) -> None:
        """Write what is not there yet, in each table for itself: a record is in one of them."""
        for table in self._tables:
            readings = table.name == "readings"
            records = [record for record in batch.records if (record.readings is not None) == readings]
            logs: dict[str, list[Record]] = {}
            for record in records:
                logs.setdefault(record.log, []).append(record)
            for name, some in logs.items():
                table.commit(name, Batch(some, batch.again), self._rows)
                self.progress += 1
            if (
                time.monotonic() - self._compacted.setdefault(table.name, time.monotonic())
                >= self._config.compact_every
            ):
                self._compacted[table.name] = time.monotonic()
                table.compact()
                self.progress += 1

    def _rows(self, records: Sequence[Record]) -> pa.Table:
        if records[0].readings is None:
            table = records_table(records, self._gateway)
            days = np.array([record.wall_ns // _DAY for record in records], np.int32)
            return table.append_column("date", pa.array(days).cast(pa.date32()))
        columns = ReadingsColumns(self._gateway)
        for record in records:
            assert record.readings is not None
            columns.add(record, record.readings)
        parts = columns.sort(lambda tag: "", MOST_DAYS)
        sizes = [part.end - part.start for part in parts]
        days = np.repeat(np.array([part.day or 0 for part in parts], np.int32), sizes)
        known = np.repeat(np.array([part.day is not None for part in parts]), sizes)
        table = columns.table(READINGS, dictionaries=True)
        return table.append_column("date", pa.array(days, mask=~known).cast(pa.date32()))


class Table:
    """One of them."""

    def __init__(self, config: DeltaConfig, name: str, folder: Path, log: Any) -> None:
        self.name = name
        self._config = config
        self._place = f"{config.place}/{name}"
        self._options = config.store_options() | (RETRIES if config.url else {})
        self._folder = folder
        self._log = log
        self._ours: dict[str, tuple[int, Committed]] = {}
        """By log: number of commits, and what is committed."""
        self._table: DeltaTable | None = self._opened()

    @property
    def version(self) -> int | None:
        """The table's version, as far as we know."""
        return None if self._table is None else self._table.version()

    def _opened(self) -> DeltaTable | None:
        with _in_words(self._place):
            try:
                return DeltaTable(self._place, storage_options=self._options)
            except TableNotFoundError:
                if (self._folder / f"{self.name}.json").exists() and self._noted()["place"] == self._place:
                    raise RefusedError(
                        f"{self._place} is gone, though this sink has written it: is the disk mounted, is it the right "
                        f"bucket? To begin anew there, remove {self._folder / self.name}.json"
                    ) from None
                return None

    def commit(self, log: str, batch: Batch, rows: Any) -> None:
        """One version with what is not there yet."""
        count, committed = self._of(log)
        if not (new := committed.new(batch)):
            return
        after = Committed.load(committed.dump())
        after.add(batch.records, batch.again)
        said = {"log": log, "commit": count + 1, "committed": after.dump()}
        last: dict[str, int] = {}
        for record in batch.records:
            if not batch.again.get(record) and not record.unkept:
                last[f"{log}:{record.lane.word}"] = record.seq
        properties = CommitProperties(
            max_commit_retries=TRIES,
            custom_metadata={SAID: to_json(said).decode()},
            app_transactions=[Transaction(name, seq) for name, seq in {**last, log: count + 1}.items()],
        )
        self._write(rows(new), properties)
        self._ours[log] = count + 1, after
        self._note(log)

    def _write(self, rows: pa.Table, properties: CommitProperties) -> None:
        with _in_words(self._place):
            if self._table is not None:
                _refuse_changed(self._table, rows, self._place)
            write_deltalake(
                self._table if self._table is not None else self._place,
                rows,
                mode="append",
                schema_mode="merge",
                partition_by=["date"] if self._table is None else None,
                name=self.name if self._table is None else None,
                configuration=_CONFIGURATION.get(self.name) if self._table is None else None,
                storage_options=self._options,
                writer_properties=_WRITER,
                commit_properties=properties,
            )
            if self._table is None:
                self._table = DeltaTable(self._place, storage_options=self._options)
            if self._config.folder is not None:
                _make_durable(Path(self._place), self._table.version())

    def _of(self, log: str) -> tuple[int, Committed]:
        """By what we have noted, where the table agrees; else by the table."""
        if log not in self._ours:
            there = self._table.transaction_version(log) if self._table is not None else None
            if there is None:
                self._ours[log] = 0, Committed()
            else:
                self._ours[log] = self._remembered(log, there) or self._told(log, there)
        return self._ours[log]

    def _remembered(self, log: str, there: int) -> tuple[int, Committed] | None:
        assert self._table is not None
        said = self._noted()
        mine = said["logs"].get(log)
        if said["table"] != str(self._table.metadata().id) or mine is None or mine["commit"] != there:
            return None
        return there, Committed.load(mine["committed"])

    def _told(self, log: str, there: int) -> tuple[int, Committed]:
        """By the last version of ours, or, where that is no more in the log, by its marks."""
        assert self._table is not None
        for entry in islice(_entries(self._config, self.name), HISTORY):
            for line in entry.splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                    said = json.loads(json.loads(line)["commitInfo"][SAID])
                    if said["log"] == log and said["commit"] == there:
                        return there, Committed.load(said["committed"])
        marks = {f"{log}:{lane}": self._table.transaction_version(f"{log}:{lane}") for lane in ("alarm", "data")}
        ends = {name: mark + 1 for name, mark in marks.items() if mark is not None}
        self._log.warning(
            "the table's history no longer says what it has; it is taken by its last numbers", table=self.name
        )
        return there, Committed.load(
            {"lanes": {name: [[0, end]] for name, end in ends.items()}, "marks": ends, "ids": []}
        )

    def _noted(self) -> dict[str, Any]:
        nothing: dict[str, Any] = {"table": "", "place": "", "logs": {}}
        try:
            data = read_regular(self._folder / f"{self.name}.json", STATE_AT_MOST)
        except FileNotFoundError:
            return nothing
        try:
            with doubting(LinkError):
                said = parse_json(data, size=STATE_AT_MOST)
                for each in said["logs"].values():
                    Committed.load(each["committed"])
                return {"table": str(said["table"]), "place": str(said["place"]), "logs": dict(said["logs"])}
        except LinkError as error:
            self._log.warning("the note of what is in the table is damaged; the table is asked", error=str(error))
            return nothing

    def _note(self, log: str) -> None:
        assert self._table is not None
        table = str(self._table.metadata().id)
        said = self._noted()
        count, committed = self._ours[log]
        logs = {
            **(said["logs"] if said["table"] == table else {}),
            log: {"commit": count, "committed": committed.dump()},
        }
        state = {"table": table, "place": self._place, "logs": logs}
        write_whole(self._folder / f"{self.name}.json", to_json(state))

    def compact(self) -> None:
        """Small files become larger ones, and what nobody can travel to any more is removed. What cannot be done is told, and
        done the next time: no row hangs on it."""
        if self._table is None:
            return
        try:
            with _in_words(self._place):
                self._table.optimize.compact(target_size=TARGET, max_concurrent_tasks=1, writer_properties=_WRITER)
                hours = max(1, round(self._config.keep_versions / 3600))
                self._table.vacuum(hours, dry_run=False, enforce_retention_duration=False)
                self._table.cleanup_metadata()
        except (LinkError, OSError) as error:
            self._log.warning("a table was not compacted", table=self._place, error=str(error))


def _refuse_changed(table: DeltaTable, rows: pa.Table, place: str) -> None:
    """A column that somebody has made another type takes no rows of ours, and is not changed by us."""
    there = {field.name: field for field in pa.schema(table.schema().to_arrow())}
    for field in rows.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if field.name in there and not _same(there[field.name].type, kind):
            raise RefusedError(
                f'{place}: somebody has changed the table: column "{field.name}" is {there[field.name].type}, and our rows '
                f"have {kind} there. Change it back, or name another place; all waits in the outbox"
            )
    missing = [name for name, field in there.items() if not field.nullable and name not in rows.column_names]
    if missing:
        raise RefusedError(
            f'{place}: somebody has changed the table: column "{missing[0]}" must not be null, and we have nothing for it'
        )


def _entries(config: DeltaConfig, table: str) -> Iterator[bytes]:
    """The entries of a table's log, the newest first. Read by ourselves: `DeltaTable.history` keeps Python's lock while it
    waits for the store, and all of the gateway with it."""
    if config.folder is not None:
        for path in sorted((config.folder / table / "_delta_log").glob("*.json"), reverse=True):
            yield path.read_bytes()
        return
    try:
        import obstore
        from obstore.exceptions import BaseError
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"an object store needs a library that is not installed ({error.name}): {sys.executable} -m pip install obstore"
        ) from error
    try:
        store = config.object_store()
        listed = obstore.list_with_delimiter(store, f"{table}/_delta_log")["objects"]
        for name in sorted((each["path"] for each in listed if each["path"].endswith(".json")), reverse=True):
            yield bytes(obstore.get(store, name).bytes())
    except BaseError as error:
        raise LinkError(f"{config.place}: {cleaned(str(error)[:300])}") from error


def _same(there: Any, ours: Any) -> bool:
    texts = (pa.string(), pa.large_string(), pa.string_view())
    blobs = (pa.binary(), pa.large_binary(), pa.binary_view())
    return there == ours or (there in texts and ours in texts) or (there in blobs and ours in blobs)


def _make_durable(path: Path, version: int) -> None:
    """delta-rs writes and renames, and syncs nothing: a version that a power cut may undo is not acknowledged."""
    entry = path / "_delta_log" / f"{version:020}.json"
    folders = {entry.parent, path, path.parent}
    for line in entry.read_bytes().splitlines():
        added = json.loads(line).get("add")
        if added:
            file = path / unquote(added["path"])
            _sync(file)
            folders.add(file.parent)
    _sync(entry)
    for folder in folders:
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _in_words(place: str) -> Iterator[None]:
    try:
        yield
    except DeltaError as error:
        said = cleaned(str(error).splitlines()[0] if str(error) else type(error).__name__)
        if "No space left" in str(error):
            said = "there is no room for the next commit, which waits in the outbox"
        raise LinkError(f"{place}: {said}") from error
    except (ValueError, RuntimeError) as error:  # what deltalake makes of some troubles of a store
        raise LinkError(f"{place}: {cleaned(error)}") from error


def found(config: DeltaConfig) -> str:
    """For a check: what is there, in words; changes nothing."""
    place = f"{config.place}/readings"
    with _in_words(place):
        try:
            table = DeltaTable(place, storage_options=config.store_options())
        except TableNotFoundError:
            return f"{config.place}: there, and no tables yet"
        return f"{config.place}: tables, the readings at version {table.version()}"
