"""A lake read without us: by pyarrow, file by file, and by what its manifests say."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pyarrow import parquet


def manifests(lake: Path) -> list[dict[str, Any]]:
    """All of them, those of each log in their order."""
    return [json.loads(path.read_text()) for path in sorted(lake.glob("_commits/*/*/*.json"))]


def lake_ids(lake: Path) -> list[str]:
    """Ids of the records of all files that a plain reader would find, a record of several files once; each file is one that a
    manifest names, with its rows and its hash."""
    named = {file["path"]: file for manifest in manifests(lake) for file in manifest["files"]}
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    for path in sorted(lake.glob("re*/**/*.parquet")):
        file = named[str(path.relative_to(lake))]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
        columns = ["log", "lane", "seq"] + (["row"] if path.is_relative_to(lake / "readings") else [])
        table = parquet.ParquetFile(path).read(columns=columns).to_pydict()
        assert len(table["seq"]) == file["rows"]
        ids = [f"{log}:{lane}:{seq}" for log, lane, seq in zip(table["log"], table["lane"], table["seq"], strict=True)]
        rows = table.get("row", [0] * len(ids))
        of_file: dict[str, list[int]] = {}
        for record, row in zip(ids, rows, strict=True):
            of_file.setdefault(record, []).append(row)
        assert all(len(set(rows)) == len(rows) for rows in of_file.values())
        for record in of_file:
            commit = path.stem.rpartition("-")[2]
            if (record, commit) not in seen:
                seen.add((record, commit))
                found.append(record)
    return found
