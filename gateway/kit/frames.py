"""Where a frame ends, and a bounded buffer that gives whole frames. Pure: no socket, no clock."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.parsing import doubting

CHUNK = 256 * 1024
"""Bytes that the event loop hands over at once, at most, whatever the peer sends."""


class Framing(Protocol):
    """Knows where frames of one kind end."""

    @property
    def longest(self) -> int:
        """Bytes of a frame, at most; what claims or proves to be longer is refused."""
        ...

    def size(self, data: bytes | bytearray, searched: int) -> int:
        """Whole size in bytes of the frame that `data` begins with; 0 while that cannot be told. The first `searched` bytes
        were there at the last call already. Raises ValueError, with the reason, for what can be no frame."""
        ...


@dataclass(frozen=True, slots=True)
class Sized:
    """Frames whose header tells their size, as in most protocols of PLCs."""

    header: int
    """Bytes that must be there before the size can be told."""

    whole: Callable[[bytes], int]
    """The size of the whole frame, header included, from these bytes. May raise ValueError for what can be no header."""

    longest: int = 64 * 1024

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if len(data) < self.header:
            return 0
        with doubting(ValueError):
            size = self.whole(bytes(data[: self.header]))
        if size < self.header:
            raise ValueError(f"a header claims that its frame has {size} bytes")
        return size


@dataclass(frozen=True, slots=True)
class Ended:
    """Frames that end with certain bytes, such as lines."""

    by: bytes = b"\n"
    more: int = 0
    """Bytes that still follow, such as a check sum."""

    longest: int = 64 * 1024

    def size(self, data: bytes | bytearray, searched: int) -> int:
        at = data.find(self.by, max(0, searched - len(self.by) - self.more + 1))
        end = at + len(self.by) + self.more
        return end if at >= 0 and end <= len(data) else 0


class Frames:
    """What has come and was not taken yet. Its cost grows with the bytes, not with their square, however they are cut."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._longest = framing.longest
        self.held = bytearray()
        """All of it; to be looked at only."""
        self._searched = 0

    def __len__(self) -> int:
        """How many bytes wait."""
        return len(self.held)

    def add(self, data: bytes) -> None:
        """More has come."""
        self.held += data

    def next(self) -> bytes | None:
        """The next whole frame, if it is there. Raises ValueError, with the reason, for what can be none, or is too long;
        nothing that follows can be trusted then."""
        data = self.held
        if not data:
            return None
        size = self._framing.size(data, self._searched)
        if size > self._longest or (not size and len(data) > self._longest):
            raise ValueError(
                f"a frame of {size} bytes, more than {self._longest}"
                if size
                else f"{self._longest} bytes and no end of a frame"
            )
        if not size or size > len(data):
            self._searched = len(data)
            return None
        with memoryview(data) as view:
            frame = bytes(view[:size])
        del data[:size]
        self._searched = 0
        return frame

    def clear(self) -> int:
        """Forget all of it. Returns how many bytes."""
        size = len(self.held)
        self.held.clear()
        self._searched = 0
        return size
