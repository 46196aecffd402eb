"""The gateway as a driver and a sink see it."""

import json
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config.payload import JsonForm
from gateway.core.context import Context
from gateway.core.device_event import DeviceEvent, Told
from gateway.core.errors import PluginError
from gateway.core.parsing import JsonObject
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import Device
from gateway.plugin import checked
from gateway.plugin.hosts import Encoder, LineHost, Memory, Message


class FakeLineHost(LineHost):
    """A LineHost that keeps what the driver says."""

    def __init__(self, state_dir: Path | None = None) -> None:
        super().__init__("device-1", state_dir or _folder_of(self))
        self.said: list[Any] = []
        """What it told of devices, in order."""
        self.brought: list[Readings] = []
        """Values between two polls."""
        self.signs = 0
        """Signs of life."""

    def alive(self) -> None:
        self.signs += 1

    def tell(self, told: Told) -> None:
        """Raises PluginError for what the gateway would not take, and for a severity that it would call "info"."""
        if isinstance(told, PluginError):  # a driver in a process of its own hands up what it did wrong there
            self.said.append(told)
            return
        device = getattr(told, "device", "")
        if not isinstance(device, str):
            raise PluginError(f"device is a {type(device).__name__}; it is the device's name, a text")
        taken = checked.told(told, {device}, time.time_ns())
        if isinstance(told, DeviceEvent) and isinstance(taken, DeviceEvent) and taken.severity != told.severity:
            raise PluginError(f"severity is {told.severity!r}; there are info, advisory, warning and alarm")
        self.said.append(told)

    def bring(self, readings: Readings) -> None:
        self.brought.append(readings)


def _folder_of(host: object) -> Path:
    """A new one, which goes with the host."""
    folder = Path(tempfile.mkdtemp())
    weakref.finalize(host, shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass
class FakeSinkHost:
    """A SinkHost that keeps what the sink reports."""

    all_devices: Sequence[Device] = ()
    gateway: str = "gateway-1"
    version: str = "0"
    context: Context = field(default_factory=Context)
    memory: Memory = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    """Ids of acknowledged records, in the order of their acknowledgement."""
    refusals: list[tuple[str, str, bool]] = field(default_factory=list)
    """Id, reason and finality of refused records."""
    requests: list[tuple[str, JsonObject]] = field(default_factory=list)
    """Commands that the far side wants done, with their arguments."""
    attempts: list[tuple[str, str]] = field(default_factory=list)
    """What the far side wanted of the sink itself, and why it did not get it."""
    answer: Any = None
    """What each of them brings; a GatewayError is raised."""
    folder: Path | None = None
    """The sink's own; without one, a new one that goes with the host."""

    @property
    def state_dir(self) -> Path:
        if self.folder is None:
            self.folder = _folder_of(self)
        return self.folder

    def acknowledged(self, records: Iterable[Record]) -> None:
        self.taken += [record.id for record in records]

    def refused(self, record: Record, reason: str, final: bool) -> None:
        self.refusals.append((record.id, reason, final))

    async def request(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        self.requests.append((command, dict(arguments or {})))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def attempted(self, command: str, why_not: str = "") -> None:
        self.attempts.append((command, why_not))

    def encoder(self, topic: str, per_tag: bool, form: JsonForm | None = None) -> Encoder:
        return PlainEncoder(topic, self.gateway)

    def devices(self) -> Sequence[Device]:
        return self.all_devices

    def device_state(self, device: str) -> tuple[bool, str]:
        return True, ""

    def snapshot(self, device: str) -> Readings:
        (found,) = [known for known in self.all_devices if known.name == device]
        size = len(found.tags)
        zeros = np.zeros(size, np.uint32)
        return Readings(found, np.full(size, 1_800_000_000_000_000_000), found.tags.ids, np.zeros(size), zeros)


class PlainEncoder:
    """An Encoder of one JSON message per record, simpler than the gateway's own."""

    def __init__(self, topic: str, gateway: str) -> None:
        self.topic = topic
        self.gateway = gateway

    def messages(self, record: Record) -> list[Message]:
        if record.readings is None:
            return [self._message("gateway", {"id": record.id, **(record.body or {})})]
        readings = record.readings
        names = {tag.id: tag.name for tag in readings.device.tags}
        values = {names[tag]: value for tag, value in zip(readings.tag.tolist(), readings.value.tolist(), strict=True)}
        return [self._message(readings.device.name, {"id": record.id, "values": values})]

    def deliveries(self, records: Sequence[Record]) -> list[tuple[Sequence[Record], list[Message]]]:
        return [((record,), self.messages(record)) for record in records]

    def description(self, device: Device) -> Message:
        return self._message(f"{device.name}/description", {tag.name: tag.type for tag in device.tags})

    def state(self, device: Device, online: bool, reason: str) -> Message:
        return self._message(f"{device.name}/state", {"online": online, "reason": reason})

    def readings_topic(self, device: Device, tag: str) -> str:
        return self._message(f"{device.name}/{tag}", {}).topic

    def last_values_topic(self, device: Device) -> str:
        return self._message(f"{device.name}/last", {}).topic

    def last_values(self, readings: Readings) -> Message:
        return self._message(f"{readings.device.name}/last", {"values": readings.value.tolist()})

    def gateway_state(self, online: bool) -> Message:
        return self._message(f"{self.gateway}/state", {"online": online})

    def _message(self, name: str, body: Mapping[str, Any]) -> Message:
        topic = self.topic.replace("{device}", name)
        return Message(topic if name in topic else f"{topic}/{name}", json.dumps(body).encode())
