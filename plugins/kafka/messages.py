"""What a record becomes: messages with topic, key, value and headers."""

from dataclasses import dataclass

from aiokafka.partitioner import murmur2

from gateway.plugin import Context, Device, Message, Record, SinkHost

from .config import KafkaConfig, key_of, topic_of
from .producer import Entry, Headers
from .values import FORMS

ROUTES = 20_000
"""Devices, and kinds of what else there is, whose topic and key are kept."""


@dataclass(slots=True)
class Way:
    """Where messages of a device and kind go."""

    topic: str
    key: bytes
    headers: Headers
    """Those that all of them have."""
    number: int
    """The key's hash, as Kafka's own clients compute it; the partition is what remains of it."""


class Messages:
    """Of one session."""

    def __init__(self, config: KafkaConfig, host: SinkHost) -> None:
        self._config = config
        self._host = host
        self._encoder = host.encoder("{device}", config.per_tag)
        self._form = FORMS[config.schema_registry.format] if config.schema_registry else None
        self._encode = self._encoder.messages if self._form is None else self._encoded
        self._ways: dict[Device, Way] = {}
        self._other_ways: dict[tuple[str, Context, str], Way] = {}

    def of(self, record: Record, name: str) -> tuple[Way, list[Entry]]:
        """The way, and the messages of the record with this id; none where it holds nothing that is to be sent. The header
        `id` is what the message itself says as its id."""
        way = self._way(record)
        key, headers = way.key, way.headers
        messages = self._encode(record)
        if len(messages) == 1:
            return way, [Entry(record, key, messages[0].payload, [("id", name.encode()), *headers], True)]
        last = len(messages) - 1
        return way, [
            Entry(record, key, message.payload, [("id", (f"{name}:{n}" if n else name).encode()), *headers], n == last)
            for n, message in enumerate(messages)
        ]

    def _encoded(self, record: Record) -> list[Message]:
        """In the form of the registry's schema."""
        assert self._form is not None
        encode, gateway = self._form.encode, self._host.gateway
        return [Message(each.topic, encode(record, gateway, each.payload)) for each in self._encoder.messages(record)]

    def topics(self) -> list[str]:
        """Where readings of the devices that there are go to."""
        config, host = self._config, self._host
        found = {topic_of(config.topic, each.context, each.name, host.gateway, "readings") for each in host.devices()}
        return sorted(found or {topic_of(config.topic, host.context, "", host.gateway, "readings")})

    def _way(self, record: Record) -> Way:
        if record.readings is None:
            return self._other_way(record)
        device = record.readings.device
        way = self._ways.get(device)
        if way is None:
            if len(self._ways) >= ROUTES:
                self._ways.clear()
            way = self._ways[device] = self._new_way(record, device.name, device.context)
        return way

    def _other_way(self, record: Record) -> Way:
        """Of an event, a loss, a receipt: those of a device go where its readings do."""
        device, place = str((record.body or {}).get("device") or ""), self._host.context
        place = next((each.context for each in self._host.devices() if each.name == device), place)
        known = (device, place, record.kind.name)
        way = self._other_ways.get(known)
        if way is None:
            if len(self._other_ways) >= ROUTES:
                self._other_ways.clear()
            way = self._other_ways[known] = self._new_way(record, device, place)
        return way

    def _new_way(self, record: Record, device: str, place: Context) -> Way:
        gateway, kind = self._host.gateway, record.kind.name.lower()
        headers = [
            ("lane", record.lane.word.encode()),
            ("kind", kind.encode()),
            ("gateway", gateway.encode()),
            ("content-type", self._form.content_type if self._form else b"application/json"),
        ]
        where = (place, device, gateway, kind)
        key = key_of(self._config.key, *where)
        return Way(topic_of(self._config.topic, *where), key, headers, murmur2(key) & 0x7FFF_FFFF)
