"""From the data values that the library decodes to columns: the plain road, for any kind of value.

What comes in bulk takes the road of `bulk_decoder.py`, which gives the same columns; it comes here for values of rare kinds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isnan

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from gateway.plugin import Device, Exact, Readings, cleaned, quality

from .plain import Plain, as_exact, encodable_value, kind_of, plain
from .structures import NO_TYPES, Members, Types

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = _EPOCH, datetime(2200, 1, 1, tzinfo=UTC)
"""Times outside are none: servers without a clock send the beginning or the end of the calendar."""
_NAN = float("nan")
OVERFLOW = 0x0480
"""Info bits of a status code: the server's queue was full and values before this one are gone (OPC 10000-4 §7.39)."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """In place of a value that cannot be decoded."""

    reason: str
    raw: bytes = b""
    """Its first bytes."""


@dataclass(slots=True)
class Block:
    """Values as columns, one row for each data value."""

    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint32]
    exact: dict[int, Exact | Members]
    unusable: dict[int, str]
    """Row → what is wrong with it, in words, for values that a tag cannot have, or only as bytes."""
    raw: dict[int, bytes] = field(default_factory=dict)
    """Row → the first bytes of a value that cannot be decoded."""

    def readings(self, device: Device, ids: NDArray[np.uint32]) -> Readings:
        """The block as readings of tags with these ids, one for each row."""
        exact = self.written() if self.exact else {}
        return Readings(device, self.t_ns, ids, self.value, self.quality, exact)

    def some(self, rows: NDArray[np.intp]) -> "Block":
        """These rows of it, in this order."""
        found = Block(self.t_ns[rows], self.value[rows], self.quality[rows], {}, {})
        if self.exact or self.unusable:
            place = {old: new for new, old in enumerate(rows.tolist())}
            found.exact = {place[old]: value for old, value in self.exact.items() if old in place}
            found.unusable = {place[old]: why for old, why in self.unusable.items() if old in place}
            found.raw = {place[old]: raw for old, raw in self.raw.items() if old in place}
        return found

    def put_rows(self, rows: NDArray[np.intp], part: "Block") -> None:
        """Fill these rows with those of another block."""
        self.t_ns[rows], self.value[rows], self.quality[rows] = part.t_ns, part.value, part.quality
        self.exact.update((int(rows[row]), value) for row, value in part.exact.items())
        self.unusable.update((int(rows[row]), why) for row, why in part.unusable.items())
        self.raw.update((int(rows[row]), raw) for row, raw in part.raw.items())

    def written(self) -> dict[int, Exact]:
        """The exact values as the gateway carries them. One that has bytes which are no text is uncertain, and has U+FFFD in
        their place."""
        found: dict[int, Exact] = {}
        for row, value in self.exact.items():
            found[row], whole = encodable_value(as_exact(value))
            if not whole and self.quality[row] < quality.UNCERTAIN:
                self.quality[row] = quality.UNCERTAIN
                self.unusable[row] = "its text has bytes that are not UTF-8; they are replaced"
        return found

    def put(self, row: int, data: ua.DataValue | Undecodable, now_ns: int, types: Types) -> None:
        """Fill one row, with bad decoding for a value that could not be decoded. `now_ns` stands in where the server gives no
        time."""
        if not isinstance(data, Undecodable):
            try:
                self._put(row, data, now_ns, types)
            except Exception as error:  # noqa: BLE001 - whatever is odd about one value costs its own tag
                data = Undecodable(str(error))
            else:
                return
        self.t_ns[row] = now_ns
        self.spoil(row, quality.BAD_DECODING, f"its value cannot be decoded: {cleaned(data.reason, 200)}")
        self.raw[row] = data.raw

    def _put(self, row: int, data: ua.DataValue, now_ns: int, types: Types) -> None:
        self.t_ns[row] = _time(data, now_ns)
        code = int(data.StatusCode.value) if data.StatusCode is not None else quality.GOOD
        self.quality[row] = code & ~quality.FLAGS
        if code >= quality.BAD:
            return
        value = plain(data.Value, types)
        if value is not None or data.Value is None or data.Value.Value is None:
            self.fill(row, value)
        else:
            self._put_unknown(row, data.Value)

    def fill(self, row: int, value: Plain | None) -> None:
        """Give a good row its value."""
        self.value[row] = value if isinstance(value, float) else _NAN
        if value is None:
            self.quality[row] = BAD_NO_DATA
        elif not isinstance(value, float):
            self.exact[row] = value
        elif isnan(value):
            self.quality[row] = quality.BAD_SENSOR_FAILURE

    def spoil(self, row: int, code: int, why: str) -> None:
        """A row has no value after all."""
        self.value[row], self.quality[row], self.unusable[row] = _NAN, code, why
        self.exact.pop(row, None)

    def _put_unknown(self, row: int, variant: ua.Variant) -> None:
        """A value of a kind that no tag can have; of a structure that the server does not explain, its bytes."""
        if isinstance(variant.Value, ua.ExtensionObject) and variant.Value.Body is not None:
            self.spoil(row, quality.BAD_DECODING, f"{kind_of(variant)}: its bytes are passed on as they are")
            self.exact[row] = variant.Value.Body
        else:
            self.spoil(row, quality.BAD_NOT_SUPPORTED, f"{kind_of(variant)} cannot be a tag")


def empty_block(count: int) -> Block:
    """A block whose rows are still to be filled; values are NaN until then."""
    return Block(np.empty(count, np.int64), np.full(count, _NAN), np.empty(count, np.uint32), {}, {})


def as_block(values: Sequence[ua.DataValue | Undecodable], now_ns: int, types: Types = NO_TYPES) -> Block:
    """Values as columns.

    A bad value is NaN with the server's status code. A good NaN becomes a sensor failure, a value of a kind that no tag can
    have not supported, a structure whose type the server does not tell a decoding error, and no value at all no data.
    """
    block = empty_block(len(values))
    for row, data in enumerate(values):
        block.put(row, data, now_ns, types)
    return block


def joined(blocks: Sequence[Block]) -> Block:
    """One block of the rows of several."""
    if len(blocks) == 1:
        return blocks[0]
    t_ns, value = np.concatenate([each.t_ns for each in blocks]), np.concatenate([each.value for each in blocks])
    whole = Block(t_ns, value, np.concatenate([each.quality for each in blocks]), {}, {})
    begin = 0
    for block in blocks:
        whole.exact.update((begin + row, value) for row, value in block.exact.items())
        whole.unusable.update((begin + row, why) for row, why in block.unusable.items())
        whole.raw.update((begin + row, raw) for row, raw in block.raw.items())
        begin += len(block.value)
    return whole


BAD_NO_DATA = 0x809B_0000
"""BadNoData: good, says the server, but it sends no value."""


def _time(data: ua.DataValue, now_ns: int) -> int:
    for told in (data.SourceTimestamp, data.ServerTimestamp):
        if (found := nanoseconds(told)) is not None:
            return found
    return now_ns


def nanoseconds(told: datetime | None) -> int | None:
    """Nanoseconds since 1970; None for a time that is none."""
    if told is None or not _FIRST <= told < _LAST:
        return None
    return int((told - _EPOCH) // _MICROSECOND) * 1000
