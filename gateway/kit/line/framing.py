"""How a protocol frames its requests and answers on a line."""

from collections.abc import Hashable
from typing import ClassVar, Generic, TypeVar

from gateway.kit.line.answers import JointAnswer, LineRequest, RefusalCodes

R = TypeVar("R", bound=LineRequest)


class DamagedError(Exception):
    """What was received has a wrong checksum, or cannot be a frame."""


class LineFraming(Generic[R]):
    """Knows frames of one kind; it is a `gateway.kit.Framing`. What is not implemented here must be."""

    ids = 0
    """How many transaction ids there are, a power of two: 65536 where frames carry 16 bits. 0 where they carry none."""

    longest = 64 * 1024
    """Bytes of a frame, at most."""

    recovers = True
    """Whether bytes that are no frame are a fact of such lines, as on serial ones: then the next frame is waited for. Where
    frames carry `ids`, or it is False, they end the connection, with the reason."""

    refusals: ClassVar[RefusalCodes]
    """What codes in answers mean."""

    def size(self, data: bytes | bytearray, searched: int) -> int:
        """Whole size in bytes of the frame that `data` begins with; 0 while that cannot be told. Raises ValueError, with the
        reason, for what can be none. See `gateway.kit.Framing`."""
        raise NotImplementedError

    def wrap(self, request: R, number: int) -> bytes:
        """The request as it goes out, by this transaction id."""
        raise NotImplementedError

    def answer(self, request: R, frame: bytes) -> JointAnswer | None:
        """The answer in the frame; None when it answers something else. One of another size than the request's is taken for
        MISFIT."""
        raise NotImplementedError

    def opened(self, frame: bytes) -> bytes:
        """A whole frame without its checksum, which is right: what the following take. Raises DamagedError when it is not."""
        return frame

    def number(self, frame: bytes) -> int:
        """The transaction id of a frame, where there are `ids`."""
        return 0

    def unit(self, frame: bytes) -> Hashable:
        """Who sends the frame, as `LineRequest.unit` says it."""
        return None

    def foreign(self, request: R, frame: bytes) -> str:
        """What is odd about a frame that answers something else."""
        return "an answer came to something else than was asked"

    def mark(self, request: R, number: int) -> R | None:
        """Where there are no `ids`: a request to the same unit that has a 16-bit number given back, whose right answer holds
        no data. None where the protocol has none: then an answer that did not come in time ends the connection."""
        return None
