"""Records and descriptions as JSON messages for a broker (docs/json.md)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.config.model import GatewaySection, own_place
from gateway.config.payload import JsonForm
from gateway.core.clock import Clock
from gateway.core.context import Context
from gateway.core.readings import Readings
from gateway.core.record import Kind, Record
from gateway.core.tag import Device
from gateway.core.topic import check_template, device_topic, fill, own_topic, safe
from gateway.core.works import work_of
from gateway.encode import MILLISECOND, BlockJson, clock_members, exact_json
from gateway.plugin.hosts import Message
from gateway.publish.forms import TOGETHER, OwnForm, ReadingsForm, SharedObjects, TemplateForm

RESERVED = (
    "_event",
    "_tags",
    "_state",
    "_loss",
    "_receipt",
    "_skip",
    "_slot",
    "_last",
    "_request",
    "_response",
    "_barrier",
)
"""Last levels of the topics beside the readings'."""

KEPT_DEVICES = 20
KEPT_TAGS = 10_000
"""Devices that are read no more, and their tags, whose plans are kept, beside as many as are read: history has them. The
newest device's plan always stays."""


class EncoderHost(Protocol):
    """Of what an encoder speaks, beside the records."""

    @property
    def gateway(self) -> GatewaySection:
        """The gateway's name and place."""
        ...

    @property
    def version(self) -> str:
        """Of this software."""
        ...

    @property
    def clock(self) -> Clock:
        """For the times of states."""
        ...

    @property
    def shared(self) -> SharedObjects:
        """What sinks share that send the same."""
        ...

    def devices(self) -> Sequence[Device]:
        """Those that are read now."""
        ...

    def trouble(self) -> str:
        """Of the gateway itself, for its state; empty while there is none."""
        ...


