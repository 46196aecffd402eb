"""Records as messages by a template: planned once per device and sequence of tags, filled column by column."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.quality import BAD, HISTORICAL, UNCERTAIN, all_good, status_code
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import Device, Tag
from gateway.core.times import rfc3339
from gateway.encode.json_block import words
from gateway.encode.json_layout import Layout, Pieces
from gateway.encode.json_value import exact_json
from gateway.encode.template import READING, RECORD, Filled, Loop, Name, Template, Tokens, inner

_MILLISECOND = 1_000_000
_LAYOUTS = 4
"""Layouts kept per device."""


class JsonPart:
    """Readings of one record, of which no tag occurs twice if the template cannot have that."""

    def __init__(self, record: Record, readings: Readings, name: str, plan: "DevicePlan") -> None:
        self.record = record
        self.readings = readings
        self.id = name
        self.plan = plan
        self.layout = plan.layout(readings)
        self.good = all_good(readings.quality)
        self._times: list[int] | None = None

    def __len__(self) -> int:
        return len(self.readings)

    @property
    def newest_ns(self) -> int:
        """The newest source time, ns."""
        t_ns = self.readings.t_ns
        raw = t_ns.tobytes()
        if raw == raw[:8] * len(
            t_ns
        ):  # compared as bytes, since of fifty rows numpy's max costs more than all the rest
            return int(t_ns[0]) if raw else self.record.wall_ns
        return int(t_ns.max())

    def rows(self, which: str) -> NDArray[np.intp] | None:
        """Which rows those are; None: all."""
        quality = self.readings.quality
        if which == "good":
            return None if self.good else np.flatnonzero(quality < np.uint32(BAD))
        if which == "bad":
            return _NONE if self.good else np.flatnonzero(quality >= np.uint32(BAD))
        if which == "flagged":
            return _NONE if self.good else np.flatnonzero(quality & np.uint32(~HISTORICAL & 0xFFFF_FFFF))
        return None

    def column(self, name: str) -> Sequence[bytes]:
        """One piece of JSON for each row."""
        return _COLUMNS[name](self)

    def one(self, name: str) -> bytes:
        """A piece of JSON for the whole."""
        return _ONES[name](self)


class DevicePlan:
    """What is known of a device: its names as JSON, and its layouts."""

    def __init__(self, device: Device, names: Mapping[str, str]) -> None:
        """`names`: of its place and of the gateway."""
        self.device = device
        self._names = names
        self._tags: dict[int, Tag] = {}
        self._layouts: dict[bytes, _Bound] = {}

    def name(self, token: Name) -> bytes:
        """A name that does not hang on the tag."""
        if token.name == "context":
            return orjson.dumps(self.device.context.said())
        text = {"device": self.device.name, "driver": self.device.driver, **self._names}.get(token.name, "")
        return inner(text) if token.within else b'"' + inner(text) + b'"'

    def layout(self, readings: Readings) -> "_Bound":
        """Of the tags of a block."""
        raw = readings.tag.tobytes()
        bound = self._layouts.get(raw)
        if bound is None:
            self._tags = self._tags or {tag.id: tag for tag in self.device.tags}
            bound = _Bound([self._tags[each] for each in readings.tag.tolist()], self)
            if len(self._layouts) >= _LAYOUTS:
                del self._layouts[next(iter(self._layouts))]
            self._layouts[raw] = bound
        return bound


class _Bound(Layout):
    """The template's loops over these tags, with all names in place."""

    def __init__(self, tags: Sequence[Tag], plan: DevicePlan) -> None:
        super().__init__(tags)
        self._own_tags = tags
        self._plan = plan
        self._loops: dict[int, tuple[list[bytes], int, list[str]]] = {}

    def name(self, row: int) -> str:
        """The tag of a row."""
        return self._own_tags[row].name

    def parts(self, loop: Loop) -> tuple[list[bytes], int, list[str]]:
        """The pieces of all rows, one behind the other; how many a row has; and what goes into the second, fourth, … of them.
        A row's first piece begins with a comma."""
        known = self._loops.get(id(loop))
        if known is None:
            columns = [token.name for token in loop.body if isinstance(token, Filled)]
            rows = [self._row(loop, tag) for tag in self._own_tags]
            known = self._loops[id(loop)] = (list(chain.from_iterable(rows)), 2 * len(columns) + 1, columns)
        return known

    def _row(self, loop: Loop, tag: Tag) -> list[bytes]:
        pieces = [b"," + (orjson.dumps(tag.name) + b":" if loop.by_name else b"")]
        for token in loop.body:
            if isinstance(token, bytes):
                pieces[-1] += token
            elif isinstance(token, Name):
                pieces[-1] += self._named(token, tag)
            else:
                pieces += [b"", b""]
        return pieces

    def _named(self, token: Name, tag: Tag) -> bytes:
        if token.name not in ("tag", "type", "unit", "description"):
            return self._plan.name(token)
        text = tag.name if token.name == "tag" else getattr(tag, token.name)
        return inner(text) if token.within else b'"' + inner(text) + b'"'


