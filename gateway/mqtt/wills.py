"""A broker may refuse a connection over the will that comes with it: its topic, its size, or that it is to be retained."""

from collections.abc import Iterator
from dataclasses import replace

from gateway.core.errors import LinkError
from gateway.mqtt.broker_options import Will
from gateway.mqtt.words import NOT_AUTHORISED, TOO_LARGE, TOPIC_INVALID, NoAnswerError

_DOUBTED = {0x80, 0x82, 0x83, NOT_AUTHORISED, TOPIC_INVALID, TOO_LARGE, 0x99, 0x9A, 0x9B}
"""Reason codes (MQTT 5 section 3.2.2.2) that may mean the will."""


def wills(will: Will | None) -> Iterator[Will | None]:
    """What to connect with, one after the other: the will, the same not retained, none. Of one that is needed, only it."""
    yield will
    if will is not None and will.needed:
        return
    if will is not None and will.retain:
        yield replace(will, retain=False)
    if will is not None:
        yield None


def may_be_the_will(error: LinkError, code: int) -> bool:
    """Whether a connection may have failed over the will: refused with this code, or closed without an answer."""
    return code in _DOUBTED or isinstance(error, NoAnswerError)
