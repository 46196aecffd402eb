"""Readings as Arrow columns, for exports and for sinks that write files or tables. Imported only where it is used, for it
loads pyarrow.

Whole columns: what is the same for many rows (device, tag, unit, what a record says) is looked up once for each tag or
record and stands in a dictionary column. A schema names the columns that are wanted and their types.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gateway.core.context import PLACE, WORK, Context
from gateway.core.quality import HISTORICAL, describe, status_code
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import Tag
from gateway.encode import exact_text

NS = pa.timestamp("ns", tz="UTC")
US = pa.timestamp("us", tz="UTC")
"""What every engine reads; Delta Lake and Spark know nothing finer."""
PLACES = (*PLACE, *WORK)
"""Columns of the plant's words for place and production."""

READINGS = pa.schema(
    [
        ("time", US),
        ("time_ns", pa.int16()),
        ("device", pa.string()),
        ("tag", pa.string()),
        ("value", pa.float64()),
        ("value_int", pa.int64()),
        ("value_bool", pa.bool_()),
        ("value_text", pa.string()),
        ("value_bytes", pa.binary()),
        ("value_json", pa.string()),
        ("type", pa.string()),
        ("unit", pa.string()),
        ("quality", pa.string()),
        ("code", pa.int64()),
        ("historical", pa.bool_()),
        ("accepted", US),
        ("clock", pa.string()),
        ("clock_corrected_ms", pa.int64()),
        ("log", pa.string()),
        ("lane", pa.string()),
        ("seq", pa.int64()),
        ("row", pa.int32()),
        ("gateway", pa.string()),
        *((name, pa.string()) for name in PLACES),
        ("context_unknown", pa.string()),
        ("context_by", pa.string()),
        ("config", pa.string()),
    ]
)
"""Of a lake's table of readings (docs/lake.md). No unsigned types and no nanoseconds, which Delta Lake does not know: `time`
is in microseconds, and `time_ns` the nanoseconds beyond."""

RECORDS = pa.schema(
    [
        ("accepted", US),
        ("kind", pa.string()),
        ("event", pa.string()),
        ("event_kind", pa.string()),
        ("state", pa.string()),
        ("device", pa.string()),
        ("severity", pa.string()),
        ("message", pa.string()),
        ("model", pa.string()),
        ("body", pa.string()),
        ("clock", pa.string()),
        ("log", pa.string()),
        ("lane", pa.string()),
        ("seq", pa.int64()),
        ("gateway", pa.string()),
        ("config", pa.string()),
    ]
)
"""Of a lake's table of all other records: events, losses, receipts; `body` is the whole of one as JSON (docs/json.md)."""

