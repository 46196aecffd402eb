"""Delta tables read without us: by DuckDB over the files that the table's log names."""

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable


def rows(lake: Path, table: str = "readings", version: int | None = None) -> pa.Table:
    """All rows of a version; none where there is no table."""
    if not (lake / table / "_delta_log").exists():
        return pa.table({"log": [], "lane": [], "seq": [], "row": [], "tag": []})
    return DeltaTable(lake / table, version=version).to_pyarrow_table()


def ids(lake: Path) -> list[str]:
    """Ids of all records, as often as they are there; of one with several readings once for each time its first is there."""
    found = []
    for table in ("readings", "records"):
        columns = ["log", "lane", "seq", *(["row"] if table == "readings" else [])]
        read = rows(lake, table).select(columns).to_pylist()
        found += [f"{row['log']}:{row['lane']}:{row['seq']}" for row in read if not row.get("row")]
    return found
