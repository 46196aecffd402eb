"""What a Modbus exception means (Modbus Application Protocol V1.1b3, §7), or no answer, and the quality that follows."""

from gateway.plugin import quality

from .requests import DAMAGED, NO_ANSWER

DIVISIBLE = frozenset((2, 3))
"""Exceptions that may be the fault of one address in a block, or of the block's size."""

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
    NO_ANSWER: ("no answer in time, though the device answers other requests", quality.BAD_TIMEOUT),
    DAMAGED: ("answers come damaged; look at wiring, termination, baud and parity", quality.BAD_COMMUNICATION),
}


def words_of(code: int) -> str:
    """The exception in plain words."""
    words = _MEANINGS[code][0] if code in _MEANINGS else "an exception of its maker's own; see its manual"
    return words if code in (NO_ANSWER, DAMAGED) else f"{words} (exception {code})"


def quality_of(code: int) -> int:
    """The quality of a value that the device refused so."""
    return _MEANINGS[code][1] if code in _MEANINGS else quality.BAD_COMMUNICATION