class TemplatedJson:
    """Messages by one template. `names`: of the gateway, by placeholder."""

    def __init__(self, template: Template, gateway: str) -> None:
        self._template = template
        self._gateway = gateway
        self._whole = Loop(READING, False, template.rows, template.tokens)
        """With one message per reading: what is repeated."""

    def plan(self, device: Device) -> DevicePlan:
        """To be kept for as long as the device is read."""
        return DevicePlan(device, {"gateway": self._gateway, **device.context.said()})

    def blocks(self, record: Record, plan: DevicePlan) -> list[JsonPart]:
        """What a record becomes: parts in which no tag occurs twice, where the template needs that."""
        readings = record.readings
        assert readings is not None
        block = JsonPart(record, readings, record.id, plan)
        if len(block.layout.samples) < 2 or not self._template.by_name:
            return [block]
        parts = (readings.take(rows) for rows in block.layout.samples)
        return [JsonPart(record, part, f"{record.id}:{n}" if n else record.id, plan) for n, part in enumerate(parts)]

    def message(self, blocks: Sequence[JsonPart]) -> bytes:
        """One payload of all of these; of one, unless the template is of several records."""
        return b"".join(self._filled(self._template.tokens, blocks))

    def readings(self, block: JsonPart) -> Iterator[tuple[int, bytes]]:
        """Of each reading that is told: its row, and its payload."""
        parts, width = _filled_rows(self._whole, block, ids=True)
        rows = block.rows(self._template.rows)
        for row in range(len(block)) if rows is None else rows.tolist():
            yield row, b"".join(parts[row * width : (row + 1) * width])[1:]

    def _filled(self, tokens: Tokens, blocks: Sequence[JsonPart]) -> Iterator[bytes]:
        for token in tokens:
            if isinstance(token, bytes):
                yield token
            elif isinstance(token, Filled):
                yield _newest(token.name, blocks) if len(blocks) > 1 else blocks[0].one(token.name)
            elif isinstance(token, Name):
                yield blocks[0].plan.name(token)
            elif token.scope == RECORD:
                yield self._records(token, blocks)
            else:
                rows = b"".join([_loop_rows(token, block) for block in blocks])[1:]
                yield b"".join((b"{", rows, b"}") if token.by_name else (b"[", rows, b"]"))

    def _records(self, loop: Loop, blocks: Sequence[JsonPart]) -> bytes:
        told = []
        for block in blocks:
            key = block.plan.name(Name("device")) + b":" if loop.by_name else b""
            told.append(key + b"".join(self._filled(loop.body, [block])))
        return b"".join((b"{", b",".join(told), b"}") if loop.by_name else (b"[", b",".join(told), b"]"))


