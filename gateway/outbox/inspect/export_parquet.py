"""Readings of a log as a Parquet file: the columns of the CSV, with types, written in row groups as they are read.

A reading's value stands in `value` (float64); where that cannot hold it exactly (large integers, texts, bytes, arrays), it
stands in `exact` as the CSV writes it, and `value` is null. Times are nanoseconds UTC, `code` is the OPC UA status code.
"""

from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from gateway.core.quality import describe, status_code
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import Device, Tag
from gateway.outbox.inspect.export import PLACES, Exported, Wanted, blocks, exact_text
from gateway.outbox.inspect.log_files import LogFiles

ROW_GROUP = 131_072
"""Rows that are gathered in memory and written together."""

_TIME = pa.timestamp("ns", tz="UTC")
SCHEMA = pa.schema(
    [
        ("time", _TIME),
        ("device", pa.string()),
        ("tag", pa.string()),
        ("value", pa.float64()),
        ("exact", pa.string()),
        ("unit", pa.string()),
        ("type", pa.string()),
        ("quality", pa.string()),
        ("code", pa.uint32()),
        ("accepted", _TIME),
        ("id", pa.string()),
        *((name, pa.string()) for name in PLACES),
        ("config", pa.string()),
        ("clock", pa.string()),
    ]
)


def export_parquet(log: LogFiles, wanted: Wanted, out: BinaryIO, progress: Callable[[int], None]) -> Exported:
    """Write the readings in the order of their numbers; `progress` is told how many bytes of the log were done. Raises
    OSError."""
    exported = Exported()
    group = _RowGroup()
    schema = SCHEMA.with_metadata({"log": log.log_id})
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for record, readings in blocks(log, wanted, exported, progress):
            group.add(record, readings)
            if group.rows >= ROW_GROUP:
                writer.write_table(group.table(schema))
                group = _RowGroup()
        if group.rows:
            writer.write_table(group.table(schema))
    return exported


class _RowGroup:
    """Blocks that become one row group; what is the same for many rows is looked up once."""

    def __init__(self) -> None:
        self.rows = 0
        self._records: list[Record] = []
        self._readings: list[Readings] = []
        self._tags: dict[int, Tag] = {}
        self._devices: set[Device] = set()

    def add(self, record: Record, readings: Readings) -> None:
        """One block more."""
        self._records.append(record)
        self._readings.append(readings)
        self.rows += len(readings)
        if readings.device not in self._devices:
            self._devices.add(readings.device)
            self._tags |= {tag.id: tag for tag in readings.device.tags}

    def table(self, schema: pa.Schema) -> pa.Table:
        """All of them, in the order in which they came."""
        readings = self._readings
        columns = {
            "time": pa.array(np.concatenate([each.t_ns for each in readings]), pa.int64()).cast(_TIME),
            **self._values(),
            **self._of_tags(np.concatenate([each.tag for each in readings])),
            **_of_qualities(np.concatenate([each.quality for each in readings])),
            **self._of_records(),
        }
        return pa.table([columns[name] for name in schema.names], schema=schema)

    def _values(self) -> dict[str, Any]:
        exact: list[str | None] = [None] * self.rows
        start = 0
        for each in self._readings:
            for row, said in each.exact.items():
                exact[start + row] = exact_text(said)
            start += len(each)
        value = np.concatenate([each.value for each in self._readings])
        return {"value": pa.array(value, mask=np.isnan(value)), "exact": pa.array(exact, pa.string())}

    def _of_tags(self, column: NDArray[np.uint32]) -> dict[str, Any]:
        numbers, place = np.unique(column, return_inverse=True)
        tags = [self._tags[number] for number in numbers.tolist()]
        cells = {
            "device": [tag.device for tag in tags],
            "tag": [tag.name for tag in tags],
            "unit": [tag.unit for tag in tags],
            "type": [tag.type for tag in tags],
        }
        return {name: pa.array(texts).take(pa.array(place)) for name, texts in cells.items()}

    def _of_records(self) -> dict[str, Any]:
        records = self._records
        place = pa.array(np.repeat(np.arange(len(records)), [len(readings) for readings in self._readings]))
        contexts = [[getattr(readings.device.context, name) for name in PLACES] for readings in self._readings]
        cells = {
            "id": pa.array([record.id for record in records]),
            "config": pa.array([record.config for record in records]),
            "clock": pa.array([record.clock.words for record in records]),
            "accepted": pa.array([record.wall_ns for record in records], pa.int64()).cast(_TIME),
            **{name: pa.array(column) for name, column in zip(PLACES, zip(*contexts, strict=True), strict=True)},
        }
        return {name: column.take(place) for name, column in cells.items()}


def _of_qualities(column: NDArray[np.uint32]) -> dict[str, Any]:
    codes, place = np.unique(column, return_inverse=True)
    rows = pa.array(place)
    return {
        "quality": pa.array([describe(code) for code in codes.tolist()]).take(rows),
        "code": pa.array([status_code(code) for code in codes.tolist()], pa.uint32()).take(rows),
    }
