"""The frames of a segment file, read portion by portion: also of one that is damaged, or that is no such file. Blocking."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gateway.outbox.format.frames import DEFINITION, HEAD_SIZE, FrameHeader, is_sound, is_whole, next_magic, peek
from gateway.places.regular import open_regular

SEGMENT_AT_MOST = 2 * 1024**3
"""Bytes; a longer file is none that this gateway has written."""
_CHUNK = 256 * 1024


def read_frames(path: Path, offset: int, end: int) -> Iterator[tuple[FrameHeader, memoryview, int]]:
    """Every whole and sound frame between two offsets, damage leapt over, and the offset behind it. Raises OSError."""
    file = open_regular(path)
    try:
        base, data, at = offset, b"", 0
        while (place := base + at) < end:
            head = peek(data, at)
            need = HEAD_SIZE if head is None else head.size
            if len(data) - at < need <= end - place:
                data = os.pread(file, min(max(need, _CHUNK), end - place), place)
                if len(data) < need:
                    return
                base, at = place, 0
            elif head is not None and is_whole(data, at, head):
                if is_sound(head):
                    yield head, memoryview(data)[at + HEAD_SIZE : at + need], place + need
                at += need
            else:
                at = next_magic(data, at)
    finally:
        os.close(file)


def frames_of(path: Path, offset: int, kind: int) -> Iterator[tuple[FrameHeader, memoryview]]:
    """One file's frames of a kind from an offset on; none if it is gone."""
    with suppress(OSError):
        for head, payload, _ in read_frames(path, offset, min(path.stat().st_size, SEGMENT_AT_MOST)):
            if head.kind == kind:
                yield head, payload


def definitions_of(path: Path, offset: int, number: int | None = None) -> Iterator[bytes]:
    """The payloads of one file's definition frames from an offset on, those of this number or all; none if it is gone."""
    for head, payload in frames_of(path, offset, DEFINITION):
        if number in (None, head.source):
            yield bytes(payload)
