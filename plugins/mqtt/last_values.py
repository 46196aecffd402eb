"""Last values that the broker keeps, for who comes late: of each tag, or of each device. Never from the past, nor older than
what stands there; what goes away is cleared, also when it went while the gateway was not running."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import structlog

from gateway.plugin import (
    Device,
    Encoder,
    GatewayError,
    Message,
    Record,
    SinkHost,
    doubting,
    parse_json,
    quality,
    read_regular,
    write_whole,
)

Retain = Literal["no", "tag", "device"]

EACH = 1.0
"""Seconds between two messages with the last values of a device."""
_FILE = "retained.json"
_FILE_AT_MOST = 64 * 1024 * 1024
_STANDS = "last_values"
"""In the sink's memory: the number of the record that stands under a topic."""


class LastValues:
    """Of one connection."""

    def __init__(
        self, retain: Retain, host: SinkHost, encoder: Encoder, log: structlog.stdlib.BoundLogger,
        send: Callable[[Message], None],
    ) -> None:  # fmt: skip
        """`send`: publishes a retained message."""
        self._retain = retain
        self._host = host
        self._encoder = encoder
        self._log = log
        self._send = send
        self._stands: dict[str, tuple[str, int]] = host.memory.setdefault(_STANDS, {})
        self._topics: set[str] = set()
        """Those that may have something retained."""
        self._known: dict[str, tuple[Device, set[str]]] = {}
        self._touched: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Clear what was retained once and is no more to be."""
        if self._retain == "no":
            return
        before = await asyncio.to_thread(self._saved)
        self._look()
        self._clear(before - self._topics)
        if before != self._topics:
            await asyncio.to_thread(self._save, sorted(self._topics))
        if self._retain == "device":
            for name in self._known:
                self._touch(name)

    def device_changed(self, device: Device) -> None:
        """It came, went, or has other tags."""
        if self._retain == "no":
            return
        known = self._known.get(device.name)
        here = next((each for each in self._host.devices() if each.name == device.name), None)
        if (known[0] if known else None) is not here:
            before = set(self._topics)
            self._look()
            self._clear(before - self._topics)
            if before != self._topics:
                self._save_soon()
        if here is not None:
            self._touch(device.name)

    def is_to_stand(self, topic: str, record: Record) -> bool:
        """Whether a message of a record, under the topic of a tag, is to be retained."""
        readings = record.readings
        if self._retain != "tag" or readings is None or record.unkept or topic not in self._topics:
            return False
        if not quality.all_good(readings.quality) and (readings.quality & quality.HISTORICAL).any():
            return False
        log, seq = self._stands.get(topic, ("", 0))
        if log == record.log and record.seq < seq:
            return False
        self._stands[topic] = (record.log, record.seq)
        return True

    def sent(self, records: Iterable[Record]) -> None:
        """These were handed over: their devices have other values."""
        if self._retain == "device":
            for record in records:
                if record.readings is not None:
                    self._touch(record.readings.device.name)

    async def end(self) -> None:
        """The connection ends."""
        if self._timer is not None:
            self._timer.cancel()
        if self._saving is not None:
            await asyncio.wait([self._saving])

    def _look(self) -> None:
        """Which topics there are now."""
        self._known = {each.name: (each, set(self._topics_of(each))) for each in self._host.devices()}
        self._topics = {topic for _, topics in self._known.values() for topic in topics}

    def _topics_of(self, device: Device) -> Sequence[str]:
        if self._retain == "tag":
            return [self._encoder.readings_topic(device, tag.name) for tag in device.tags]
        return [self._encoder.last_values_topic(device)] if self._retain == "device" else ()

    def _clear(self, topics: Iterable[str]) -> None:
        """An empty message clears what is retained (MQTT 5 §3.3.1.3)."""
        for topic in sorted(topics):
            self._stands.pop(topic, None)
            self._send(Message(topic, b""))

    def _touch(self, device: str) -> None:
        if self._retain == "device":
            self._touched[device] = None
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(EACH, self._tell)

    def _tell(self) -> None:
        self._timer = None
        touched, self._touched = self._touched, {}
        for name in touched:
            if name in self._known:
                try:
                    values = self._host.snapshot(name)
                except KeyError:  # removed in this moment
                    continue
                if len(values):
                    self._send(self._encoder.last_values(values))

    def _saved(self) -> set[str]:
        try:
            data = read_regular(self._host.state_dir / _FILE, _FILE_AT_MOST)
            with doubting(ValueError):
                listed: Any = parse_json(data)
                return {str(topic) for topic in listed["topics"]}
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, GatewayError) as error:
            self._log.warning("which values are retained at the broker is not known", error=str(error))
            return set()

    def _save(self, topics: Sequence[str]) -> None:
        try:
            write_whole(self._host.state_dir / _FILE, json.dumps({"topics": topics}).encode())
        except (OSError, GatewayError) as error:
            self._log.warning("which values are retained at the broker cannot be noted", error=str(error))

    def _save_soon(self) -> None:
        before = self._saving

        async def save() -> None:
            if before is not None:
                await asyncio.wait([before])
            await asyncio.to_thread(self._save, sorted(self._topics))

        self._saving = asyncio.get_running_loop().create_task(save())
