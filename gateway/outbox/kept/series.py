"""Values of a few tags out of segments: from their summaries, where these say enough, else from the frames. Both come to the
same points; without summaries it takes longer. Blocking: called in a thread.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting
from gateway.core.times import EARLIEST
from gateway.outbox.format import (
    DEFINITION,
    FRAMES,
    HEAD_SIZE,
    Dictionary,
    Points,
    Segment,
    Summary,
    peek,
)
from gateway.outbox.kept.frame_runs import PORTION, FrameRun, Ids, begin, frames_at, portions
from gateway.outbox.kept.summarising import crc_of
from gateway.outbox.kept.thinning import Series, raw
from gateway.places.regular import open_regular

EARLY_NS, LATE_NS = 300_000_000_000, 3_600_000_000_000
"""Where a segment has no summary yet, a reading is looked for among what was accepted so much before its source time (a
device's clock may be ahead), and so much after it (it may have been kept by the device)."""
SHORT, LONGEST_LOOK = 1.0, 30.0
"""Seconds after which a look rests as long as it works, as the road needs Python too; and after which it is broken off."""

Steps = NDArray[np.int64]


@dataclass(slots=True)
class Query:
    """Which readings, and where they go."""

    device: str
    series: dict[str, Series]
    """By the names of tags."""
    from_ns: int
    to_ns: int
    everywhere: bool = False
    """Whether a file without summary is looked through whenever it was written."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Of one segment's frames."""

    series: Mapping[str, Series]
    steps: Mapping[str, Steps]
    """Of which steps of the summary, ascending; of all, where a tag is not among them."""
    width: int = 1


class SeriesReader:
    """Reads the files of one log."""

    def __init__(self, log: str, dictionary: Dictionary) -> None:
        self._log = log
        self._dictionary = dictionary
        self._alone = threading.Lock()  # a look goes on in its thread when who asked is gone, and another may ask

    def read(self, segments: Sequence[Segment], wanted: Query) -> None:
        """Fill the series with what these segments hold. A file that is gone, and a record that is damaged, are passed over.
        Raises OSError when the disk does not read, and GatewayError when it takes too long."""
        with self._alone:
            begun = before = time.monotonic()
            for _ in self._look(segments, wanted):
                now = time.monotonic()
                if now - begun > LONGEST_LOOK:
                    raise GatewayError(f"this takes longer than {LONGEST_LOOK:g} s: ask for a shorter span of time")
                if now - begun > SHORT:
                    time.sleep(now - before)
                before = time.monotonic()

    def _look(self, segments: Sequence[Segment], wanted: Query) -> Iterator[None]:
        yield from self._segments(segments, wanted, exact=False)
        few = {tag: one for tag, one in wanted.series.items() if one.stands_for_more and not one.is_thinned}
        if few:  # these are shown as they are
            again = {tag: Series(one.from_ns, one.to_ns, one.points) for tag, one in few.items()}
            wanted.series.update(again)
            yield from self._segments(segments, replace(wanted, series=again), exact=True)

    def _segments(self, segments: Sequence[Segment], wanted: Query, *, exact: bool) -> Iterator[None]:
        for segment in segments:
            with suppress(FileNotFoundError):
                if segment.summary:
                    if segment.times and not (segment.times[0] < wanted.to_ns and segment.times[1] >= wanted.from_ns):
                        continue
                    if (look := self._by_summary(segment, wanted, exact)) is not None:
                        yield from look
                        continue
                near = segment.wall_from <= wanted.to_ns + LATE_NS and segment.wall_to >= wanted.from_ns - EARLY_NS
                if wanted.everywhere or near:
                    yield from self._all_frames(segment, wanted)

    def _by_summary(self, segment: Segment, wanted: Query, exact: bool) -> Iterator[None] | None:
        """None where there is none of this segment, or a damaged one, which is removed: another will be made."""
        try:
            with closing(Summary(self._log, segment)) as summary:
                return self._summarised(summary, segment, wanted, exact)
        except FileNotFoundError:
            segment.summary = 0
        except OSError:
            pass  # the disk does not read it now
        except ValueError:
            with suppress(OSError):
                segment.summary_path.unlink()
            segment.summary = 0
        return None

    def _summarised(self, summary: Summary, segment: Segment, wanted: Query, exact: bool) -> Iterator[None]:
        """What the summary says goes into the series, once all of it was read; the frames for the rest are read then."""
        part, width = summary.device(wanted.device), summary.width
        segment.times = summary.times
        if part is None:
            return iter(())
        frames = part.frames()
        found = {tag: points for tag in wanted.series if (points := part.points(tag)) is not None}
        with doubting(ValueError):
            divided = {tag: _divided(points, width, wanted.series[tag], exact) for tag, points in found.items()}
        for tag, (said, _) in divided.items():
            if len(said.t_ns):
                wanted.series[tag].add(said)
        steps = {tag: rest for tag, (_, rest) in divided.items() if len(rest)}
        only = _Wanted({tag: wanted.series[tag] for tag in steps}, steps, width)
        return self._some_frames(segment, frames, wanted, only) if steps else iter(())

    def _some_frames(
        self, segment: Segment, where: tuple[NDArray[np.int64], NDArray[np.void]], wanted: Query, only: _Wanted
    ) -> Iterator[None]:
        places, chunks = where
        t_from, t_to = chunks["t_from"] // only.width, chunks["t_to"] // only.width
        steps = np.unique(np.concatenate(list(only.steps.values())))
        at = np.searchsorted(steps, t_from)
        needed = (at < len(steps)) & (steps[np.minimum(at, len(steps) - 1)] <= t_to)
        sources: dict[int, Mapping[int, str] | None] = {}
        ids: dict[int, Ids] = {}
        file = open_regular(segment.path)
        try:
            for frames in _read_chunks(file, places, chunks, np.flatnonzero(needed)):
                self._put(frames, segment, wanted, only, sources, ids)
                yield
        finally:
            os.close(file)

    def _all_frames(self, segment: Segment, wanted: Query) -> Iterator[None]:
        """Yields after each portion, so that the look can rest."""
        sources: dict[int, Mapping[int, str] | None] = {}
        ids: dict[int, Ids] = {}
        all_of_it = _Wanted(wanted.series, {})
        file = open_regular(segment.path)
        try:
            for _, frames in portions(
                file, begin(file, segment, EARLIEST if wanted.everywhere else wanted.from_ns - EARLY_NS), segment.size
            ):
                for at in np.flatnonzero(frames.heads["kind"] == DEFINITION).tolist():
                    place = int(frames.places[at]) + HEAD_SIZE
                    payload = frames.data[place : place + int(frames.heads["length"][at])]
                    self._dictionary.passes(int(frames.heads["source"][at]), payload)
                frames = frames.some(frames.readings())
                self._learn(frames, segment, wanted, sources, ids)
                frames = frames.some(np.flatnonzero(np.isin(frames.heads["source"], list(ids))))
                frames = frames.some(np.flatnonzero(frames.whole()))
                self._put(frames, segment, wanted, all_of_it, sources, ids)
                yield
        finally:
            os.close(file)

    def _learn(
        self,
        frames: FrameRun,
        segment: Segment,
        wanted: Query,
        sources: dict[int, Mapping[int, str] | None],
        ids: dict[int, Ids],
    ) -> None:
        """Which of these frames' sources are the wanted device, with which tags."""
        for number in np.unique(frames.heads["source"]).tolist():
            if number in sources:
                continue
            definition = self._dictionary.defined(number, segment.path)
            sources[number] = None
            if definition is not None and definition.device.name == wanted.device:
                tags = definition.device.tags
                sources[number] = {tag.id: tag.name for tag in tags if tag.name in wanted.series}
                ids[number] = tags.ids

    def _put(
        self,
        frames: FrameRun,
        segment: Segment,
        wanted: Query,
        only: _Wanted,
        sources: dict[int, Mapping[int, str] | None],
        ids: dict[int, Ids],
    ) -> None:
        self._learn(frames, segment, wanted, sources, ids)
        for block in frames.blocks(ids):
            for tag, name in (sources[block.source] or {}).items():
                if name not in only.series:
                    continue
                t_ns, value = block.of(tag)
                inside = (t_ns >= wanted.from_ns) & (t_ns < wanted.to_ns)
                if name in only.steps:
                    inside &= np.isin(t_ns // only.width, only.steps[name])
                if inside.any():
                    only.series[name].add(raw(t_ns[inside], value[inside]))


def _divided(points: Points, width: int, series: Series, exact: bool) -> tuple[Points, Steps]:
    """What of a summary's points of a tag can be taken, and of which steps the readings are needed: those that are fewer
    points than readings, and cut by the ends of the span, or all such when it is to be `exact`."""
    step = points.t_ns // width
    begin = np.flatnonzero(np.concatenate([[True], step[1:] != step[:-1]]))
    sizes = np.diff(np.append(begin, len(step)))
    t_from = step[begin] * width
    needed = np.add.reduceat(points.readings, begin) > sizes
    readings = np.where(np.repeat(needed, sizes), points.readings, 1)  # of all that a step had, each stands for itself
    if not exact and series.unit % width == 0:
        needed &= (t_from < series.from_ns) | (t_from > series.to_ns - width)
    needed &= (t_from < series.to_ns) & (t_from > series.from_ns - width)
    inside = (points.t_ns >= series.from_ns) & (points.t_ns < series.to_ns) & ~np.repeat(needed, sizes)
    return Points(points.t_ns[inside], points.value[inside], readings[inside]), step[begin][needed]


def _read_chunks(
    file: int, places: NDArray[np.int64], chunks: NDArray[np.void], which: NDArray[np.intp]
) -> Iterator[FrameRun]:
    """The frames of these chunks, portion by portion; those that are damaged are left out."""
    ends = chunks["end"].astype(np.int64)
    at = 0
    while at < len(which):
        first = int(which[at])
        begin = int(places[first * FRAMES])
        upto = at + 1
        while upto < len(which) and which[upto] == which[upto - 1] + 1 and ends[which[upto]] - begin <= PORTION:
            upto += 1
        last = int(which[upto - 1])
        of_them = places[first * FRAMES : (last + 1) * FRAMES]
        if ends[last] - begin <= PORTION:
            yield _sound(_read(file, begin, int(ends[last]) - begin, of_them - begin), chunks["crc"][first : last + 1])
        else:  # frames that are few among many of other devices, or long
            for place in of_them.tolist():
                head = peek(os.pread(file, HEAD_SIZE, place), 0)
                one = _read(file, place, head.size if head else 0, np.zeros(1, np.int64))
                yield one.some(np.flatnonzero(one.whole()))
        at = upto


def _read(file: int, offset: int, size: int, places: NDArray[np.int64]) -> FrameRun:
    data = os.pread(file, size, offset)
    frames = frames_at(data, places[(places >= 0) & (places <= len(data) - HEAD_SIZE)])
    return frames.some(np.flatnonzero(frames.ends <= len(data)))


def _sound(frames: FrameRun, crcs: NDArray[np.uint32]) -> FrameRun:
    """By the checksum of each chunk; where that is wrong, by that of each frame."""
    ends = frames.ends
    for number, crc in enumerate(crcs.tolist()):
        chunk = slice(number * FRAMES, (number + 1) * FRAMES)
        if not len(ends[chunk]) or crc_of(frames.data, frames.places[chunk], ends[chunk]) != crc:
            return frames.some(np.flatnonzero(frames.whole()))
    return frames.some(frames.readings())
