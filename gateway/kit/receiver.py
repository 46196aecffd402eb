"""Frames that are told of as they come, within bounds."""

import asyncio
from typing import Protocol

from gateway.kit.frames import Frames, Framing

FRAMES_A_TURN = 64
"""Frames taken before the other connections of the loop have their turn."""


class Flow(Protocol):
    """What is used of a transport: whether bytes come."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Receiver(asyncio.Protocol):
    """Cuts what a transport brings into frames, and calls `frame_received` for each: at most FRAMES_A_TURN in a turn of the
    loop; the transport rests until they are taken. So it holds one frame and one chunk of the loop's (CHUNK) at most, and a
    flood costs time but nobody else's turn.

    A frame that never becomes whole just waits here: the caller's time-out ends it, `unfinished` says so.
    """

    flow: Flow | None = None
    """The transport, where it can be told to rest; set it in `connection_made`."""

    def __init__(self, framing: Framing) -> None:
        self._size_of = framing.size
        self._longest = framing.longest
        self._frames = Frames(framing)
        self._held = self._frames.held
        self._later: asyncio.Handle | None = None
        self._resting = False
        self._deaf = False

    def frame_received(self, frame: bytes) -> None:
        """A whole frame has come."""
        raise NotImplementedError

    def nonsense_received(self, reason: str) -> None:
        """What came can be no frame. Call `forget` if the line shall go on, else `stop`."""
        raise NotImplementedError

    def frames_received(self) -> None:
        """What came at once was taken, after a rest too."""

    @property
    def waiting(self) -> bool:
        """Whether whole frames have come and are not taken yet."""
        return self._later is not None

    @property
    def unfinished(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._held)

    def data_received(self, data: bytes) -> None:
        if self._deaf or not data:  # a datagram may be empty
            return
        if not self._held:
            try:
                size = self._size_of(data, 0)
            except ValueError as error:
                self.nonsense_received(str(error))
                return
            if size == len(data) <= self._longest:  # one whole frame, as nearly always
                self.frame_received(data)
                return
        self._frames.add(data)
        if self._later is None:
            self._take()

    def forget(self) -> None:
        """What has come and is no whole frame yet is no part of what comes next."""
        self._frames.clear()

    def stop(self) -> None:
        """Take nothing more."""
        self._deaf = True
        self.forget()
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _take(self) -> None:
        self._later = None
        for _ in range(FRAMES_A_TURN):
            try:
                frame = self._frames.next()
            except ValueError as error:
                self.nonsense_received(str(error))
                frame = None
            if frame is None:
                break
            self.frame_received(frame)
        else:
            self._later = asyncio.get_running_loop().call_soon(self._take)
        self._rest(self._later is not None)
        if self._later is None:
            self.frames_received()

    def _rest(self, wanted: bool) -> None:
        if self.flow is None or self._deaf or wanted == self._resting:
            return
        self._resting = wanted
        if wanted:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()
