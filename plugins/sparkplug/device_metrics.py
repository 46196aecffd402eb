"""The metrics of one device within a session: what its birth says, and its readings as data of that birth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from gateway.plugin import Device, Readings, Tag, encodable, quality

from .payload import (
    GOOD,
    MILLISECOND,
    Births,
    DataType,
    Layout,
    Metric,
    Property,
    Sample,
    datatype_for,
    fits,
    quality_of,
)
from .stored import Aliases

LAYOUTS = 4
"""Kept of each definition: the scan groups of a device. Reports by exception make ever new ones."""


INSTANCE = "/"
"""Under this name, which no tag of a topic has, the alias of a device's instance is kept."""


@dataclass(frozen=True, slots=True)
class Template:
    """What a device is an instance of."""

    name: str
    members: Mapping[str, DataType]


class DeviceMetrics:
    """Of one device, under whatever definitions its readings were taken. A metric goes by the tag's name; history of a tag
    that had another type or unit then has a metric of its own, so that no value stands under a unit that it has not."""

    def __init__(self, name: str, aliases: Aliases, *, uint32_as_long: bool = False) -> None:
        self.name = name
        self.alive = False
        """Whether hosts take it to be alive, in this session."""
        self.changed = False
        """Whether its metrics are others than its last birth said."""
        self.template: Template | None = None
        """What its last birth said that it is an instance of."""
        self.metrics: list[Metric] = []
        self._tags: list[Tag] = []
        """What each metric stands for."""
        self._aliases = aliases
        self._long = uint32_as_long
        self._rows: dict[str, int] = {}
        """Row of each metric by name."""
        self._newest = np.zeros(0, np.int64)
        """Of each metric, the source time of its present value, ns since 1970; 0 for none."""
        self._doubted: set[int] = set()
        """Rows whose last value was not good: the next one says that it is."""
        self._definitions: WeakKeyDictionary[Device, _Definition] = WeakKeyDictionary()
        aliases.of(name, INSTANCE)

    def define(self, device: Device) -> None:
        """The device is this one from now on: its tags as they are have the metrics of their names."""
        for tag in device.tags:
            row = self._rows.get(name := encodable(tag.name))
            if row is None:
                self._append(name, tag)
            elif not _alike(self._tags[row], tag) or self._tags[row].type != tag.type:
                self._tags[row] = tag
                metric = self.metrics[row]
                metric.datatype, metric.properties = datatype_for(tag.type, None), _properties(tag)
                self._changed()
            else:
                self._tags[row] = tag

    def admit(self, readings: Readings) -> None:
        """Make room for a block: for tags that no birth named, and values that do not fit a metric's datatype. Then the
        device is to be born again before it is sent."""
        definition = self._definition(readings.device)
        for row, value in readings.exact.items():
            index = definition.rows[int(readings.tag[row])]
            metric = self.metrics[index]
            if metric.datatype != DataType.STRING and not fits(metric.datatype, value):
                metric.datatype = datatype_for(self._tags[index].type, value)
                self._changed()

    def _definition(self, device: Device) -> "_Definition":
        known = self._definitions.get(device)
        if known is None:
            rows = {tag.id: self._row_of(tag) for tag in device.tags}
            known = self._definitions[device] = _Definition(rows)
        return known

    def _row_of(self, tag: Tag) -> int:
        name = encodable(tag.name)
        row = self._rows.get(name)
        if row is not None and not _alike(self._tags[row], tag):
            name = encodable(f"{tag.name} ({tag.type} {tag.unit})".replace(" )", ")"))
            row = self._rows.get(name)
        return self._append(name, tag) if row is None else row

    def _append(self, name: str, tag: Tag) -> int:
        row = self._rows[name] = len(self.metrics)
        self.metrics.append(
            Metric(name, self._aliases.of(self.name, name), datatype_for(tag.type, None), _properties(tag))
        )
        self._tags.append(tag)
        self._newest = np.append(self._newest, np.int64(0))
        self.changed = True
        return row

    def _changed(self) -> None:
        """A metric that a birth has named is another one now."""
        self._definitions.clear()
        self.changed = True

    def birth(self, snapshot: Readings | None, now_ms: int, template: Template | None = None) -> bytes:
        """The metrics of a birth, with the values of a snapshot; as an instance of a template that fits."""
        present: dict[int, tuple[int, Sample]] = {}
        if snapshot is not None and len(snapshot):
            self.admit(snapshot)
            present = dict(self._samples(snapshot))
        never = (0, Sample(now_ms, quality=quality.BAD_NO_COMMUNICATION))
        found = [present.get(row, never) for row in range(len(self.metrics))]
        self._newest = np.array([t_ns for t_ns, _ in found], np.int64)
        self._doubted = {row for row, (_, sample) in enumerate(found) if quality_of(sample.quality) != GOOD}
        self.changed = False
        self.template = template
        births = Births(self._long)
        if template is None:
            for metric, (_, sample) in zip(self.metrics, found, strict=True):
                births.add(metric, sample)
            return births.encoded()
        members = [(metric, sample) for metric, (_, sample) in zip(self.metrics, found, strict=True)]
        others = template.members.keys() - {metric.name for metric in self.metrics}
        members += [(Metric(name, None, template.members[name]), never[1]) for name in sorted(others)]
        births.add_instance(self._instance, template.name, members, now_ms)
        return births.encoded()

    @property
    def _instance(self) -> Metric:
        return Metric(self.name, self._aliases.of(self.name, INSTANCE), DataType.TEMPLATE)

    def _samples(self, snapshot: Readings) -> Iterator[tuple[int, tuple[int, Sample]]]:
        index = self._definition(snapshot.device).index(snapshot).tolist()
        columns = zip(index, snapshot.t_ns.tolist(), snapshot.value.tolist(), snapshot.quality.tolist(), strict=True)
        for at, (row, t_ns, number, flags) in enumerate(columns):
            value = snapshot.exact.get(at, number)
            yield row, (t_ns, Sample(t_ns // MILLISECOND, None if flags & quality.BAD else value, flags))

    def data(self, readings: Readings) -> bytes:
        """The metrics of a block that was admitted, in the order of time."""
        if not len(readings):
            return b""
        if not _in_order(readings.t_ns):
            readings = _sorted(readings)
        layout, index = self._definition(readings.device).layout(readings, self.metrics, self._long)
        late, count = self._late(readings, index)
        if self.template is not None or self._doubted or not _plainly_good(readings.quality):
            return self._with_qualities(readings, layout, index, late)
        if count in (0, len(late)):
            done = layout.good(readings, count > 0)
            if done is not None:
                return done
        return layout.rows(readings, range(len(readings)), late.tolist(), ())

    def _late(self, readings: Readings, index: NDArray[np.intp]) -> tuple[NDArray[np.bool_], int]:
        """Which rows are not the present value of their metric, and how many; the others are from now on."""
        late: NDArray[np.bool_] = readings.t_ns < self._newest[index]
        if not _no_flags(readings.quality):
            late |= (readings.quality & np.uint32(quality.HISTORICAL)).astype(bool)
        count = np.count_nonzero(late)
        if not count:
            self._newest[index] = readings.t_ns
        elif count < len(late):
            live = ~late
            self._newest[index[live]] = readings.t_ns[live]
        return late, int(count)

    def _with_qualities(
        self, readings: Readings, layout: Layout, index: NDArray[np.intp], late: NDArray[np.bool_]
    ) -> bytes:
        tell_good = set()
        for at, (row, flags) in enumerate(zip(index.tolist(), readings.quality.tolist(), strict=True)):
            if quality_of(flags) != GOOD:
                self._doubted.add(row)
            elif row in self._doubted:
                self._doubted.discard(row)
                tell_good.add(at)
        if self.template is not None:
            alias = self._aliases.of(self.name, INSTANCE)
            return layout.instances(readings, late.tolist(), tell_good, self.template.name, alias)
        return layout.rows(readings, range(len(readings)), late.tolist(), tell_good)

    def members(self, metric: Any) -> list[Any]:
        """What a metric of a command holds: itself, or, of the device's instance, its members."""
        ours = self._instance
        meant = metric.alias == ours.alias if metric.HasField("alias") else metric.name == ours.name
        if self.template is not None and meant and metric.WhichOneof("value") == "template_value":
            return list(metric.template_value.metrics)
        return [metric]

    def tag_of(self, metric: Any) -> tuple[Metric, Tag] | None:
        """What a metric of a command means, by its alias or, without one, by its name; None for none of ours."""
        if metric.HasField("alias"):
            found = next((row for row, each in enumerate(self.metrics) if each.alias == metric.alias), None)
        else:
            found = self._rows.get(metric.name)
        return None if found is None else (self.metrics[found], self._tags[found])


class _Definition:
    """What one Device object's tags are here."""

    def __init__(self, rows: Mapping[int, int]) -> None:
        self.rows = rows
        """Row of the metric by the tag's id."""
        self._layouts: dict[bytes, tuple[Layout, NDArray[np.intp]]] = {}

    def index(self, readings: Readings) -> NDArray[np.intp]:
        """The metric's row for each row of a block."""
        return np.array([self.rows[tag] for tag in readings.tag.tolist()], np.intp)

    def layout(
        self, readings: Readings, metrics: Sequence[Metric], uint32_as_long: bool
    ) -> tuple[Layout, NDArray[np.intp]]:
        """How a block of these tags is written, and its metrics' rows."""
        raw = readings.tag.tobytes()
        known = self._layouts.get(raw)
        if known is None:
            index = self.index(readings)
            known = (Layout([metrics[row] for row in index.tolist()], uint32_as_long), index)
            if len(self._layouts) >= LAYOUTS:
                del self._layouts[next(iter(self._layouts))]
            self._layouts[raw] = known
        return known


def _alike(known: Tag, tag: Tag) -> bool:
    """Whether values of the one can stand under the metric of the other."""
    return known.unit == tag.unit and (known.type == tag.type or "" in (known.type, tag.type))


def _no_flags(flags: NDArray[np.uint32]) -> bool:
    """All good, and nothing else; bytes are compared faster than numpy is called."""
    raw = flags.tobytes()
    return raw == bytes(len(raw))


def _plainly_good(flags: NDArray[np.uint32]) -> bool:
    """All good, with no flag but that they are late."""
    return _no_flags(flags) or bool((flags == np.uint32(quality.HISTORICAL)).all())


def _in_order(t_ns: NDArray[np.int64]) -> bool:
    raw = t_ns.tobytes()
    return raw == raw[:8] * len(t_ns) or bool((t_ns[1:] >= t_ns[:-1]).all())


def _sorted(readings: Readings) -> Readings:
    """The same in the order of time."""
    order = np.argsort(readings.t_ns, kind="stable")
    exact = {new: readings.exact[old] for new, old in enumerate(order.tolist()) if old in readings.exact}
    columns = (readings.t_ns[order], readings.tag[order], readings.value[order], readings.quality[order])
    return Readings(readings.device, *columns, exact, readings.own_time)


def _properties(tag: Tag) -> list[Property]:
    """What a birth says of a tag; names as hosts know them."""
    said: list[Property] = []
    if tag.unit:
        said.append(("engUnit", DataType.STRING, encodable(tag.unit)))
    if tag.description:
        said.append(("documentation", DataType.STRING, encodable(tag.description)))
    if tag.config is not None:
        if tag.config.range is not None:
            low, high = tag.config.range
            said += [("engLow", DataType.DOUBLE, low), ("engHigh", DataType.DOUBLE, high)]
        said.append(("readOnly", DataType.BOOLEAN, not tag.config.write))
    return said
