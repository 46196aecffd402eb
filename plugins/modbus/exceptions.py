"""What a Modbus exception means (Modbus Application Protocol V1.1b3, §7), or no answer, and the quality that follows."""

from collections.abc import Iterable

from gateway.plugin import quality

from .requests import DAMAGED, MISFIT, NO_ANSWER, UNSENT, Answer

BUSY = 6
"""The exception by which a device says that it has no time now; the request is repeated a little later."""

_OF_THE_UNIT = frozenset((5, 6, 10, 11, NO_ANSWER, DAMAGED, UNSENT))
"""What is no matter of one address: the unit has no time, is not reached, or its answers do not arrive."""

_HIGHEST = 255
"""Codes of exceptions end here."""

_MEANINGS = {
    1: ("illegal function: the device has no such kind of address", quality.BAD_NOT_SUPPORTED),
    2: ("illegal data address: the device has nothing there; compare with its manual", quality.BAD_NODE_ID_UNKNOWN),
    3: ("illegal data value: the device does not allow this read", quality.BAD_CONFIGURATION),
    4: ("device failure: the device could not do it", quality.BAD_DEVICE_FAILURE),
    5: ("acknowledge: the device needs longer than a read allows", quality.BAD_DEVICE_FAILURE),
    6: ("busy: the device is doing something else", quality.BAD_DEVICE_FAILURE),
    8: ("memory parity error: the device found its memory damaged", quality.BAD_DEVICE_FAILURE),
    10: ("path unavailable: the gateway in front of the device has no way to it", quality.BAD_NO_COMMUNICATION),
    11: ("no answer: the gateway in front of the device does not reach it", quality.BAD_NO_COMMUNICATION),
    MISFIT: (
        "the answer has another length than was asked for; if the device pads all its answers, padded = true takes them",
        quality.BAD_DECODING,
    ),
    UNSENT: ("not asked, since the time was over", quality.BAD_TIMEOUT),
    NO_ANSWER: ("no answer in time, though the device answers other requests", quality.BAD_TIMEOUT),
    DAMAGED: ("answers come damaged; look at wiring, termination, baud and parity", quality.BAD_COMMUNICATION),
}


def divisible(answer: Answer | None) -> bool:
    """Whether it may be the fault of one address in a block, or of the block's size."""
    return type(answer) is int and answer not in _OF_THE_UNIT


def heard(answers: Iterable[Answer]) -> bool:
    """Whether the unit itself has said anything."""
    return any(type(answer) is bytes or divisible(answer) or answer == BUSY for answer in answers)


def words_of(code: int) -> str:
    """The exception in plain words."""
    words = _MEANINGS[code][0] if code in _MEANINGS else "an exception of its maker's own; see its manual"
    return words if code > _HIGHEST else f"{words} (exception {code})"


def quality_of(code: int) -> int:
    """The quality of a value that the device refused so."""
    return _MEANINGS[code][1] if code in _MEANINGS else quality.BAD_COMMUNICATION