_Column = NDArray[Any]
_DAY = 86_400_000_000_000
_WHOLE = frozenset({"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"})
_BEYOND = 2.0**63


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one day and one group, which stand together."""

    day: int | None
    """Since 1970; None: of several days."""
    group: str
    start: int
    end: int


class ReadingsColumns:
    """Blocks of readings, and what becomes of them. Rows stand in the order in which blocks were added, unless `sort` is
    called."""

    def __init__(self, gateway: str = "") -> None:
        self.rows = 0
        self._gateway = gateway
        self._records: list[Record] = []
        self._readings: list[Readings] = []
        self._sorted: _Column | None = None
        self._made = False

    def add(self, record: Record, readings: Readings) -> None:
        """One block more; `readings` are those of the record, or some of them."""
        self._records.append(record)
        self._readings.append(readings)
        self.rows += len(readings)

    def _make(self) -> None:
        """What several columns stand on."""
        if self._made:
            return
        self._made = True
        blocks = self._readings
        sizes = [len(readings) for readings in blocks]
        self._t_ns = np.concatenate([each.t_ns for each in blocks])
        self._value = np.concatenate([each.value for each in blocks])
        self._quality = np.concatenate([each.quality for each in blocks])
        self._record = np.repeat(np.arange(len(blocks), dtype=np.int32), sizes)
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        tags: dict[int, Tag] = {}
        for some in {id(each.device.tags): each.device.tags for each in blocks}.values():
            tags.update(zip(some.ids.tolist(), some, strict=True))
        numbers, self._tag = _ranked(np.concatenate([each.tag for each in blocks]))
        self.tags = [tags[number] for number in numbers.tolist()]

    def sort(self, group: Callable[[Tag], str], most_days: int) -> "list[Rows]":
        """Order the rows by day of source time, group, device and tag, so that what belongs together stands together. Of more
        days than `most_days` those with the fewest rows are one part, without a day."""
        self._make()
        groups = [group(tag) for tag in self.tags]
        order = sorted(range(len(groups)), key=lambda at: (groups[at], self.tags[at].device, self.tags[at].name, at))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        days, day = self._days(most_days)
        key = day * len(order) + rank[self._tag]
        small = key.astype(np.uint16) if len(days) * len(order) < 65_536 else key  # numpy sorts these by counting
        self._sorted = np.argsort(small, kind="stable")
        for name in ("_t_ns", "_value", "_quality", "_record", "_tag"):
            setattr(self, name, getattr(self, name)[self._sorted])
        day = day[self._sorted]
        named = sorted(set(groups))
        part = day * len(named) + np.array([named.index(each) for each in groups], np.int64)[self._tag]
        starts = np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1]])).tolist()
        return [
            Rows(days[int(day[start])], groups[int(self._tag[start])], start, end)
            for start, end in zip(starts, [*starts[1:], self.rows], strict=True)
        ]

    def _days(self, most: int) -> tuple[list[int | None], _Column]:
        days, day, counts = np.unique(self._t_ns // _DAY, return_inverse=True, return_counts=True)
        if len(days) <= most:
            return days.tolist(), day.astype(np.int64)
        kept = np.sort(np.argsort(-counts, kind="stable")[:most])
        place = np.full(len(days), most, np.int64)
        place[kept] = np.arange(most)
        return [*days[kept].tolist(), None], place[day]

    def table(self, schema: pa.Schema, *, dictionaries: bool = False) -> pa.Table:
        """The columns of this schema, whatever it names. `dictionaries`: columns of texts that repeat stay dictionaries,
        which is for who writes a file."""
        self._make()
        columns = []
        for field in schema:
            column = self._column(field.name)
            if not (dictionaries and pa.types.is_dictionary(column.type)) and column.type != field.type:
                column = column.cast(field.type, safe=False)
            columns.append(column)
        if dictionaries:
            schema = pa.schema(
                [field.with_type(column.type) for field, column in zip(schema, columns, strict=True)], schema.metadata
            )
        return pa.table(columns, schema=schema)

    def _column(self, name: str) -> Any:
        if name in _OF_TAG:
            return _dictionary(self._tag, [getattr(tag, _OF_TAG[name]) for tag in self.tags])
        if name in _OF_RECORD:
            return _dictionary(self._record, list(map(_OF_RECORD[name], self._records)))
        if name in PLACES:
            return _dictionary(self._record, [getattr(each.device.context, name) for each in self._readings])
        if name in _VALUES:
            return self._exact_columns()[name]
        made: Any = getattr(self, f"_make_{name}")()
        return made

    def _make_time(self) -> Any:
        return pa.array(self._t_ns, pa.int64()).cast(NS)

    def _make_time_ns(self) -> Any:
        return pa.array((self._t_ns % 1000).astype(np.int16))

    def _make_accepted(self) -> Any:
        return pa.array(self._of_records([record.wall_ns for record in self._records]), pa.int64()).cast(NS)

    def _make_seq(self) -> Any:
        return pa.array(self._of_records([record.seq for record in self._records]))

    def _make_row(self) -> Any:
        at = np.arange(self.rows) if self._sorted is None else self._sorted
        return pa.array((at - self._starts[self._record]).astype(np.int32))

    def _make_clock_corrected_ms(self) -> Any:
        said = [record.corrected_ns for record in self._records]
        if not any(each is not None for each in said):
            return pa.nulls(self.rows, pa.int64())
        return pa.array([None if each is None else each // 1_000_000 for each in said], pa.int64()).take(
            pa.array(self._record)
        )

    def _make_gateway(self) -> Any:
        return _dictionary(np.zeros(self.rows, np.int8), [self._gateway])

    def _make_context_unknown(self) -> Any:
        return _dictionary(self._record, [each.device.context.unknown for each in self._readings])

    def _make_context_by(self) -> Any:
        return _dictionary(self._record, [_by(each.device.context) for each in self._readings])

    def _make_historical(self) -> Any:
        return pa.array((self._quality & np.uint32(HISTORICAL)) != 0)

    def _make_quality(self) -> Any:
        codes, place = _ranked(self._quality)
        return _dictionary(place, [describe(code) for code in codes.tolist()])

    def _make_code(self) -> Any:
        codes, place = _ranked(self._quality)
        return pa.array(np.array([status_code(code) for code in codes.tolist()], np.uint32)[place])

    def _make_value(self) -> Any:
        return pa.array(self._value, mask=np.isnan(self._value))

    def _make_exact(self) -> Any:
        exact: list[str | None] = [None] * self.rows
        for row, said in self._exact():
            exact[row] = exact_text(said)
        return pa.array(exact, pa.string())

    def _of_records(self, column: Sequence[int]) -> _Column:
        return np.array(column, np.int64)[self._record]

    def _exact(self) -> Iterable[tuple[int, Any]]:
        """Row, and the value that no float64 holds."""
        where = None
        for start, each in zip(self._starts.tolist(), self._readings, strict=True):
            if each.exact and self._sorted is not None and where is None:
                where = np.empty(self.rows, np.int64)
                where[self._sorted] = np.arange(self.rows)
            for row, said in each.exact.items():
                yield (start + row if where is None else int(where[start + row])), said

    def _exact_columns(self) -> Mapping[str, Any]:
        """The typed ones: integers and truths by their tag's type, and what is exact by its own."""
        integers, is_integer = np.zeros(self.rows, np.int64), np.zeros(self.rows, bool)
        of_type = {kind: np.array([tag.type in kind for tag in self.tags])[self._tag] for kind in (_WHOLE, _TRUTH)}
        if of_type[_WHOLE].any():
            is_integer = of_type[_WHOLE] & (np.abs(self._value) < _BEYOND) & (np.trunc(self._value) == self._value)
            integers[is_integer] = self._value[is_integer].astype(np.int64)
        given: dict[str, dict[int, Any]] = {name: {} for name in ("value_text", "value_bytes", "value_json")}
        for row, said in self._exact():
            if isinstance(said, int) and -_BEYOND <= said < _BEYOND:
                integers[row], is_integer[row] = said, True
            else:
                given[_column_of(said)][row] = said if isinstance(said, bytes) else exact_text(said)
        truths = of_type[_TRUTH] & ~np.isnan(self._value)
        return {
            "value_int": pa.array(integers, mask=~is_integer) if is_integer.any() else pa.nulls(self.rows, pa.int64()),
            "value_bool": pa.array(self._value != 0, mask=~truths) if truths.any() else pa.nulls(self.rows, pa.bool_()),
            **{name: _sparse(self.rows, rows, _VALUES[name]) for name, rows in given.items()},
        }