class JsonEncoder:
    """Implements `gateway.plugin.hosts.Encoder`."""

    def __init__(self, topic: str, per_tag: bool, host: EncoderHost, form: JsonForm | None = None) -> None:
        """`topic` is a template (gateway.core.topic); raises ValueError for a wrong one. `per_tag`: one message per
        reading, under the topic of the device and the tag. `form` says more of how readings look."""
        self._template = check_template(topic)
        form = form or JsonForm(per_tag=per_tag)
        self._per_slot = form.per_slot
        self._readings_template = form.readings_topic
        self._gateway = host.gateway
        self._version = host.version
        self._clock = host.clock
        self._host = host
        self._context = own_place(self._gateway)
        self._own_topic = own_topic(topic, self._context, self._gateway.name)
        self._form: ReadingsForm = (
            OwnForm(form, self.readings_topic, host.shared)
            if form.template is None
            else TemplateForm(form, self._gateway.name, self.readings_topic)
        )
        self._plans: dict[Device, Any] = {}

    def messages(self, record: Record) -> list[Message]:
        """The messages of a record, at least one unless one message per tag is wanted and it holds no readings."""
        if record.readings is None:
            return [self._statement(record)]
        if self._per_slot:
            return self._slot([record])
        return self._form.messages(record, self._plan(record.readings.device))

    def deliveries(self, records: Sequence[Record]) -> list[tuple[Sequence[Record], list[Message]]]:
        """The messages of several records, and which records stand in these: they have arrived when all of the messages have.
        With one message per slot readings stand together, all else by itself."""
        if not self._per_slot:
            return [((record,), self.messages(record)) for record in records]
        told: list[tuple[Sequence[Record], list[Message]]] = []
        slot: list[Record] = []
        rows = 0
        for record in records:
            if record.readings is None:
                told.append(((record,), [self._statement(record)]))
                continue
            if slot and rows + record.rows > TOGETHER:
                told.append((slot, self._slot(slot)))
                slot, rows = [], 0
            slot.append(record)
            rows += record.rows
        return [*told, (slot, self._slot(slot))] if slot else told

    def _slot(self, records: Sequence[Record]) -> list[Message]:
        with_plans = [(each, self._plan(each.readings.device)) for each in records if each.readings is not None]
        topic = self._fill_own(self._readings_template) if self._readings_template else f"{self._own_topic}/_slot"
        return [Message(topic, payload) for payload in self._form.together(with_plans)]

    def description(self, device: Device) -> Message:
        """The device's driver, context and tags, with type, unit, description and scaling where they are known."""
        body: dict[str, Any] = {"device": device.name, "gateway": self._gateway.name, "driver": device.driver}
        body["tags"] = {
            tag.name: {
                name: said for name in ("type", "unit", "description", "scaling") if (said := getattr(tag, name))
            }
            for tag in device.tags
        }
        return self._message(self._topic(device), "_tags", body, device.context)

    def state(self, device: Device, online: bool, reason: str) -> Message:
        """Whether the device is being read since now, and why not."""
        body: dict[str, Any] = {"online": online, "ts": self._clock.wall_ns() // MILLISECOND, "device": device.name}
        if reason:
            body["reason"] = reason
        return self._message(self._topic(device), "_state", body, device.context)

    def last_values_topic(self, device: Device) -> str:
        """Of what `last_values` gives."""
        return f"{self._topic(device)}/_last"

    def last_values(self, readings: Readings) -> Message:
        """The last value of each tag of a device, as its own readings have them, without an id."""
        device = readings.device
        return Message(self.last_values_topic(device), BlockJson(device).last(readings))

    def gateway_state(self, online: bool) -> Message:
        """Whether the gateway is connected. The offline one has no time, because the broker speaks it later."""
        body: dict[str, Any] = {"online": online, "gateway": self._gateway.name, "version": self._version}
        if online:
            body["ts"] = self._clock.wall_ns() // MILLISECOND
            if trouble := self._host.trouble():
                body["reason"] = trouble
        return self._message(self._own_topic, "_state", body, self._context)

    def _statement(self, record: Record) -> Message:
        """An event or receipt, under its device's topic; a loss or skip under the gateway's."""
        said = record.body or {}
        body: dict[str, Any] = {
            **said,
            "id": record.id,
            "accepted": record.wall_ns // MILLISECOND,
            **clock_members(record),
            "gateway": self._gateway.name,
        }
        if record.kind is Kind.RECEIPT:
            return self._receipt(body)
        device = next((each for each in self._host.devices() if each.name == said.get("device")), None)
        if record.kind is not Kind.EVENT:
            return self._message(self._own_topic, f"_{record.kind.name.lower()}", body, self._context)
        place, work = device.context if device is not None else self._context, work_of(said)
        topic = self._fill(place, said["device"]) if said.get("device") else self._own_topic
        return self._message(topic, "_event", body, place.at(work) if work.works else place)

    def _receipt(self, body: dict[str, Any]) -> Message:
        """Under its device's topic, and with the context of its readings."""
        context = Context(**body.pop("context", {}))
        topic = self._fill(context, body["device"]) if body["device"] else self._own_topic
        return self._message(topic, "_receipt", body, context)

    def _message(self, topic: str, level: str, body: Mapping[str, Any], context: Context) -> Message:
        said = context.said()
        return Message(f"{topic}/{level}", exact_json({**body, "context": said} if said else body))

    def _plan(self, device: Device) -> Any:
        known = self._plans.get(device)
        if known is None:
            if len(self._plans) >= len(devices := self._host.devices()):
                self._forget_others(devices)
            known = self._plans[device] = self._form.plan(device)
        return known

    def _forget_others(self, devices: Sequence[Device]) -> None:
        """Drop the oldest plans of devices that are read no more."""
        read = set(devices)
        others = [each for each in self._plans if each not in read]
        tags = sum(len(each.tags) for each in others)
        most = KEPT_TAGS + sum(len(each.tags) for each in devices)
        for left, each in zip(range(len(others), 0, -1), others, strict=True):
            if tags <= most and left <= KEPT_DEVICES + len(devices):
                return
            tags -= len(each.tags)
            del self._plans[each]

    def readings_topic(self, device: Device, tag: str) -> str:
        """Of a device's readings; with a tag's name, of that tag's, where each reading has a message."""
        if not self._readings_template:
            return f"{self._topic(device)}/{_level(tag)}" if tag else self._topic(device)
        names = {**device.context.said(), "device": device.name, "gateway": self._gateway.name, "tag": tag}
        return fill(self._readings_template, names)

    def _fill_own(self, template: str) -> str:
        return fill(template, {**self._context.said(), "gateway": self._gateway.name})

    def _topic(self, device: Device) -> str:
        return self._fill(device.context, device.name)

    def _fill(self, context: Context, device: str) -> str:
        return device_topic(self._template, context, device, self._gateway.name)


def _level(tag: str) -> str:
    """A tag's name as the last level of its topic."""
    level = safe(tag)
    return f"_{level}" if level in RESERVED else level
