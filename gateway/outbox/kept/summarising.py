"""Makes the summary of a finished segment: reads it once, in small portions, and keeps of each tag what a chart needs."""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.outbox.format import (
    CHUNK,
    DEFINITION,
    FRAMES,
    HEAD_SIZE,
    HEADER_SIZE,
    POINT_SIZE,
    DeviceSummary,
    Dictionary,
    Points,
    Segment,
    dump_summary,
)
from gateway.outbox.kept.frame_runs import FrameRun, Ids, portions
from gateway.outbox.kept.thinning import raw, thinned
from gateway.places.regular import open_regular

PORTION = 1024 * 1024
"""Bytes that are looked at together; memory is some twenty times as much."""
SHARE = 16
"""The points take one in so many bytes of the segment, at most; steps become wider until they do."""
TOO_MUCH = 8
"""A summary that takes one in so many bytes, or more, is not worth its room (a file of very many tags, each a few times)."""
FINEST = 1 << 33
"""Width of a step, ns: 8.6 s. With it a place, tag and step, is an int64."""


class _Source(NamedTuple):
    """A definition that the segment's records refer to."""

    device: str
    ids: Ids
    sorted_ids: Ids
    numbers: NDArray[np.int64]
    """Of its tags, in the order of their ids."""


@dataclass(slots=True)
class _Device:
    """What was found of a device so far."""

    places: list[NDArray[np.int64]] = field(default_factory=list)
    chunks: list[tuple[int, int, int, int]] = field(default_factory=list)
    frames: int = 0
    """In the last of the chunks, which is not full yet; 0: there is none such."""

    def add(self, frames: FrameRun, base: int, t_from: NDArray[np.int64], t_to: NDArray[np.int64]) -> None:
        """These, which stand in the file so many bytes on, with the source times of each."""
        self.places.append(frames.places + base)
        at, n, ends = 0, len(frames.places), frames.ends
        while at < n:
            upto = min(n, at + FRAMES - self.frames)
            first, last, _, crc = self.chunks.pop() if self.frames else (int(t_from[at]), int(t_to[at]), 0, 0)
            first, last = min(first, int(t_from[at:upto].min())), max(last, int(t_to[at:upto].max()))
            crc = crc_of(frames.data, frames.places[at:upto], ends[at:upto], crc)
            self.chunks.append((first, last, base + int(ends[upto - 1]), crc))
            self.frames = (self.frames + upto - at) % FRAMES
            at = upto


def crc_of(data: bytes, places: NDArray[np.int64], ends: NDArray[np.int64], crc: int = 0) -> int:
    """Of these frames, one behind the other."""
    view = memoryview(data)
    if (places[1:] == ends[:-1]).all():
        return zlib.crc32(view[places[0] : ends[-1]], crc)
    for at, end in zip(places.tolist(), ends.tolist(), strict=True):
        crc = zlib.crc32(view[at:end], crc)
    return crc


