"""Readings of a log as a Parquet file: the columns of the CSV, with types, written in row groups as they are read.

A reading's value stands in `value` (float64); where that cannot hold it exactly (large integers, texts, bytes, arrays), it
stands in `exact` as the CSV writes it, and `value` is null. Times are nanoseconds UTC, `code` is the OPC UA status code.
"""

from collections.abc import Callable
from typing import BinaryIO

import pyarrow as pa
from pyarrow import parquet

from gateway.kit.table import NS, ReadingsColumns
from gateway.outbox.inspect.export import PLACES, Exported, Wanted, blocks
from gateway.outbox.inspect.log_files import LogFiles

ROW_GROUP = 131_072
"""Rows that are gathered in memory and written together."""

SCHEMA = pa.schema(
    [
        ("time", NS),
        ("device", pa.string()),
        ("tag", pa.string()),
        ("value", pa.float64()),
        ("exact", pa.string()),
        ("unit", pa.string()),
        ("type", pa.string()),
        ("quality", pa.string()),
        ("code", pa.uint32()),
        ("accepted", NS),
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
    group = ReadingsColumns()
    schema = SCHEMA.with_metadata({"log": log.log_id})
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for record, readings in blocks(log, wanted, exported, progress):
            group.add(record, readings)
            if group.rows >= ROW_GROUP:
                writer.write_table(group.table(schema))
                group = ReadingsColumns()
        if group.rows:
            writer.write_table(group.table(schema))
    return exported
