"""Normal data from where people have it: a CSV or Parquet file, or the gateway's outbox.

Two kinds of tables are understood, told apart by their titles. Wide: a column `time` (or `datetime`, `timestamp`, `date`;
else the first one), and one column per tag, whose title may end with its unit in brackets, `bed_temp [°C]`. Long: what
`edge-gateway outbox export` writes, one reading a row with the columns time, device, tag, value, unit, quality.
Times are RFC 3339, with a blank instead of the T if you like, or as German Excel writes them (25.10.2026 14:30), UTC where no
zone is given; or numbers, seconds since 1970. See `gateway.config.text` for what of spreadsheets is understood.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.config.text import Sheet, SheetError, moment, read_sheet, shows_error
from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting
from gateway.core.quality import UNCERTAIN
from gateway.core.readings import Readings
from gateway.core.times import EARLIEST, LATEST
from gateway.detect.learn.table import Table, Times, from_columns
from gateway.outbox.inspect import Exported, LogFiles, Wanted, blocks
from gateway.places.regular import open_regular, read_regular

LONGEST = 1 << 30
"""Bytes of a CSV file."""
TIMES = ("time", "datetime", "timestamp", "date")
"""Titles of a column of times."""
LONG = ("time", "device", "tag", "value")
"""Columns of a table with one reading a row."""
_UNIT = re.compile(r"^(.*\S)\s*\[([^\]]*)\]$")
_NUMBERS = frozenset({"bool", "float32", "float64"})

Columns = Mapping[str, Sequence[Any]]
"""By title, in the order of the file."""


def read_file(path: Path, device: str | None = None) -> Table:
    """A CSV (with commas, semicolons or tabs) or Parquet file, or the folder of a lake; `device`: whose readings, where there
    are several. Raises GatewayError with what is wrong with it."""
    with doubting(lambda reason: GatewayError(f"{path}: cannot be read: {reason}")):
        if path.is_dir():
            return _lake(path, device)
        return from_titled(_columns(path), str(path), device)


def _columns(path: Path) -> Columns:
    try:
        return _parquet(path) if path.suffix == ".parquet" else _csv(path)
    except OSError as error:
        raise GatewayError(f"{path}: cannot be read: {error.strerror or error}") from error


def from_titled(columns: Columns, name: str, device: str | None = None) -> Table:
    """A table from the columns of a file called `name`; cells are texts, numbers or None. Raises GatewayError."""
    if not columns or not next(iter(columns.values())):
        raise GatewayError(f"{name}: holds no rows")
    if all(title in columns for title in LONG):
        return _long(columns, name, device)
    title = next((title for title in columns if title.lower() in TIMES), next(iter(columns)))
    t_ns = _times(columns[title], f'{name}: column "{title}"')
    tags = [other for other in columns if other != title]
    if not tags:
        raise GatewayError(f"{name}: has one column only: write a column of times and one for each tag")
    rows = np.stack([_numbers(columns[tag], f'{name}: column "{tag}"') for tag in tags], axis=1)
    order = np.argsort(t_ns, kind="stable")
    named = [_UNIT.match(tag) for tag in tags]
    return Table(
        tuple(match[1] if match else tag for match, tag in zip(named, tags, strict=True)),
        tuple(match[2] if match else "" for match in named),
        t_ns[order],
        rows[order],
    )


def from_outbox(
    log: LogFiles, device: str, from_ns: int, to_ns: int, progress: Callable[[int], None] = lambda size: None
) -> Table:
    """What the outbox still has of one device. Raises GatewayError when that is nothing, and OSError."""
    units: dict[str, str] = {}
    place: dict[str, int] = {}
    parts: list[tuple[Times, NDArray[np.intp], NDArray[np.float64]]] = []
    for _, readings in blocks(log, Wanted([device], from_ns, to_ns), Exported(), progress):
        named = {tag.id: tag for tag in readings.device.tags}
        units |= {tag.name: tag.unit for tag in named.values()}
        ids, row = np.unique(readings.tag, return_inverse=True)
        places = np.array([place.setdefault(named[tag].name, len(place)) for tag in ids.tolist()], np.intp)
        parts.append((readings.t_ns, places[row], _good(readings)))
    if not parts:
        raise GatewayError(
            f'{log.directory}: holds nothing of device "{device}" in this time: set  [outbox] keep = "7d"  so that delivered '
            "readings stay, or give a file with  --data"
        )
    t_ns, tag, value = (np.concatenate([part[column] for part in parts]) for column in range(3))
    return from_columns([*place], [units[name] for name in place], t_ns, tag.astype(np.intp), value.astype(np.float64))


def _good(readings: Readings) -> NDArray[np.float64]:
    """Values, NaN where they are not good or no numbers."""
    value = np.where(readings.quality < UNCERTAIN, readings.value, np.nan)
    value[[row for row, exact in readings.exact.items() if not isinstance(exact, int)]] = np.nan
    return value


def _csv(path: Path) -> Columns:
    try:
        sheet = read_sheet(read_regular(path, LONGEST))
    except SheetError as error:
        raise GatewayError(f"{path}:{error.line}: {error}") from error
    titles = list(sheet.titles)
    while titles and not titles[-1]:
        titles.pop()
    if len(set(titles)) < len(titles):
        raise GatewayError(f"{path}:{sheet.line}: two columns have the same title")
    rows = []
    for line, row in sheet.rows:
        if len(row) < len(titles) or any(row[len(titles) :]):
            raise GatewayError(f"{path}:{line}: the row has {len(row)} cells, the first row {len(titles)}")
        rows.append([_cell(cell, sheet, f"{path}:{line}") for cell in row[: len(titles)]])
    return dict(zip(titles, zip(*rows, strict=True) if rows else ([] for _ in titles), strict=True))


def _cell(cell: str, sheet: Sheet, where: str) -> str | int | float:
    """A number, or the text as it is."""
    if shows_error(cell):
        raise GatewayError(f'{where}: the spreadsheet shows "{cell}" there, which is no value: leave such cells empty')
    try:
        found = sheet.number(cell)
    except ValueError as error:
        raise GatewayError(f"{where}: {error}") from None
    return cell if found is None else found


def _parquet(path: Path) -> Columns:
    try:
        from pyarrow import ArrowException, parquet, timestamp, types
    except ImportError as error:
        raise GatewayError(
            f"Parquet needs a library that is not installed ({error}): pip install pyarrow into the "
            "gateway's environment, or take CSV"
        ) from error
    os.close(open_regular(path))
    try:
        table = parquet.read_table(path)
    except ArrowException as error:
        raise GatewayError(f"{path}: is no Parquet file: {error}") from error
    columns = {title: table.column(title) for title in table.column_names}
    for title, column in columns.items():
        if types.is_timestamp(column.type):  # Python's datetime has no nanoseconds
            columns[title] = column.cast(timestamp("us", tz=column.type.tz), safe=False)
    return {title: column.to_pylist() for title, column in columns.items()}


def _lake(path: Path, device: str | None) -> Table:
    """Of the tables that the sinks `parquet` and `delta` write (docs/lake.md): whole columns, of one device alone."""
    try:
        from pyarrow import compute, int64, types
        from pyarrow.dataset import dataset, field

        folder = path / "readings" if (path / "readings").is_dir() else path
        if (folder / "_delta_log").is_dir():
            from deltalake import DeltaTable

            rows = DeltaTable(folder).to_pyarrow_dataset()
        else:
            rows = dataset(folder, format="parquet")
    except ImportError as error:
        raise GatewayError(
            f"a lake needs a library that is not installed ({error}): pip install pyarrow (and deltalake for Delta tables) "
            "into the gateway's environment"
        ) from error
    wanted = ["time", "time_ns", "tag", "unit", "value", "code"]
    if missing := [name for name in (*wanted, "device") if name not in rows.schema.names]:
        raise GatewayError(f'{path}: is no lake of readings: it has no column "{missing[0]}"')
    if not types.is_timestamp(rows.schema.field("time").type):
        raise GatewayError(f'{path}: is no lake of readings: its column "time" holds no times')
    known = sorted(compute.unique(rows.to_table(columns=["device"])["device"]).to_pylist())
    if device is None and len(known) != 1:
        raise GatewayError(f"{path}: holds {len(known)} devices ({', '.join(known[:5])}): say which with  --device")
    if device is not None and device not in known:
        raise GatewayError(f'{path}: holds nothing of device "{device}", only of {", ".join(known[:5])}')
    table = rows.to_table(columns=wanted, filter=field("device") == (device or known[0]))
    t_ns = table["time"].cast(int64()).to_numpy() * 1000 + table["time_ns"].fill_null(0).to_numpy()
    value = np.where(table["code"].fill_null(UNCERTAIN).to_numpy() < UNCERTAIN, _float64(table["value"]), np.nan)
    named = table["tag"].combine_chunks().dictionary_encode()
    units = dict(zip(table["tag"].to_pylist(), table["unit"].to_pylist(), strict=True))
    tags = named.dictionary.to_pylist()
    place = named.indices.to_numpy().astype(np.intp)
    order = np.argsort(t_ns, kind="stable")
    made = from_columns(tags, [units[tag] or "" for tag in tags], t_ns[order], place[order], value[order])
    return made.of([tag for tag, column in zip(made.tags, made.rows.T, strict=True) if np.isfinite(column).any()])


def _float64(column: Any) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _long(columns: Columns, name: str, device: str | None) -> Table:
    devices = np.array([str(cell) for cell in columns["device"]])
    known = np.unique(devices).tolist()
    if device is None and len(known) > 1:
        raise GatewayError(f"{name}: holds {len(known)} devices ({', '.join(known[:5])}): say which with  --device")
    if device is not None and device not in known:
        raise GatewayError(f'{name}: holds nothing of device "{device}", only of {", ".join(known[:5])}')
    mine: list[int] = (np.flatnonzero(devices == device) if device else np.arange(len(devices))).tolist()
    tags, tag = np.unique(np.array([str(columns["tag"][row]) for row in mine]), return_inverse=True)
    value = _numbers([columns["value"][row] for row in mine], f'{name}: column "value"', texts=True)
    if "quality" in columns:
        value[[not str(columns["quality"][row]).lower().startswith("good") for row in mine]] = np.nan
    t_ns = _times([columns["time"][row] for row in mine], f'{name}: column "time"')
    last = dict(zip(tag.tolist(), mine, strict=True))
    units = [str(columns["unit"][last[place]] or "") if "unit" in columns else "" for place in range(len(tags))]
    table = from_columns(tags.tolist(), units, t_ns, tag.astype(np.intp), value)
    return table.of([tag for tag, column in zip(table.tags, table.rows.T, strict=True) if np.isfinite(column).any()])


def _times(cells: Sequence[Any], where: str) -> Times:
    try:
        seconds = _seconds(cells)
    except (ValueError, OverflowError) as error:
        raise GatewayError(f"{where}: is no time: {error}; write 2026-11-22T02:33:00Z") from error
    if not ((seconds * 1e9 >= EARLIEST) & (seconds * 1e9 < LATEST)).all():
        raise GatewayError(f"{where}: has times that cannot be: write 2026-11-22T02:33:00Z, or seconds since 1970")
    whole = np.floor(seconds)
    return whole.astype(np.int64) * 1_000_000_000 + np.round((seconds - whole) * 1e6).astype(np.int64) * 1000


def _seconds(cells: Sequence[Any]) -> NDArray[np.float64]:
    """Since 1970; exact to the microsecond."""
    try:
        return np.array(cells, np.float64)
    except (ValueError, TypeError):
        moments = (cell if isinstance(cell, datetime) else moment(str(cell)) for cell in cells)
        return np.array([each.replace(tzinfo=each.tzinfo or UTC).timestamp() for each in moments], np.float64)


def _numbers(cells: Sequence[Any], where: str, texts: bool = False) -> NDArray[np.float64]:
    """Numbers, NaN for what is empty, and with `texts` for what is none."""
    try:
        return np.array([np.nan if cell is None or cell == "" else cell for cell in cells], np.float64)
    except (ValueError, TypeError):
        return np.array([_number(cell, f"{where}, data row {row + 1}", texts) for row, cell in enumerate(cells)])


def _number(cell: Any, where: str, texts: bool) -> float:
    if cell in (None, ""):
        return np.nan
    if isinstance(cell, str) and cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    try:
        return float(cell)
    except (ValueError, TypeError):
        if texts:
            return np.nan
        raise GatewayError(f"{where}: {cell!r} is no number; leave that column out with  --without") from None
