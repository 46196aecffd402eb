"""Summaries: a file beside a finished segment of readings, made from it and never needed.

It holds of each device where its frames stand and which source times they have, and of each tag its readings, thinned to a
grid of time: of each step the least and the greatest value, each at its own time, and how many readings they stand for. What
is damaged in it, or is of another segment, is as good as not there.
"""

import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.parsing import doubting, parse_json
from gateway.outbox.format.segment import Segment
from gateway.places.regular import open_regular

SUMMARY_MAGIC = b"EGWSUM1\n"
_HEADER = struct.Struct("<8s16sQQQQQQQqqI")
"""Magic, id of the log; of the segment the first and last number, running counts before and behind, records, and
its size; width of a step, least and greatest source time, bytes of the directory. A CRC is behind it, of all
this and of the directory, which follows."""
_CRC = struct.Struct("<I")
_DIRECTORY_AT_MOST = 64 * 1024 * 1024

CHUNK = np.dtype([("t_from", "<i8"), ("t_to", "<i8"), ("end", "<u4"), ("crc", "<u4")])
"""So many frames of a device as `FRAMES` says: their least and greatest source time, the offset behind the last of them, and
the CRC-32 of their bytes, one behind the other."""
FRAMES = 64
POINT_SIZE = 20
"""Bytes of a point in the file."""


class Points(NamedTuple):
    """Readings of a tag, or what is left of them, in the order of steps: int64[n] source times, float64[n] values (NaN is a
    hole), int64[n] how many readings each stands for; 0 for the second of a step."""

    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    readings: NDArray[np.int64]

    def some(self, rows: Any) -> "Points":
        """These of them: an index, a mask or a slice."""
        return Points(self.t_ns[rows], self.value[rows], self.readings[rows])

    @staticmethod
    def joined(parts: Sequence["Points"]) -> "Points":
        """One behind the other."""
        return Points(
            np.concatenate([part.t_ns for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.readings for part in parts]),
        )


class DeviceSummary(NamedTuple):
    """What is known of a device in one segment."""

    places: NDArray[np.uint32]
    """Offsets of its frames."""
    chunks: NDArray[np.void]
    tags: Mapping[str, Points]


def dump_summary(
    log: str, segment: Segment, width: int, times: tuple[int, int], devices: Mapping[str, DeviceSummary]
) -> bytes:
    """The whole file. `width`: of a step, ns; `times`: least and greatest source time."""
    body: list[bytes] = []
    at = 0

    def put(data: bytes) -> tuple[int, int, int]:
        nonlocal at
        body.append(data)
        at += len(data)
        return at - len(data), len(data), zlib.crc32(data)

    directory = {}
    for name, device in devices.items():
        tags = {tag: put(_packed(points)) for tag, points in device.tags.items()}
        frames = put(device.places.astype("<u4").tobytes() + device.chunks.tobytes())
        directory[name] = put(orjson.dumps({"frames": [*frames, len(device.places)], "tags": tags}))
    listed = orjson.dumps(directory)
    head = _HEADER.pack(SUMMARY_MAGIC, log.encode(), *_identity(segment), width, *times, len(listed))
    return b"".join((head, _CRC.pack(zlib.crc32(listed, zlib.crc32(head))), listed, *body))


def _identity(segment: Segment) -> tuple[int, ...]:
    s = segment
    return s.first, s.last, s.start, s.end, s.records, s.size


def _packed(points: Points) -> bytes:
    return b"".join(
        (
            points.t_ns.astype("<i8").tobytes(),
            points.value.astype("<f8").tobytes(),
            points.readings.astype("<u4").tobytes(),
        )
    )


class Summary:
    """An open file. All calls raise ValueError where it is damaged, or of another segment, and OSError."""

    def __init__(self, log: str, segment: Segment) -> None:
        self._file = open_regular(segment.summary_path)
        try:
            with doubting(ValueError):
                self._open(log, segment)
        except BaseException:
            self.close()
            raise

    def _open(self, log: str, segment: Segment) -> None:
        self.size = os.fstat(self._file).st_size
        head = os.pread(self._file, _HEADER.size + _CRC.size, 0)
        magic, whose, *identity, self.width, t_from, t_to, length = _HEADER.unpack_from(head)
        if (magic, whose, tuple(identity)) != (SUMMARY_MAGIC, log.encode(), _identity(segment)):
            raise ValueError("it is no summary of this file")
        self._begin = len(head) + length
        if length > _DIRECTORY_AT_MOST or self._begin > self.size or self.width < 1:
            raise ValueError("its numbers cannot be right")
        listed = os.pread(self._file, length, len(head))
        if zlib.crc32(listed, zlib.crc32(head[: _HEADER.size])) != _CRC.unpack_from(head, _HEADER.size)[0]:
            raise ValueError("checksum")
        self.times = (t_from, t_to)
        """Least and greatest source time of all that it has."""
        self._directory: Mapping[str, Any] = parse_json(listed, size=_DIRECTORY_AT_MOST)

    def device(self, name: str) -> "DevicePart | None":
        """What it says of a device; None: the segment has no readings of it."""
        with doubting(ValueError):
            where = self._directory.get(name)
            return None if where is None else DevicePart(self, parse_json(self.read(*where), size=_DIRECTORY_AT_MOST))

    def read(self, at: int, length: int, crc: int) -> bytes:
        """A part of the file."""
        if not 0 <= length <= self.size or at < 0:
            raise ValueError("its numbers cannot be right")
        data = os.pread(self._file, length, self._begin + at)
        if len(data) < length or zlib.crc32(data) != crc:
            raise ValueError("checksum")
        return data

    def close(self) -> None:
        """No more calls."""
        os.close(self._file)


class DevicePart:
    """What a summary says of one device. Raises as the summary does."""

    def __init__(self, summary: Summary, listed: Mapping[str, Any]) -> None:
        self._summary = summary
        self._frames, self._tags = listed["frames"], listed["tags"]

    def points(self, tag: str) -> Points | None:
        """Of a tag; None: it has no readings of it."""
        with doubting(ValueError):
            if tag not in self._tags:
                return None
            data = self._summary.read(*self._tags[tag])
            n = len(data) // POINT_SIZE
            return Points(
                np.frombuffer(data, "<i8", n),
                np.frombuffer(data, "<f8", n, 8 * n),
                np.frombuffer(data, "<u4", n, 16 * n).astype(np.int64),
            )

    def frames(self) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Offsets of its frames, and their chunks."""
        with doubting(ValueError):
            *where, n = self._frames
            data = self._summary.read(*where)
            return np.frombuffer(data, "<u4", n).astype(np.int64), np.frombuffer(data, CHUNK, -(-n // FRAMES), 4 * n)


def summary_sizes(directory: Path) -> dict[str, int]:
    """Bytes of each summary of a log, by the name of its segment without its ending; what is none is left out. Blocking."""
    sizes = {}
    try:
        for entry in os.scandir(directory / "summaries"):
            name, dot, ending = entry.name.partition(".")
            if dot and ending == "sum" and entry.is_file(follow_symlinks=False):
                sizes[name] = entry.stat(follow_symlinks=False).st_size
    except OSError:
        return {}
    return sizes
