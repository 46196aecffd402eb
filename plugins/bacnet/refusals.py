"""What devices refuse, in words: errors, rejects and aborts (ANSI/ASHRAE 135, clauses 18 and 21)."""

from gateway.plugin import DeviceError, quality

from .encoding import MalformedError
from .frames import Apdu, PduType
from .services import Refusal, error_of

UNKNOWN_OBJECT, UNKNOWN_PROPERTY = 31, 32
OBJECT_CLASS = 1
UNRECOGNIZED_SERVICE = 9
"""A reject's reason."""
_TOO_LARGE = {PduType.REJECT: (1, 7), PduType.ABORT: (1, 4, 9, 11)}
"""Reasons for which fewer values are asked for at once: buffer overflow, too many arguments, no segmentation and so on."""

_ERRORS = {
    0: "without a reason",
    2: "it is being configured",
    3: "it is busy",
    9: "the value is of a wrong type for this property: see the object's type in the device",
    18: "it has no room for another one",
    19: "it has no room for another one",
    25: "an operational problem",
    27: "reading is not allowed: see the access rights in the device",
    29: "it denies the request: see the access rights in the device",
    30: "its own time-out: what is behind it does not answer",
    31: "there is no such object in this device: was it deleted, or is the address wrong?",
    32: "the object has no such property",
    36: "it has no objects of this type",
    37: "the value is out of the range that the device allows",
    40: "writing is not allowed: is the object commandable, or an input that must be out of service first?",
    42: "the array has no such index",
    43: "it takes no subscription",
    44: "this property cannot be subscribed",
    45: "it does not support that",
    47: "its type is not supported",
    50: "the property is no array: leave the index out",
    58: "the network behind the router is down",
    70: "an unknown device",
    72: "the value was never set",
    83: "its communication is disabled: enable it at the device (DeviceCommunicationControl)",
    85: "access denied",
    131: "an internal error of the device",
    132: "it is not configured",
    133: "it is out of memory",
}
_REJECTS = {
    0: "without a reason",
    1: "more than its buffer holds",
    2: "parameters that contradict each other",
    3: "the value is of a wrong type",
    4: "it does not understand the request",
    5: "it misses a parameter",
    6: "a parameter is out of range",
    7: "too many arguments",
    8: "an enumerated value that it does not know",
    9: "it does not have this service",
}
_ABORTS = {
    0: "without a reason",
    1: "more than its buffer holds",
    2: "it is in another state",
    3: "something more urgent came",
    4: "the answer would need several segments, which it does not support",
    5: "a security error",
    6: "it asks for more security (BACnet/SC?)",
    8: "it took too long itself",
    9: "it is out of resources",
    10: "it lost the thread",
    11: "the answer would be too long",
}


class AnswerError(DeviceError):
    """A device refuses a request."""

    def __init__(self, kind: int, reason: int, refusal: Refusal | None = None) -> None:
        self.kind = kind
        self.reason = reason
        self.refusal = refusal
        super().__init__(words(refusal) if refusal else _unlike_error(kind, reason))

    @property
    def too_large(self) -> bool:
        """Whether fewer values at once may be had."""
        return self.reason in _TOO_LARGE.get(PduType(self.kind), ())

    @property
    def no_service(self) -> bool:
        """Whether the device does not have the service at all."""
        return self.kind == PduType.REJECT and self.reason == UNRECOGNIZED_SERVICE


def refused(apdu: Apdu) -> AnswerError:
    """The error of an error, a reject or an abort."""
    if apdu.kind != PduType.ERROR:
        return AnswerError(apdu.kind, apdu.service)
    try:
        refusal = error_of(apdu.body)
    except MalformedError:
        refusal = Refusal(0, 0)
    return AnswerError(apdu.kind, refusal.code, refusal)


def words(refusal: Refusal) -> str:
    """Why a property is refused."""
    said = _ERRORS.get(refusal.code)
    return f"the device says: {said}" if said else f"the device refuses: error {refusal.code} of class {refusal.class_}"


def _unlike_error(kind: int, reason: int) -> str:
    if kind == PduType.REJECT:
        return f"the device rejects the request: {_REJECTS.get(reason, f'reason {reason}')}"
    return f"the device aborts: {_ABORTS.get(reason, f'reason {reason}')}"


def quality_of(refusal: Refusal) -> int:
    """Of a tag whose property is refused."""
    return {
        31: quality.BAD_NODE_ID_UNKNOWN,
        32: quality.BAD_NODE_ID_UNKNOWN,
        36: quality.BAD_NODE_ID_UNKNOWN,
        42: quality.BAD_NODE_ID_UNKNOWN,
        45: quality.BAD_NOT_SUPPORTED,
        72: quality.BAD_DATA_UNAVAILABLE,
        30: quality.BAD_NO_COMMUNICATION,
        58: quality.BAD_NO_COMMUNICATION,
    }.get(refusal.code, quality.BAD_DEVICE_FAILURE)
