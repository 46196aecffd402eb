"""The publisher on the real outbox: what was accepted arrives, under one id each, whatever breaks."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core.clock import Clock, SystemClock
from gateway.core.event import Event
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.record import Lane, Record
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.plugin.driver import option_types
from gateway.plugin.sink import Sink
from gateway.publish import Publisher, SinkSurroundings, publisher, sink_session
from gateway.status import rendered
from gateway.testing import eventually

from .blocks import GATEWAY, PLACE
from .far_side import Far, FarSink, swallow


class Number(TagConfig):
    def value_type(self) -> str:
        return "int32"


class Broker(Far):
    """Keeps the JSON messages of what it acknowledged."""

    def __init__(self) -> None:
        super().__init__(self.take)
        self.received: list[dict[str, Any]] = []
        self.refuse: set[int] = set()

    def take(self, sink: FarSink, records: Sequence[Record]) -> None:
        encoder = sink.host.encoder("{site}/{device}", False)
        for each in records:
            if each.lane is Lane.DATA and each.seq in self.refuse:
                sink.host.refused(each, "packet too large", True)
                continue
            self.received += [json.loads(message.payload) for message in encoder.messages(each)]
            asyncio.get_running_loop().call_soon(sink.host.acknowledged, [each])

    def numbers(self) -> list[int]:
        """All values of tag "a", in the order of their arrival."""
        return [message["values"]["a"] for message in self.received if "values" in message]


class Running:
    """An outbox, a device, and a publisher to the broker."""

    def __init__(self, outbox: Outbox, publisher: Publisher, devices: list[Device]) -> None:
        self.outbox, self.publisher, self.device = outbox, publisher, devices[0]
        self.devices = devices
        """What the sink is told of, from the next connection on."""

    def read(self, *numbers: int, device: Device | None = None) -> None:
        """Each number is a scan, of the first device if no other is named."""
        device = device or self.device
        for number in numbers:
            times = np.full(1, 1_800_000_000_000_000_000 + number, np.int64)
            value, quality = np.array([float(number)]), np.zeros(1, np.uint32)
            self.outbox.append(Readings(device, times, device.tags.ids, value, quality))

    @property
    def delivered(self) -> bool:
        """Whether all that was accepted is acknowledged."""
        return not any(lane["pending"] for lane in rendered(self.publisher.status())["outbox"]["lanes"].values())

    def balance(self) -> dict[str, Any]:
        return rendered(self.publisher.status().outbox.lanes["data"])


class EarlyInTheHour(SystemClock):
    """The clocks of this machine, the wall clock set so that the hour has just begun: its turn would add receipts."""

    def __init__(self) -> None:
        self._ahead = 3_600_000_000_000 - time.time_ns() % 3_600_000_000_000

    def wall_ns(self) -> int:
        return super().wall_ns() + self._ahead


@contextlib.asynccontextmanager
async def gateway(directory: Path, broker: Broker, **options: Any) -> AsyncIterator[Running]:
    async with outbox_into(broker.sink_type(), directory, {"plugin": "far", **options}) as running:
        yield running


@contextlib.asynccontextmanager
async def outbox_into(
    sink_type: type[Sink[Any]], directory: Path, options: dict[str, Any], clock: Clock | None = None
) -> AsyncIterator[Running]:
    clock = clock or EarlyInTheHour()
    outbox = Outbox.open(directory, OutboxSection(), clock=clock, config_hash="0badcafe" * 8)
    spec = DeviceSpec(DeviceConfig(name="d", driver="test"), {"a": Number()})
    devices = [outbox.bind(spec, PLACE)]
    (options_type,) = option_types(sink_type)
    sink = options_type.model_validate({"name": "central", **options})
    subject = Publisher(
        sink,
        sink_type,
        outbox,
        SinkSurroundings(GATEWAY, "0", clock, LiveTable(devices), lambda: devices, lambda _: (True, "")),
    )
    tasks = [asyncio.create_task(outbox.run()), asyncio.create_task(subject.run())]
    try:
        yield Running(outbox, subject, devices)
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.wait([task])
        await outbox.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(sink_session, "FLUSH", 0.3)


async def test_accepted_readings_and_events_arrive_as_json(tmp_path: Path) -> None:
    broker = Broker()
    async with gateway(tmp_path, broker) as running:
        running.read(1, 2, 3)
        running.outbox.append_event(Event("e1", "anomaly", "raised", "d", 1_800_000_000_000_000_000, "odd"))
        await eventually(lambda: len(broker.received) == 4)
        await eventually(lambda: running.delivered)
        log = running.outbox.log_id
        assert broker.numbers() == [1, 2, 3]
        readings = [message for message in broker.received if "values" in message]
        first = int(readings[0]["id"].rsplit(":", 1)[1])
        assert [message["id"] for message in readings] == [f"{log}:data:{first + n}" for n in range(3)]
        (event,) = (message for message in broker.received if "event" in message)
        assert event["id"].startswith(f"{log}:alarm:")
        assert event["device"] == "d"


async def test_a_cut_link_loses_nothing_and_repeats_only_what_was_on_its_way(tmp_path: Path) -> None:
    broker = Broker()
    async with gateway(tmp_path, broker, window=10) as running:
        await eventually(lambda: broker.sinks)
        for start in range(0, 200, 20):
            running.read(*range(start, start + 20))
            if start % 60 == 0:
                connections = len(broker.sinks)
                broker.behaviour = swallow
                await eventually(lambda: broker.sink.sent)
                broker.sink.lose()
                broker.behaviour = broker.take
                await eventually(lambda: len(broker.sinks) > connections)  # noqa: B023
        await eventually(lambda: set(broker.numbers()) == set(range(200)))
        await eventually(lambda: running.delivered)
        ids: dict[int, set[str]] = {}
        for message in broker.received:
            ids.setdefault(message["values"]["a"], set()).add(message["id"])
        assert all(len(names) == 1 for names in ids.values()), "a repeat has the id of the first"


async def test_what_a_silent_far_side_did_not_take_is_sent_after_a_restart(tmp_path: Path) -> None:
    broker = Broker()
    broker.behaviour = swallow
    async with gateway(tmp_path, broker) as running:
        running.read(1, 2, 3)
        await eventually(lambda: broker.sinks and len(broker.sink.sent) == 3)
    broker.behaviour = broker.take
    async with gateway(tmp_path, broker) as running:
        running.read(4)
        await eventually(lambda: set(broker.numbers()) == {1, 2, 3, 4})
        await eventually(lambda: running.delivered)
    assert len(broker.numbers()) == 4
    async with gateway(tmp_path, broker) as running:
        running.read(5)
        await eventually(lambda: 5 in broker.numbers())
    assert sorted(broker.numbers()) == [1, 2, 3, 4, 5], "what was acknowledged is not sent again"


async def test_strict_order_holds_over_an_outage(tmp_path: Path) -> None:
    broker = Broker()
    async with gateway(tmp_path, broker, order="strict", window=7) as running:
        broker.behaviour = swallow
        running.read(*range(30))
        await eventually(lambda: broker.sinks and len(broker.sink.sent) == 7)
        broker.behaviour = broker.take
        broker.sink.lose()
        running.read(*range(30, 60))
        await eventually(lambda: len(broker.numbers()) == 60)
        assert broker.numbers() == list(range(60))


async def test_a_refused_record_becomes_a_loss_that_is_itself_published(tmp_path: Path) -> None:
    broker = Broker()
    async with gateway(tmp_path, broker) as running:
        running.read(1)
        await eventually(lambda: broker.received)
        broker.refuse = {int(broker.received[0]["id"].rsplit(":", 1)[1]) + 1}
        running.read(2, 3)
        await eventually(lambda: {"ranges", "event"} <= {key for message in broker.received for key in message}, 20)
        (loss,) = (message for message in broker.received if "ranges" in message)
        assert "packet too large" in loss["reason"]
        (event,) = (message for message in broker.received if "event" in message)
        assert event["state"] == "dead-letter"
        await eventually(lambda: broker.numbers() == [1, 3])
        balance = running.balance()
        assert balance["accepted"] == balance["acknowledged"] + balance["pending"] + sum(balance["dropped"].values())
