"""OPC UA servers whose values and events are too many, too large, too deep, or not what they say."""

import struct
import time
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

from tests.attack.attacks import Link, served
from tests.attack.opcua_wire import (
    Conversation,
    alarmed,
    device,
    fault,
    thousands,
)


@served(thousands, seconds=8.0)
def values_60_000(link: Link) -> None:
    """20,000 tags, each with three values in every notification, ten times a second: honest but heavy."""
    _notifying(link, lambda talk: talk.changes(talk.items * 3), 0.1)


@served(thousands, seconds=8.0)
def texts_60_000(link: Link) -> None:
    """The same with texts, which are decoded one by one."""
    text = ua.DataValue(ua.Variant("Kessel °C " * 3), SourceTimestamp=datetime.now(UTC))
    _notifying(link, lambda talk: talk.changes(talk.items * 3, text), 0.1)


@served(device)
def texts_of_1_mb(link: Link) -> None:
    """Ten tags, each a text of a megabyte, ten times a second."""
    text = ua.DataValue(ua.Variant("x" * (1 << 20)), SourceTimestamp=datetime.now(UTC))
    _notifying(link, lambda talk: talk.changes(talk.items, text), 0.1)


@served(device)
def arrays_of_a_million(link: Link) -> None:
    """A value that is an array of a million numbers in place of one."""
    many = ua.DataValue(ua.Variant([1.5] * 1_000_000, ua.VariantType.Double))
    _notifying(link, lambda talk: talk.changes(talk.items[:2], many), 0.1)


@served(device)
def publish_storm(link: Link) -> None:
    """Each publish request is answered at once."""
    _notifying(link, lambda talk: talk.changes(talk.items), 0.0)


@served(device)
def keep_alive_storm(link: Link) -> None:
    """Each publish request is answered at once with nothing in it."""
    _publishing(link, lambda talk: [])


@served(device)
def refusal_storm(link: Link) -> None:
    """Each publish request is refused at once."""
    Conversation(link, Publish=lambda *_: fault("BadTooManyPublishRequests")).run()


@served(device)
def publish_of_strangers(link: Link) -> None:
    """Notifications for subscriptions and items that do not exist, at once."""

    def publish(talk: Conversation, request: Any) -> Any:
        answer = ua.PublishResponse()
        answer.Parameters.SubscriptionId = 4_000_000_000
        answer.Parameters.AvailableSequenceNumbers = list(range(50_000))
        change = talk.changes([4_000_000_000] * 100)
        answer.Parameters.NotificationMessage = ua.NotificationMessage(1, datetime.now(UTC), [change])
        return answer

    Conversation(link, Publish=publish).run()


@served(device)
def kept_messages(link: Link) -> None:
    """Sequence numbers with great gaps: four thousand million messages would be missing, at each notification."""
    numbers = iter(range(1, 10**9))

    def publish(talk: Conversation, request: Any) -> Any:
        answer = ua.PublishResponse()
        answer.Parameters.SubscriptionId, answer.Parameters.MoreNotifications = talk.subscription, True
        number = next(numbers) * 2_000_000_011 % 2**32
        answer.Parameters.NotificationMessage = ua.NotificationMessage(
            number, datetime.now(UTC), [talk.changes(talk.items)]
        )
        return answer

    Conversation(link, Publish=publish).run()


@served(device)
def nested_variants(link: Link) -> None:
    """A value that is a variant in a variant, 60,000 deep."""
    _raw_value(link, b"\x01" + b"\x18" * 60_000 + b"\x00")


@served(device)
def nested_diagnostics(link: Link) -> None:
    """An answer whose diagnostics contain diagnostics, 60,000 deep."""

    def publish(talk: Conversation, request: Any) -> bytes:
        told = bytearray(talk.encoded(ua.PublishResponse(), request.RequestHeader.RequestHandle))
        at = 4 + 8 + 4 + 4  # node id, time, handle, result; here the diagnostics begin
        return bytes(told[:at]) + b"\x40" * 60_000 + b"\x00" + bytes(told[at + 1 :])

    Conversation(link, Publish=publish).run()


@served(device)
def array_lengths_lie(link: Link) -> None:
    """Values that claim to be arrays of 2,147,483,647 elements, of a matrix with dimensions of that size."""
    size = struct.pack("<i", 2**31 - 1)
    _raw_value(link, b"\x01\xcb" + size + bytes(64) + struct.pack("<i", 4) + size * 4)


@served(device)
def array_of_nulls(link: Link) -> None:
    """Values that are arrays of 16 million null variants, which take one byte each on the wire."""
    _raw_value(link, b"\x01\x98" + struct.pack("<i", 1 << 24) + bytes(1 << 24))


@served(device)
def latin_1_everywhere(link: Link) -> None:
    """Texts, descriptions and units in Latin-1, which are not UTF-8; and ones that hold surrogates and escapes."""
    odd = b"Kessel \xb0C \xed\xa0\x80 \x1b[31m\r\n"

    def read(talk: Conversation, request: Any) -> Any:
        answer = talk.encoded(talk.on_Read(request), request.RequestHeader.RequestHandle)
        return answer.replace(b"a value", (odd * 3)[:7])

    text = b"\x01\x0c" + struct.pack("<i", len(odd)) + odd
    _raw_value(link, text, Read=read)


