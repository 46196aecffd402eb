"""What the codes mean by which a device refuses: general and extended status of CIP ("CIP Networks Library", volume 1,
appendix B; connection manager: chapter 3; Logix controllers: Rockwell's 1756-PM020), and status of PCCC (1770-6.5.16)."""

from gateway.plugin import quality

_CONFIG, _FAILED, _UNKNOWN = quality.BAD_CONFIGURATION, quality.BAD_DEVICE_FAILURE, quality.BAD_NODE_ID_UNKNOWN
_NO_TAG = "the controller has no such tag; was it renamed or deleted by a download? Program tags are Program:NAME.tag"
_ROUTE = "compare route or slot with the chassis"
_GENERAL = {
    0x01: (f"the way to the device failed; {_ROUTE}", _FAILED),
    0x02: ("the device has no resources left for it: too many clients, or too much at once", _FAILED),
    0x03: ("the device finds a parameter wrong", _CONFIG),
    0x04: (_NO_TAG, _UNKNOWN),
    0x05: (f"{_NO_TAG}; a tag whose External Access is None looks so too", _UNKNOWN),
    0x06: ("the answer is longer than a message", _FAILED),
    0x07: ("the device has lost the connection", _FAILED),
    0x08: ("the device does not have this service", _CONFIG),
    0x09: ("the device does not take this value", _CONFIG),
    0x0C: ("the device cannot do that in its present state; is it in program mode, or being downloaded to?", _FAILED),
    0x0E: ("it cannot be written", _CONFIG),
    0x0F: ("it may not be accessed; change External Access in the tag's properties", _CONFIG),
    0x10: ("the device's state does not allow it; look at its mode and its key switch", _FAILED),
    0x11: ("the answer is longer than a message", _FAILED),
    0x13: ("the device wants more data than it got", _CONFIG),
    0x14: ("the object does not have this attribute", _UNKNOWN),
    0x15: ("the device wants less data than it got", _CONFIG),
    0x16: ("the device does not have this object, or not this instance", _UNKNOWN),
    0x1F: ("the device refuses, with a code of its maker's own; see its manual", _FAILED),
    0x20: ("the device finds a parameter wrong", _CONFIG),
    0x26: ("the device does not understand the address", _CONFIG),
    0xFF: ("the device refuses; see its manual", _FAILED),
}
_EXTENDED = {
    (0x01, 0x0100): ("the connection exists already", _FAILED),
    (0x01, 0x0109): ("the device does not take messages of this size; lower message_size", _CONFIG),
    (0x01, 0x0113): ("the device has no connection left; close other clients, or say message_size = 500", _FAILED),
    (0x01, 0x0203): ("the device has let the connection go", _FAILED),
    (0x01, 0x0204): (f"nobody answers there; {_ROUTE}", _CONFIG),
    (0x01, 0x0205): (f"the module finds the route wrong; {_ROUTE}", _CONFIG),
    (0x01, 0x0311): (f"the module has no such port; {_ROUTE}", _CONFIG),
    (0x01, 0x0312): (f"there is no such address behind the port; {_ROUTE}", _CONFIG),
    (0x01, 0x0315): (f"the module does not understand the route; {_ROUTE}", _CONFIG),
    (0xFF, 0x2104): ("it is beyond the end; was a smaller array downloaded?", _UNKNOWN),
    (0xFF, 0x2105): ("it is beyond the end of the array; was a smaller one downloaded?", _UNKNOWN),
    (0xFF, 0x2107): ("the tag has another type by now", _CONFIG),
}
_PCCC = {
    0x10: ("the controller does not have this file or element, or not of this type", _UNKNOWN),
    0x20: ("the controller has a problem and does not communicate", _FAILED),
    0x30: ("the module behind does not answer", _FAILED),
    0x40: ("the controller has a hardware fault", _FAILED),
    0x50: ("the controller does not have this file or element; compare the address with the program", _UNKNOWN),
    0x60: ("a command protection of the controller forbids it", _CONFIG),
    0x70: ("the controller is in program mode", _FAILED),
    0x80: ("the controller's files are being changed", _FAILED),
    0xF0: ("the controller refuses; compare the address with the program", _UNKNOWN),
}
_ELSEWHERE = frozenset({0x01, 0x02, 0x07, 0x0C, 0x10})
"""Codes that are no matter of one tag."""


def meaning(status: int, more: int = 0) -> tuple[str, int]:
    """What a general status says, with its extended one, in words with the codes; and the quality of a value so refused."""
    words, code = _EXTENDED.get((status, more)) or _GENERAL.get(status) or _GENERAL[0xFF]
    return f"{words} (status {status:02X}{f', {more:04X}' if more else ''})", code


def pccc_meaning(status: int) -> tuple[str, int]:
    """The same of the status of PCCC."""
    words, code = _PCCC.get(status & 0xF0) or _PCCC[0xF0]
    return f"{words} (PCCC status {status:02X})", code


def of_device(status: int) -> bool:
    """Whether a general status is about the device, and not one tag."""
    return status in _ELSEWHERE
