"""A gateway with a node, and ears at the broker that share nothing with the node but the schema."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from gateway.config.model import GatewaySection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device
from gateway.plugin import DeviceConfig, TagConfig, ValueType
from gateway.publish import JsonEncoder, SinkSurroundings
from gateway.testing import FakeSinkHost, bind, build_sink_config, eventually
from plugins.sparkplug import SparkplugSink
from plugins.sparkplug.payload.schema import Payload
from tests.peers.broker import Broker, Subscriber

T0 = 1_800_000_000_000_000_000


class Point(TagConfig):
    type: ValueType = "float64"

    def value_type(self) -> str:
        return self.type


def device(called: str, /, *, first_id: int = 1, **types: str) -> Device:
    """With a tag of each of these types; those called set… may be written."""
    tags = {
        tag: Point(
            type=kind,  # type: ignore[arg-type]
            unit="°C" if kind == "float64" else "",
            range=(0.0, 100.0) if kind == "float64" else None,
            **({"write": True, "min": 0.0, "max": 100.0, "max_rate": "100/s"} if tag.startswith("set") else {}),
        )
        for tag, kind in types.items()
    }
    context = Context(site="north", line="coating")
    return bind(DeviceConfig(name=called, driver="test"), tags, first_id=first_id, context=context)


OVEN = device("oven", temp="float64", on="bool", count="int32", name="string", setpoint="float64")
PRESS = device("press", first_id=101, force="float32", raw="uint32")


@dataclass
class Plant(FakeSinkHost):
    """A host with the gateway's own encoder, and devices whose states a test sets."""

    gateway: str = "gw1"
    off: set[str] = field(default_factory=set)
    """Devices that are not read."""
    live: dict[str, Readings] = field(default_factory=dict)
    """What was last read, where it is not zeros."""

    def encoder(self, topic: str, per_tag: bool) -> JsonEncoder:
        section = GatewaySection(name="gw1", site="north")
        around = SinkSurroundings(section, "1.2.3", FakeClock(), LiveTable(), lambda: self.all_devices)
        return JsonEncoder(topic, per_tag, around)

    def device_state(self, device: str) -> tuple[bool, str]:
        here = any(each.name == device for each in self.all_devices)
        return here and device not in self.off, ""

    def snapshot(self, device: str) -> Readings:
        if device in self.live:
            return self.live[device]
        found = next((each for each in self.all_devices if each.name == device), None)
        if found is None:
            raise KeyError(device)
        return block(found, 0, [0.0] * len(found.tags))


def block(
    device: Device, second: int, values: list[Any], *, quality: int = 0, tags: list[str] | None = None
) -> Readings:
    """Readings of the device's tags, or of these, at so many seconds after T0."""
    chosen = [tag for tag in device.tags if tags is None or tag.name in tags]
    numbers = [float(each) if isinstance(each, int | float) else np.nan for each in values]
    exact = {row: each for row, each in enumerate(values) if not isinstance(each, int | float)}
    return Readings(
        device,
        np.full(len(chosen), T0 + second * 1_000_000_000),
        np.array([tag.id for tag in chosen], np.uint32),
        np.array(numbers),
        np.full(len(chosen), quality, np.uint32),
        exact,
    )


def record(readings: Readings, seq: int) -> Record:
    """As an outbox hands it out."""
    wall = int(readings.t_ns[0]) if len(readings) else T0
    return Record(
        "log", Lane.DATA, seq, Kind.READINGS, wall, 0, 1, 0, "0badcafe", rows=len(readings), readings=readings
    )


class Said(NamedTuple):
    """One Sparkplug message at the broker."""

    topic: str
    payload: Any

    @property
    def verb(self) -> str:
        return self.topic.split("/")[2]

    @property
    def values(self) -> dict[Any, Any]:
        """By name, or alias where there is none; None for null."""
        return {
            metric.name or metric.alias: None if metric.is_null else getattr(metric, metric.WhichOneof("value"))
            for metric in self.payload.metrics
        }


class Ears(Subscriber):
    """mosquitto_sub, decoded."""

    def __init__(self, broker: Broker, topic: str = "spBv1.0/#") -> None:
        super().__init__(broker, topic, ["-F", "%r\t%t\t%x"])

    @property
    def said(self) -> list[Said]:
        """All that the node says, not what hosts do."""
        return [
            Said(each.topic, Payload.FromString(bytes.fromhex(each.payload)))
            for each in self.received
            if each.topic.split("/")[2] in ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH")
        ]

    def verbs(self) -> list[str]:
        return [each.verb for each in self.said]

    async def hear(self, count: int) -> list[Said]:
        """So many messages at least."""
        await eventually(lambda: len(self.said) >= count, 60)
        return self.said


def config(port: int, **options: Any) -> Any:
    return build_sink_config(
        SparkplugSink, {"name": "scada", "host": "127.0.0.1", "port": port, "group": "g", **options}
    )


@asynccontextmanager
async def connected(port: int, host: Plant, **options: Any) -> AsyncIterator[SparkplugSink]:
    """As the publisher does it."""
    sink = SparkplugSink(config(port, **options), host)
    await sink.connect()
    serving = asyncio.create_task(sink.serve())
    try:
        for each in host.devices():
            sink.device_changed(each, *host.device_state(each.name))
        yield sink
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        await sink.close()


async def tell(broker: Broker, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publish as a host does, with mosquitto_pub."""
    if (program := shutil.which("mosquitto_pub")) is None:
        pytest.skip("mosquitto_pub is not installed: apt-get install mosquitto-clients")
    where = [program, "-h", "127.0.0.1", "-p", str(broker.port), "-t", topic, "-q", "1", "-s"]
    process = await asyncio.create_subprocess_exec(*where, *(["-r"] if retain else []), stdin=asyncio.subprocess.PIPE)
    await process.communicate(payload)
    assert process.returncode == 0


async def state(broker: Broker, online: bool, at: int, host: str = "scada") -> None:
    """What a primary host says of itself."""
    said = json.dumps({"online": online, "timestamp": at}).encode()
    await tell(broker, f"spBv1.0/STATE/{host}", said, retain=True)


def command(*metrics: tuple[str | int, Any]) -> bytes:
    """An NCMD or DCMD: values by name or by alias."""
    payload = Payload(timestamp=1)
    for key, value in metrics:
        metric = payload.metrics.add()
        if isinstance(key, str):
            metric.name = key
        else:
            metric.alias = key
        fields = {bool: "boolean_value", int: "int_value", float: "double_value", str: "string_value"}
        setattr(metric, fields[type(value)], value)
    return bytes(payload.SerializeToString())


REBIRTH = command(("Node Control/Rebirth", True))