def _loop_rows(loop: Loop, block: JsonPart) -> bytes:
    rows = block.rows(loop.rows)
    if rows is _NONE:
        return b""
    parts, width = _filled_rows(loop, block)
    if rows is not None:
        return b"".join([b"".join(parts[row * width : (row + 1) * width]) for row in rows.tolist()])
    return b"".join(parts)


def _filled_rows(loop: Loop, block: JsonPart, ids: bool = False) -> tuple[list[bytes], int]:
    """The pieces of all rows, and how many a row has. `ids`: each reading has a message, and an id, of its own."""
    parts, width, columns = block.layout.parts(loop)
    parts = parts.copy()
    for number, name in enumerate(columns):
        column = _row_ids(block) if ids and name == "id" else block.column(name)
        parts[2 * number + 1 :: width] = column
    return parts, width


def _row_ids(block: JsonPart) -> list[bytes]:
    start = block.record.id.encode()
    return [b'"%b"' % start, *(b'"%b:%d"' % (start, row) for row in range(1, len(block)))]


def _newest(name: str, blocks: Sequence[JsonPart]) -> bytes:
    return _TIMES[name](max(block.newest_ns for block in blocks))


def _values(block: JsonPart) -> Pieces:
    pieces = block.layout.pieces(block.readings)
    if not block.good:
        for row in np.flatnonzero(block.readings.quality >= np.uint32(BAD)).tolist():
            pieces[row] = b"null"
    return pieces


def _times_of(show: Callable[[int], bytes], block: JsonPart) -> list[bytes]:
    t_ns = block.readings.t_ns
    raw = t_ns.tobytes()
    if raw == raw[:8] * len(t_ns) and len(t_ns):
        return [show(int(t_ns[0]))] * len(t_ns)
    return list(map(show, t_ns.tolist()))


def _of_quality(show: Callable[[int], bytes], block: JsonPart) -> list[bytes]:
    if block.good:
        return [show(0)] * len(block)
    return list(map(show, block.readings.quality.tolist()))


def _same(name: str, block: JsonPart) -> list[bytes]:
    return [block.one(name)] * len(block)


def _historical(block: JsonPart) -> bytes:
    late = not block.good and bool((block.readings.quality & np.uint32(HISTORICAL)).any())
    return b"true" if late else b"false"


_NONE = np.array([], np.intp)

_TIMES: Mapping[str, Callable[[int], bytes]] = {
    "ts": lambda ns: b"%d" % (ns // _MILLISECOND),
    "ts_s": lambda ns: b"%d" % (ns // 1_000_000_000),
    "ts_ns": lambda ns: b"%d" % ns,
    "time": lambda ns: b'"%b"' % rfc3339(ns // _MILLISECOND * _MILLISECOND).replace("000000Z", "Z").encode(),
}
_ONES: Mapping[str, Callable[[JsonPart], bytes]] = {
    **{name: lambda block, show=show: show(block.newest_ns) for name, show in _TIMES.items()},  # type: ignore[misc]
    "id": lambda block: b'"%b"' % block.id.encode(),
    "accepted": lambda block: b"%d" % (block.record.wall_ns // _MILLISECOND),
    "historical": _historical,
    "clock": lambda block: exact_json(block.record.clock.words),
}
_COLUMNS: Mapping[str, Callable[[JsonPart], Sequence[bytes]]] = {
    **{name: partial(_times_of, show) for name, show in _TIMES.items()},
    **{name: partial(_same, name) for name in ("id", "accepted", "clock")},
    "value": _values,
    "quality": partial(_of_quality, lambda each: words(each & ~HISTORICAL)),
    "good": partial(_of_quality, lambda each: b"true" if each < UNCERTAIN else b"false"),
    "code": partial(_of_quality, lambda each: b"%d" % status_code(each)),
    "historical": partial(_of_quality, lambda each: b"true" if each & HISTORICAL else b"false"),
}
