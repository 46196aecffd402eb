"""What a record becomes: messages with topic, key, value and headers."""

from gateway.plugin import Context, Record, SinkHost

from .config import KafkaConfig, key_of, topic_of
from .producer import Entry, Headers

ROUTES = 20_000
"""Devices and kinds whose topic and key are kept."""


class Messages:
    """Of one session."""

    def __init__(self, config: KafkaConfig, host: SinkHost) -> None:
        self._config = config
        self._host = host
        self._encoder = host.encoder("{device}", config.per_tag)
        self._routes: dict[tuple[str, Context, str], tuple[str, bytes, Headers]] = {}

    def of(self, record: Record) -> tuple[str, list[Entry]]:
        """The topic, and the messages; none where the record holds nothing that is to be sent. The header `id` is what the
        message itself says as its id."""
        topic, key, common = self._route(record)
        values = [message.payload for message in self._encoder.messages(record)]
        name = record.id
        if len(values) == 1:
            return topic, [Entry(record, key, values[0], [("id", name.encode()), *common], True)]
        last = len(values) - 1
        return topic, [
            Entry(record, key, value, [("id", (f"{name}:{n}" if n else name).encode()), *common], n == last)
            for n, value in enumerate(values)
        ]

    def topics(self) -> list[str]:
        """Where readings of the devices that there are go to."""
        config, host = self._config, self._host
        found = {topic_of(config.topic, each.context, each.name, host.gateway, "readings") for each in host.devices()}
        return sorted(found or {topic_of(config.topic, host.context, "", host.gateway, "readings")})

    def _route(self, record: Record) -> tuple[str, bytes, Headers]:
        """Topic, key, and the headers that all records of its kind and device have."""
        if record.readings is not None:
            device, place = record.readings.device.name, record.readings.device.context
        else:
            device, place = str((record.body or {}).get("device") or ""), self._host.context
            place = next((each.context for each in self._host.devices() if each.name == device), place)
        kind = record.kind.name.lower()
        route = self._routes.get((device, place, kind))
        if route is None:
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            route = self._routes[device, place, kind] = self._new_route(record, device, place, kind)
        return route

    def _new_route(self, record: Record, device: str, place: Context, kind: str) -> tuple[str, bytes, Headers]:
        gateway = self._host.gateway
        common = [
            ("lane", record.lane.word.encode()),
            ("kind", kind.encode()),
            ("gateway", gateway.encode()),
            ("content-type", b"application/json"),
        ]
        where = (place, device, gateway, kind)
        return topic_of(self._config.topic, *where), key_of(self._config.key, *where), common