_TRUTH = frozenset({"bool"})
_VALUES = {
    "value_int": pa.int64(),
    "value_bool": pa.bool_(),
    "value_text": pa.string(),
    "value_bytes": pa.binary(),
    "value_json": pa.string(),
}
_OF_TAG = {"device": "device", "tag": "name", "unit": "unit", "type": "type"}
_OF_RECORD: Mapping[str, Callable[[Record], str]] = {
    "id": lambda record: record.id,
    "config": lambda record: record.config,
    "clock": lambda record: record.clock.words,
    "log": lambda record: record.log,
    "lane": lambda record: record.lane.word,
}


def _by(context: Context) -> str:
    return "; ".join(f"{name}: {who}" for name, who in context.by)


def records_table(records: Sequence[Record], gateway: str) -> pa.Table:
    """Records that hold no readings, one row each, in the columns of RECORDS."""
    bodies = [record.body or {} for record in records]
    columns = {
        "accepted": pa.array([record.wall_ns for record in records], pa.int64()).cast(NS).cast(US, safe=False),
        "kind": [record.kind.name.lower() for record in records],
        "event_kind": [_text(body.get("kind")) for body in bodies],
        **{name: [_text(body.get(name)) for body in bodies] for name in _OF_BODY},
        "body": [exact_text(dict(body)) for body in bodies],
        "seq": [record.seq for record in records],
        "gateway": [gateway] * len(records),
        **{name: list(map(_OF_RECORD[name], records)) for name in ("clock", "log", "lane", "config")},
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in RECORDS], schema=RECORDS)


_OF_BODY = ("event", "state", "device", "severity", "message", "model")


def _text(said: Any) -> str | None:
    return None if said is None else said if isinstance(said, str) else exact_text(said)


def _column_of(said: Any) -> str:
    if isinstance(said, str):
        return "value_text"
    return "value_bytes" if isinstance(said, bytes) else "value_json"


def _sparse(rows: int, given: Mapping[int, Any], kind: Any) -> Any:
    if not given:
        return pa.nulls(rows, kind)
    column: list[Any] = [None] * rows
    for row, said in given.items():
        column[row] = said
    return pa.array(column, kind)


def _ranked(column: _Column) -> tuple[_Column, _Column]:
    """The different numbers of a column, ascending, and the place of each row's among them. Numbers of one range, as ids of
    tags are, are found without sorting the column."""
    low, high = int(column.min()), int(column.max())
    if high - low > 4 * len(column) + 65_536:
        numbers, place = np.unique(column, return_inverse=True)
        return numbers, place.astype(np.int32)
    near = column - column.dtype.type(low)
    there = np.zeros(high - low + 1, bool)
    there[near] = True
    numbers = np.flatnonzero(there)
    rank = np.zeros(high - low + 1, np.int32)
    rank[numbers] = np.arange(len(numbers), dtype=np.int32)
    return numbers + low, rank[near]


def _dictionary(place: _Column, texts: Sequence[str]) -> Any:
    """A dictionary column: row i says `texts[place[i]]`. Each text stands in the dictionary once."""
    known: dict[str, int] = {}
    codes = [known.setdefault(text, len(known)) for text in texts]
    kind: Any = np.int8 if len(known) < 128 else np.int16 if len(known) < 32_768 else np.int32
    return pa.DictionaryArray.from_arrays(pa.array(np.array(codes, kind)[place]), pa.array(list(known), pa.string()))