class Summarising:
    """Of one segment: `run` to its end, then `file`."""

    def __init__(self, log: str, segment: Segment, dictionary: Dictionary) -> None:
        self._log = log
        self._segment = segment
        self._dictionary = dictionary
        self._devices: dict[str, _Device] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        """Of device and tag."""
        self._sources: dict[int, _Source | None] = {}
        self._width = FINEST
        self._number = np.empty(0, np.int64)
        self._points = Points(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
        """Tag by tag, as the numbers beside them say."""

    def run(self) -> Iterator[None]:
        """Yields after each portion, so that whoever calls can rest. Raises OSError."""
        file = open_regular(self._segment.path)
        try:
            for base, frames in portions(file, HEADER_SIZE, self._segment.size, PORTION):
                self._portion(base, frames)
                yield
        finally:
            os.close(file)

    def _portion(self, base: int, frames: FrameRun) -> None:
        for at in np.flatnonzero(frames.heads["kind"] == DEFINITION).tolist():
            begin = int(frames.places[at]) + HEAD_SIZE
            payload = frames.data[begin : begin + int(frames.heads["length"][at])]
            self._dictionary.passes(int(frames.heads["source"][at]), payload)
        frames = frames.some(frames.readings())
        frames = frames.some(np.flatnonzero(frames.whole()))
        for source in np.unique(frames.heads["source"]).tolist():
            if source not in self._sources:
                self._sources[source] = self._source(source)
        n = len(frames.heads)
        t_from, t_to, is_one = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)
        found: list[tuple[NDArray[np.int64], Points]] = []
        for block in frames.blocks({number: known.ids for number, known in self._sources.items() if known}):
            t_from[block.rows], t_to[block.rows] = block.spans()
            is_one[block.rows] = True
            known = self._sources[block.source]
            assert known is not None
            t_ns, ids, value = block.all()
            row = np.minimum(np.searchsorted(known.sorted_ids, ids), len(known.ids) - 1)
            is_tag = known.sorted_ids[row] == ids
            found.append((known.numbers[row[is_tag]], raw(t_ns[is_tag], value[is_tag])))
        self._index(base, frames.some(np.flatnonzero(is_one)), t_from[is_one], t_to[is_one])
        for number, points in found:
            self._take(*thinned(self._place(number, points), points))
        self._settle()

    def _source(self, number: int) -> _Source | None:
        definition = self._dictionary.defined(number, self._segment.path)
        if definition is None or not len(definition.device.tags):
            return None
        name, tags = definition.device.name, definition.device.tags
        numbers = [self._numbers.setdefault((name, tag.name), len(self._numbers)) for tag in tags]
        order = np.argsort(tags.ids)
        return _Source(name, tags.ids, tags.ids[order], np.array(numbers, np.int64)[order])

    def _index(self, base: int, frames: FrameRun, t_from: NDArray[np.int64], t_to: NDArray[np.int64]) -> None:
        """Take account of where these frames, which are of known sources, stand."""
        names: dict[str, list[int]] = {}
        for source in np.unique(frames.heads["source"]).tolist():
            known = self._sources[source]
            assert known is not None
            names.setdefault(known.device, []).append(source)
        for name, sources in names.items():
            rows = np.flatnonzero(np.isin(frames.heads["source"], sources)) if len(names) > 1 else np.arange(len(t_to))
            self._devices.setdefault(name, _Device()).add(frames.some(rows), base, t_from[rows], t_to[rows])

    def _place(self, number: NDArray[np.int64], points: Points) -> NDArray[np.int64]:
        return (number << 32) + points.t_ns // self._width

    def _take(self, place: NDArray[np.int64], points: Points) -> None:
        self._number = np.concatenate([self._number, (place + (1 << 31)) >> 32])
        self._points = Points.joined([self._points, points])

    def _settle(self) -> None:
        """Thin what was taken, to wider steps if it is too much."""
        room = self._segment.size // SHARE // POINT_SIZE
        while True:
            place, self._points = thinned(self._place(self._number, self._points), self._points)
            self._number = (place + (1 << 31)) >> 32
            if len(place) <= max(room, 2 * len(self._numbers)) or self._width >= 1 << 60:
                return
            self._width *= 2

    def file(self) -> bytes | None:
        """The whole summary; None where it is not worth its room."""
        order = np.argsort(self._number, kind="stable")
        number = self._number[order]
        points = self._points.some(order)
        tags: dict[str, dict[str, Points]] = {name: {} for name in self._devices}
        for (device, tag), each in self._numbers.items():
            low, high = np.searchsorted(number, [each, each + 1])
            if low < high:
                tags[device][tag] = points.some(slice(low, high))
        devices = {
            name: DeviceSummary(np.concatenate(device.places), np.array(device.chunks, CHUNK), tags[name])
            for name, device in self._devices.items()
        }
        chunks = [device.chunks for device in devices.values()]
        times = (
            min((int(each["t_from"].min()) for each in chunks), default=0),
            max((int(each["t_to"].max()) for each in chunks), default=0),
        )
        data = dump_summary(self._log, self._segment, self._width, times, devices)
        return data if len(data) < max(self._segment.size // TOO_MUCH, 4096) else None