@served(device)
def times_out_of_the_calendar(link: Link) -> None:
    """Source times at the ends of what 64 bits hold, and picoseconds beyond their range."""
    double = b"\x3d\x0b" + struct.pack("<d", 1.5) + struct.pack("<qHqH", -(2**63), 65535, 2**63 - 1, 65535)
    _raw_value(link, double)


@served(alarmed)
def alarms_in_latin_1(link: Link) -> None:
    """Alarms whose source and message are Latin-1, fifty a notification, ten times a second."""
    _events(link, lambda n: _alarm(n % 50, "Kessel °C".encode("latin-1"), b"zu hei\xdf \xff\xfe\x00\x1b[2J"), 50)


@served(alarmed)
def events_storm(link: Link) -> None:
    """A thousand new events in each notification, each of them at once."""
    _events(link, lambda n: _alarm(n, b"source %d" % n, b"x" * 200), 1000, 0.0)


@served(alarmed)
def events_of_odd_fields(link: Link) -> None:
    """Events with no fields, ten thousand fields, and fields of every built-in type in every place."""
    kinds = [bytes([kind]) + bytes(40) for kind in range(64)]
    _events(link, lambda n: [kinds[(n + field) % 64][: 1 + n % 40] for field in range(n % 40)] or [b"\0"], 100)


def _raw(text: bytes) -> bytes:
    return b"\x0c" + struct.pack("<i", len(text)) + text


def _alarm(number: int, source: bytes, message: bytes) -> list[bytes]:
    """The fields of an alarm that is active, in the order of the gateway's filter."""
    node = b"\x11\x02\x02\x00" + struct.pack("<I", number)
    now = struct.pack("<q", int((time.time() + 11_644_473_600) * 10_000_000))
    true, event_type = b"\x01\x01", b"\x11\x01\x00" + struct.pack("<H", ua.ObjectIds.AlarmConditionType)
    told = b"\x15\x02" + struct.pack("<i", len(message)) + message
    identity = b"\x0f" + struct.pack("<iq", 8, number)
    head = [identity, event_type, node, _raw(source), b"\x0d" + now, told, b"\x05\x84\x03"]
    return [*head, node, _raw(source), b"\x00", true, true, b"\x00", told, _raw(source), b"\x01\x00", true, true]


def _notifying(link: Link, data: Any, beat: float) -> None:
    """A good server but for its notifications, which have `data` in them."""
    talk = Conversation(link, beat=beat or 0.001)
    talk.greet()
    built: Any = None
    while True:
        waiting = len(talk.publishes)
        talk.step() if not waiting or beat else _all_at_once(talk)
        if talk.publishes and talk.items:
            built = built or data(talk)
            talk.notify(built)


def _all_at_once(talk: Conversation) -> None:
    talk._next = time.monotonic() + 3600
    talk.step()


def _publishing(link: Link, data: Any) -> None:
    def publish(talk: Conversation, request: Any) -> Any:
        answer = ua.PublishResponse()
        answer.Parameters.SubscriptionId = talk.subscription
        answer.Parameters.NotificationMessage = ua.NotificationMessage(1, datetime.now(UTC), data(talk))
        return answer

    Conversation(link, Publish=publish).run()


def _raw_value(link: Link, value: bytes, **answers: Any) -> None:
    """Notifies each item of a data value in these bytes, whether or not they can be decoded."""

    def publish(talk: Conversation, request: Any) -> bytes | None:
        if not talk.items:
            talk.on_Publish(request)
            return None
        time.sleep(0.05)
        return _changes(talk, request, [struct.pack("<I", each) + value for each in talk.items])

    Conversation(link, beat=3600.0, Publish=publish, **answers).run()


def _changes(talk: Conversation, request: Any, items: list[bytes]) -> bytes:
    body = struct.pack("<i", len(items)) + b"".join(items) + struct.pack("<i", -1)
    return _publish_response(talk, request, ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary, body)


def _publish_response(talk: Conversation, request: Any, kind: int, body: bytes, subscription: int = 0) -> bytes:
    """A PublishResponse with one notification in these bytes."""
    answer = ua.PublishResponse()
    answer.Parameters.SubscriptionId = subscription or talk.subscription
    note = ua.ExtensionObject(ua.NodeId(kind), b"BODY")
    answer.Parameters.NotificationMessage = ua.NotificationMessage(1, datetime.now(UTC), [note])
    encoded = talk.encoded(answer, request.RequestHeader.RequestHandle)
    return encoded.replace(struct.pack("<i", 4) + b"BODY", struct.pack("<i", len(body)) + body)


def _events(link: Link, fields: Any, count: int, pause: float = 0.1) -> None:
    """Notifies events whose fields are variants in these bytes."""
    number = iter(range(10**12))

    def publish(talk: Conversation, request: Any) -> bytes | None:
        if not talk.event_items:
            talk.on_Publish(request)
            return None
        time.sleep(pause)
        body = struct.pack("<i", count)
        for _ in range(count):
            told = fields(next(number))
            body += struct.pack("<Ii", talk.event_items[-1], len(told)) + b"".join(told)
        kind = ua.ObjectIds.EventNotificationList_Encoding_DefaultBinary
        return _publish_response(talk, request, kind, body, talk.event_subscription)

    Conversation(link, beat=3600.0, Publish=publish).run()
