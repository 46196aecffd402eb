"""What a broker's answer to a batch means (error codes of the Kafka protocol), in words and in consequences."""

from enum import Enum

from aiokafka.errors import for_code

from gateway.plugin import cleaned

TAKEN, TAKEN_BEFORE = 0, 46
TIME_INVALID = 32
NO_SCHEMA = -100
"""Our own: the registry gives no id for a topic's schema."""
UNKNOWN_TOPIC, TOPIC_INVALID, NOT_AUTHORISED, NO_IDEMPOTENCE = 3, 17, 29, 31
MAY_NOT_PRODUCE_ALIKE = 53


class Then(Enum):
    """What follows from an answer."""

    TAKEN = "taken"
    LATER = "later"
    """Not now; the batch may be in the log all the same, and goes again as it is."""
    NOT_NOW = "not now"
    """It is certain that the batch is not in the log."""
    NEVER = "never"
    """One of the batch's messages is not taken; smaller batches find out which."""
    WITHOUT_TIME = "without time"
    """The times of the messages are too far from the broker's."""
    RENEW = "renew"
    """The broker and we count differently: a new producer id."""
    HOPELESS = "hopeless"
    """No batch will be taken as we send them."""


_NOT_NOW = {
    UNKNOWN_TOPIC: "the topic does not exist",
    5: "the partition has no leader at present: are brokers down?",
    19: "not enough replicas are in sync (min.insync.replicas): bring the missing brokers back",
    NOT_AUTHORISED: "not authorised",
}
_LATER = {
    2: "the broker found the batch damaged on its way",
    6: "the partition has another leader now",
    7: "the replicas have not confirmed it in time: are brokers slow or down?",
    13: "the broker lost its network",
    20: "not enough replicas confirmed it (min.insync.replicas): bring the missing brokers back",
    56: "the broker cannot write to its disk: look at its log",
    74: "the broker knows less of the cluster than we do",
    75: "the broker knows less of the cluster than we do",
}
_NEVER = {
    10: "larger than the topic takes: raise its max.message.bytes (at most this sink's max_request_size), or spread the"
    " device's tags over several [[device]]",
    18: "larger than the broker's segments take: raise segment.bytes",
    TOPIC_INVALID: "Kafka does not allow a topic of this name: set another topic for this sink",
    87: "the broker refuses the record",
}
_RENEW = {45, 47, 48, 49, 59, 90}
_HOPELESS = {
    21: "the broker does not know acks = all",
    35: "the broker is too old",
    43: "the topic's message.format.version is too old: set 0.11 or later",
    76: 'the broker does not know this compression: set compression = "none"',
    88: "the broker does not know this compression",
}


def then(code: int) -> Then:
    """What follows from this error code; one that is not known is no reason to lose anything."""
    if code in (TAKEN, TAKEN_BEFORE):
        return Then.TAKEN
    if code in _NOT_NOW or code in (NO_IDEMPOTENCE, MAY_NOT_PRODUCE_ALIKE):
        return Then.NOT_NOW
    if code in _NEVER:
        return Then.NEVER
    if code == TIME_INVALID:
        return Then.WITHOUT_TIME
    if code in _RENEW:
        return Then.RENEW
    return Then.HOPELESS if code in _HOPELESS else Then.LATER


def in_words(code: int, said: str | None = None) -> str:
    """An error code for a person, with what the broker said about it."""
    known = _NOT_NOW.get(code) or _LATER.get(code) or _NEVER.get(code) or _HOPELESS.get(code)
    words = known or f"error {code} ({for_code(code).message.lower().replace('_', ' ')})"
    return f"{words} ({cleaned(said)})" if said else words
