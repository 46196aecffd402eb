"""Payloads of Sparkplug B 3.0, chapter 6 ("spBv1.0"). Version 4 will give each value a quality; here it is a property."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.plugin import Exact, Readings, doubting, quality

from .datatypes import DataType, fits, number_of, set_value
from .schema import Payload
from .stride import LEAST, Stride, suits

NAMESPACE = "spBv1.0"
"""The first level of each topic."""
MILLISECOND = 1_000_000
LARGEST_COMMAND, MOST_METRICS = 256 * 1024, 1000
"""Bytes of a payload that comes in, and metrics in it."""

GOOD, BAD, STALE = 192, 0, 500
"""What the property Quality can say (6.4.14)."""

Property = tuple[str, DataType, float | str | bool]
"""Name, datatype and value."""


@dataclass(slots=True)
class Metric:
    """One metric of a birth."""

    name: str
    alias: int | None
    datatype: DataType
    properties: Sequence[Property] = ()
    """What a birth says of it beside its quality."""


@dataclass(slots=True)
class Sample:
    """One value of one metric."""

    ms: int
    """When it was taken, ms since 1970 UTC."""
    value: Exact | float | None = None
    """None: there is none."""
    quality: int = quality.GOOD
    """As in Readings, without flags that only we know."""
    late: bool = False
    """Is not the present value: the host files it."""


def payload(now_ms: int, metrics: bytes, seq: int | None) -> bytes:
    """A whole payload around encoded metrics; `seq` None: without one."""
    tail = b"" if seq is None else b"\x18" + _varint(seq)
    return b"\x08" + _varint(now_ms) + metrics + tail


def parsed(data: bytes) -> Any:
    """A payload that came in. Raises ValueError for what is none, or larger than anybody has to send."""
    if len(data) > LARGEST_COMMAND:
        raise ValueError(f"it has {len(data)} bytes, more than the {LARGEST_COMMAND} that are taken")
    with doubting(lambda why: ValueError(f"it is no Sparkplug payload: {why}")):
        found = Payload.FromString(data)
    if len(found.metrics) > MOST_METRICS:
        raise ValueError(f"it has {len(found.metrics)} metrics, more than the {MOST_METRICS} that are taken")
    return found


@dataclass(slots=True)
class Births:
    """Collects the metrics of a birth, or of a statement."""

    uint32_as_long: bool = False
    _payload: Any = field(default_factory=Payload)

    def add(self, metric: Metric, sample: Sample, *, with_quality: bool = True) -> None:
        """A metric as a birth has it: name and alias, datatype, value, properties."""
        target = self._payload.metrics.add()
        describe(target, metric, sample, self.uint32_as_long, with_quality)

    def add_definition(self, metric: Metric, members: Mapping[str, DataType], now_ms: int) -> None:
        """The definition of a template, named as the metric."""
        target = self._payload.metrics.add()
        target.name, target.timestamp, target.datatype = metric.name, now_ms, DataType.TEMPLATE
        if metric.alias is not None:
            target.alias = metric.alias
        target.template_value.is_definition = True
        for name, datatype in members.items():
            member = target.template_value.metrics.add()
            member.name, member.datatype, member.is_null = name, datatype, True

    def add_instance(
        self, metric: Metric, template: str, members: Sequence[tuple[Metric, Sample]], now_ms: int
    ) -> None:
        """An instance of a template, with all its members."""
        target = self._payload.metrics.add()
        target.name, target.timestamp, target.datatype = metric.name, now_ms, DataType.TEMPLATE
        if metric.alias is not None:
            target.alias = metric.alias
        target.template_value.template_ref = template
        target.template_value.is_definition = False
        for member, sample in members:
            describe(
                target.template_value.metrics.add(), replace(member, alias=None), sample, self.uint32_as_long, True
            )

    def encoded(self) -> bytes:
        """The metrics, for `payload`."""
        done: bytes = self._payload.SerializeToString()
        return done


def describe(target: Any, metric: Metric, sample: Sample, uint32_as_long: bool, with_quality: bool) -> None:
    """Fill a protobuf metric as a birth has it."""
    target.name = metric.name
    if metric.alias is not None:
        target.alias = metric.alias
    target.timestamp = max(0, sample.ms)
    target.datatype = metric.datatype
    put_value(target, metric.datatype, sample.value, uint32_as_long)
    if with_quality:
        add_quality(target.properties, sample.quality)
    for name, datatype, value in metric.properties:
        target.properties.keys.append(name)
        found = target.properties.values.add()
        found.type = datatype
        set_value(found, datatype, value)


def put_value(target: Any, datatype: DataType, value: Exact | float | None, uint32_as_long: bool) -> None:
    """The value, or that there is none; a string metric takes any, as JSON."""
    if value is None or value != value or not (datatype == DataType.STRING or fits(datatype, value)):
        target.is_null = True
    else:
        set_value(target, datatype, value, uint32_as_long)


def quality_of(flags: int) -> int:
    """A quality of ours as Sparkplug says it: a value that is uncertain, or was not confirmed for too long, is stale."""
    if flags & 0x8000_0000:
        return BAD
    return STALE if flags & (quality.UNCERTAIN | quality.STALE) else GOOD


def add_quality(properties: Any, flags: int) -> None:
    """The property Quality, and behind one that is not good the OPC UA status code that tells why."""
    properties.keys.append("Quality")
    found = properties.values.add()
    found.type = DataType.INT32
    found.int_value = quality_of(flags)
    if code := quality.status_code(flags):
        properties.keys.append("StatusCode")
        found = properties.values.add()
        found.type = DataType.UINT32
        found.int_value = code


@dataclass(frozen=True, slots=True)
class _Group:
    rows: NDArray[np.intp] | None
    """None: all of the block."""
    stride: Stride


class Layout:
    """The metrics of a block's rows, in their order; kept, since most blocks of a device are alike."""

    def __init__(self, metrics: Sequence[Metric], uint32_as_long: bool = False) -> None:
        self.metrics = metrics
        self._long = uint32_as_long
        self._numbers = [(metric.alias, *number_of(metric.datatype, uint32_as_long)) for metric in metrics]
        kinds: dict[DataType, list[int]] = {}
        for row, metric in enumerate(metrics):
            if metric.alias is not None and suits(metric.datatype, metric.alias):
                kinds.setdefault(metric.datatype, []).append(row)
        self._groups = [
            _Group(
                None if len(rows) == len(metrics) else np.array(rows, np.intp),
                Stride(datatype, [metrics[row].alias or 0 for row in rows]),
            )
            for datatype, rows in kinds.items()
            if len(rows) >= LEAST
        ]
        grouped = {row for rows in kinds.values() if len(rows) >= LEAST for row in rows}
        self._rest = [row for row in range(len(metrics)) if row not in grouped]

    def good(self, readings: Readings, late: bool) -> bytes | None:
        """The metrics of a block whose rows are all plainly good, all late or none; None where they have to be written one by
        one."""
        if not self._groups:
            return None
        raw = readings.t_ns.tobytes()
        ms: int | NDArray[np.int64]
        if raw == raw[:8] * len(readings):
            ms = int(readings.t_ns[0]) // MILLISECOND
        elif self._groups[0].rows is None:
            ms = readings.t_ns // MILLISECOND
        else:
            return None  # groups one behind the other are not in the order of time
        parts = []
        for group in self._groups:
            values = readings.value if group.rows is None else readings.value[group.rows]
            if np.count_nonzero(values != values):
                return None
            if (part := group.stride.encode(ms, values, late)) is None:
                return None
            parts.append(part)
        if self._rest:
            parts.append(self.rows(readings, self._rest, [late] * len(self.metrics), ()))
        return b"".join(parts)

    def rows(self, readings: Readings, rows: Sequence[int], late: Sequence[bool], tell_good: Collection[int]) -> bytes:
        """The metrics of these rows, one by one; `late` of each row of the block. Of the rows in `tell_good` the quality is
        told though it is good."""
        target = Payload()
        self._write(target.metrics.add, readings, rows, late, tell_good)
        done: bytes = target.SerializeToString()
        return done

    def instances(
        self, readings: Readings, late: Sequence[bool], tell_good: Collection[int], template: str, alias: int
    ) -> bytes:
        """The rows as members of an instance of a template, by their names: one instance for each time."""
        groups: dict[tuple[int, bool], list[int]] = {}
        for row, ms in enumerate(np.maximum(readings.t_ns // MILLISECOND, 0).tolist()):
            groups.setdefault((ms, late[row]), []).append(row)
        target = Payload()
        for (ms, is_late), rows in groups.items():
            written = target.metrics.add()
            written.alias, written.timestamp = alias, ms
            if is_late:
                written.is_historical = True
            written.template_value.template_ref, written.template_value.is_definition = template, False
            self._write(written.template_value.metrics.add, readings, rows, late, tell_good, named=True)
        done: bytes = target.SerializeToString()
        return done

    def _write(
        self,
        add: Callable[[], Any],
        readings: Readings,
        rows: Sequence[int],
        late: Sequence[bool],
        tell_good: Collection[int],
        named: bool = False,
    ) -> None:
        """`named`: by their names, not by their aliases."""
        numbers, exact, metrics = self._numbers, readings.exact, self.metrics
        times, values = np.maximum(readings.t_ns // MILLISECOND, 0).tolist(), readings.value.tolist()
        qualities = readings.quality.tolist()
        for row in rows:
            written, value, flags = add(), values[row], qualities[row]
            alias, field, least, most, cast = numbers[row]
            if named:
                written.name = metrics[row].name
            else:
                written.alias = alias
            written.timestamp = times[row]
            if late[row]:
                written.is_historical = True
            if flags & 0x8000_0000:
                written.is_null = True
            elif row in exact:
                put_value(written, metrics[row].datatype, exact[row], self._long)
            elif not least <= value <= most:  # nor is NaN
                put_value(written, metrics[row].datatype, value, self._long)
            else:
                setattr(written, field, value if cast is None else cast(value))
            if (flags and quality_of(flags) != GOOD) or row in tell_good:
                add_quality(written.properties, flags)


def statement(metric: Metric, sample: Sample) -> bytes:
    """One metric as data: by its alias alone."""
    target = Payload()
    written = target.metrics.add()
    written.alias = metric.alias
    written.timestamp = sample.ms
    if sample.late:
        written.is_historical = True
    put_value(written, metric.datatype, sample.value, False)
    done: bytes = target.SerializeToString()
    return done


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
