"""What an answer means for a tag: its value, and by status flags and reliability its quality, with the reason in words."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.plugin import Exact, quality

from .address import BINARY, PRESENT_VALUE, PRIORITY_ARRAY, shown_object, type_of
from .config import BacnetTag
from .encoding import Datum, Kind
from .peer import ODD, TOO_LARGE, UNREAD, Found
from .refusals import quality_of, words
from .services import Place, Refusal

IN_ALARM, FAULT, OVERRIDDEN, OUT_OF_SERVICE = range(4)
"""Bits of status flags."""
SUBSTITUTE = 0x4091_0000
"""UncertainSubstituteValue (OPC 10000-4, §7.39)."""
EXCEEDED = 0x4094_0000
"""UncertainEngineeringUnitsExceeded."""
LOCAL_OVERRIDE = 0x0096_0000
"""GoodLocalOverride."""

_RELIABILITY = {
    0: (quality.BAD_DEVICE_FAILURE, "a fault, and no reason is given"),
    1: (quality.BAD_SENSOR_FAILURE, "no sensor is connected"),
    2: (EXCEEDED, "the sensor is above its range"),
    3: (EXCEEDED, "the sensor is below its range"),
    4: (quality.BAD_SENSOR_FAILURE, "the sensor's circuit is open"),
    5: (quality.BAD_SENSOR_FAILURE, "the sensor's circuit is shorted"),
    6: (quality.BAD_DEVICE_FAILURE, "no output is connected"),
    7: (quality.BAD_SENSOR_FAILURE, "unreliable for another reason"),
    8: (quality.BAD_DEVICE_FAILURE, "a process error"),
    9: (quality.BAD_DEVICE_FAILURE, "its state is a fault"),
    10: (quality.BAD_CONFIGURATION, "the object is not configured properly"),
    12: (quality.BAD_NO_COMMUNICATION, "the device cannot reach what the object stands for"),
    13: (quality.BAD_DEVICE_FAILURE, "a member is at fault"),
    14: (quality.BAD_DEVICE_FAILURE, "the object that it monitors is at fault"),
    15: (quality.BAD_DEVICE_FAILURE, "tripped"),
}


class Meaning(NamedTuple):
    """Of one tag at one time; `reason` is empty where nothing needs one."""

    value: Exact | float | None
    quality: int
    reason: str


def meaning(
    tag: BacnetTag, found: Found, flags: Found | None, reliability: Found | None, texts: Sequence[str]
) -> Meaning:
    """`flags`: of the object, where they are read; `reliability` likewise; `texts` of its states, the first being of 1 (of
    a binary object of 0)."""
    if isinstance(found, Refusal):
        return _refused(found)
    value, verdict, reason = _value(tag, found, texts)
    if value is None or flags is None or isinstance(flags, Refusal) or not flags or flags[0][0] != Kind.BITS:
        return Meaning(value, verdict, reason)
    said = flags[0][1].ljust(4, "0")
    if said[FAULT] == "1":
        return _fault(value, reliability)
    if said[OUT_OF_SERVICE] == "1":
        return Meaning(value, SUBSTITUTE | quality.FORCED, "out of service: the value is set by hand or left as it was")
    if said[OVERRIDDEN] == "1":
        return Meaning(value, LOCAL_OVERRIDE | quality.FORCED, "overridden at the device itself")
    return Meaning(value, verdict, reason)


def is_fault(flags: Found | None) -> bool:
    """Whether the reliability is worth asking for."""
    return (
        isinstance(flags, list) and bool(flags) and flags[0][0] == Kind.BITS and flags[0][1][FAULT : FAULT + 1] == "1"
    )


def _refused(refusal: Refusal) -> Meaning:
    if refusal == UNREAD:
        return Meaning(None, quality.BAD_TIMEOUT, "there was no time left to read it: a longer `timeout` gives more")
    if refusal == ODD:
        return Meaning(None, quality.BAD_DECODING, "the device's answer cannot be understood")
    if refusal == TOO_LARGE:
        return Meaning(
            None,
            quality.BAD_NOT_SUPPORTED,
            "the value is larger than the device can send at once: read it by index, such as /priority-array[8]",
        )
    return Meaning(None, quality_of(refusal), words(refusal))


def _fault(value: Exact | float, reliability: Found | None) -> Meaning:
    code = 0
    if isinstance(reliability, list) and reliability and reliability[0][0] == Kind.ENUMERATED:
        code = reliability[0][1]
    verdict, why = _RELIABILITY.get(code, (quality.BAD_DEVICE_FAILURE, f"reliability {code}"))
    return Meaning(None if verdict >= quality.BAD else value, verdict, f"fault: {why}")


def _value(tag: BacnetTag, found: Sequence[Datum], texts: Sequence[str]) -> Meaning:
    at = tag.at
    if tag.commanded:
        return Meaning(float(any(kind != Kind.NULL for kind, _ in found)), quality.GOOD, "")
    if len(found) != 1:
        if [kind for kind, _ in found] == [Kind.DATE, Kind.TIME]:
            return Meaning("T".join(value for _, value in found), quality.GOOD, "")
        return Meaning([plain(each) for each in found], quality.GOOD, "")
    kind, value = found[0]
    if kind == Kind.NULL:
        none = (
            "no command at this priority" if at.property == PRIORITY_ARRAY else "the device has no value there (null)"
        )
        return Meaning(None, quality.BAD_DATA_UNAVAILABLE, none)
    if tag.text:
        return _text(value, texts, 0 if type_of(at.object) in BINARY else 1)
    if tag.bit is not None:
        return _bit(kind, value, tag.bit)
    return _number(at, kind, value) if isinstance(value, int | float) else Meaning(plain(found[0]), quality.GOOD, "")


def _number(at: Place, kind: int, value: float) -> Meaning:
    if not math.isfinite(value):
        return Meaning(None, quality.BAD_DATA_UNAVAILABLE, f"the device has no number there ({value})")
    if kind == Kind.ENUMERATED and type_of(at.object) in BINARY and at.property == PRESENT_VALUE and value > 1:
        return Meaning(None, quality.BAD_DECODING, f"{value} is neither active nor inactive")
    return Meaning(shown_object(int(value)) if kind == Kind.OBJECT else value, quality.GOOD, "")


def _text(value: Any, texts: Sequence[str], first: int) -> Meaning:
    if isinstance(value, int) and 0 <= value - first < len(texts):
        return Meaning(texts[value - first], quality.GOOD, "")
    if not texts:
        return Meaning(str(value), quality.UNCERTAIN, "the device has no text for its states: leave `text` out")
    return Meaning(None, quality.BAD_DECODING, f"the device has {len(texts)} texts, and none for state {value}")


def _bit(kind: int, value: Any, bit: int) -> Meaning:
    if kind != Kind.BITS:
        return Meaning(None, quality.BAD_DECODING, "it is no bit string: leave `bit` out")
    if bit >= len(value):
        return Meaning(None, quality.BAD_NODE_ID_UNKNOWN, f"the bit string has {len(value)} bits")
    return Meaning(float(value[bit] == "1"), quality.GOOD, "")


def plain(datum: Datum) -> Any:
    """As a reading holds it."""
    kind, value = datum
    if kind == Kind.OBJECT:
        return shown_object(value)
    if kind == Kind.OTHER:
        return value.hex(" ")
    return value
