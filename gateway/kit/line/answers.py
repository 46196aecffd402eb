"""What comes of a request to a device: data, the device's own code, or why there is neither; and what that means."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Protocol

from gateway.plugin import quality

Answer = bytes | int
"""The data of the answer, the code by which the device refuses (0 or more), or one of the following, which are below 0."""

JointAnswer = Answer | tuple[Answer, ...]
"""The answer to a request that several were joined in (`BlockReading.joined`): data of all, one behind the other; a code that
holds for all; or, where some places are refused, an answer for each."""

NO_ANSWER = -1
"""In place of an answer that did not come in time."""

DAMAGED = -2
"""In place of an answer whose checksum was wrong."""

MISFIT = -3
"""In place of an answer to what was asked that has another length or echo than was asked for."""

UNSENT = -4
"""In place of an answer to what was not sent: the time was over, or the unit did not answer what went before."""

_OURS = {
    NO_ANSWER: ("no answer in time, though the device answers other requests", quality.BAD_TIMEOUT),
    DAMAGED: ("answers come damaged; look at wiring, termination, baud and parity", quality.BAD_COMMUNICATION),
    MISFIT: ("the answer has another length than was asked for", quality.BAD_DECODING),
    UNSENT: ("not asked, since the time was over", quality.BAD_TIMEOUT),
}


class LineRequest(Protocol):
    """A question to one unit of a line."""

    @property
    def unit(self) -> Hashable:
        """Who is asked: what answers in order, and can be silent by itself."""
        ...

    @property
    def size(self) -> int:
        """Bytes of data in a right answer; -1 where it may have any number."""
        ...


class RefusalCodes:
    """What the codes of a protocol mean."""

    def __init__(
        self,
        meanings: Mapping[int, tuple[str, int]],
        *,
        of_device: Collection[int] = (),
        busy: Collection[int] = (),
        unreachable: Collection[int] = (),
        code: str = "code {}",
    ) -> None:
        """`meanings`: code → what it means and what to change, and the quality of a value that was refused so; MISFIT and
        its like may be among them. `of_device`: codes that are no matter of one address, so that dividing a block would
        find nothing. `busy`: those of them after which the request is repeated a little later. `unreachable`: those by
        which a gateway says that it does not reach the unit. `code` is how a code is written, for its manual."""
        self._meanings = {**_OURS, **meanings}
        self.busy = frozenset(busy)
        self.unreachable = frozenset(unreachable)
        self._of_device = frozenset(of_device) | self.busy | self.unreachable | {NO_ANSWER, DAMAGED, UNSENT}
        self._code = code

    def divisible(self, answer: Answer | None) -> bool:
        """Whether it may be the fault of one address in a block, or of the block's size."""
        return type(answer) is int and answer not in self._of_device

    def put_off(self, answer: Answer | None) -> bool:
        """Whether it is neither data nor a word about addresses: silence, or the word that the device has no time or is not
        reached. If others are answered, it may be about one address all the same: what a gateway cannot get out of a unit, it
        says to be not reached."""
        return answer == NO_ANSWER or (type(answer) is int and answer >= 0 and answer in self._of_device)

    def alive(self, answers: Iterable[Answer]) -> bool:
        """Whether the unit has given data, or said something of addresses."""
        return any(type(answer) is bytes or self.divisible(answer) for answer in answers)

    def heard(self, answers: Iterable[Answer]) -> bool:
        """Whether the unit itself has said anything."""
        return self.alive(answers) or any(answer in self.busy for answer in answers)

    def words(self, code: int) -> str:
        """The code in plain words."""
        meaning = self._meanings.get(code)
        words = meaning[0] if meaning else "a code of its maker's own; see its manual"
        return words if code < 0 else f"{words} ({self._code.format(code)})"

    def quality(self, code: int) -> int:
        """The quality of a value that the device refused so."""
        meaning = self._meanings.get(code)
        return meaning[1] if meaning else quality.BAD_COMMUNICATION
