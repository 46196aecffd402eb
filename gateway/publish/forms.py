"""Records of readings as JSON messages: in the gateway's own form, or by a template; one for each record, for each reading,
or for all records of a slot."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import WeakSet

from gateway.config.payload import JsonForm
from gateway.core.record import Record
from gateway.core.tag import Device
from gateway.encode import MILLISECOND, BlockJson, DevicePlan, TemplatedJson, clock_json
from gateway.plugin.hosts import Message

TOGETHER = 4000
"""Readings in one message of several records, about: some 100 kB, since brokers of cloud services take 128 KiB."""

LAST, LARGE = 512, 1000
"""Records whose JSON is kept for other sinks, those of some slots; and readings of one that is made anew for each."""

TopicOf = Callable[[Device, str], str]
"""The topic of a device's readings; with a tag's name, of that tag's."""


class SharedObjects:
    """The JSON of the last records in the gateway's own form, for all sinks that send it; kept while there are several."""

    def __init__(self) -> None:
        self._users: dict[bool, WeakSet[OwnForm]] = {False: WeakSet(), True: WeakSet()}
        self._last: dict[tuple[int, bool], tuple[Record, list[bytes]]] = {}
        """By `id` of a record, which therefore is kept as well."""

    def join(self, user: "OwnForm", named: bool) -> None:
        """This one sends it, from now on; `named`: with the device's name in it."""
        self._users[named].add(user)

    def of(self, record: Record, named: bool, block: BlockJson) -> list[bytes]:
        """The objects of a record."""
        readings = record.readings
        assert readings is not None
        if len(self._users[named]) < 2 or record.rows > LARGE:
            return block.objects(readings, record.id, record.wall_ns // MILLISECOND, clock_json(record))
        key = (id(record), named)
        known = self._last.get(key)
        if known is None:
            made = block.objects(readings, record.id, record.wall_ns // MILLISECOND, clock_json(record))
            known = self._last[key] = (record, made)
            if len(self._last) > LAST:
                del self._last[next(iter(self._last))]
        return known[1]


class _Topics(dict[str, str]):
    """Of one device, by tag, made once."""

    def __init__(self, device: Device, topic_of: TopicOf) -> None:
        self._device = device
        self._topic_of = topic_of

    def __missing__(self, tag: str) -> str:
        topic = self[tag] = self._topic_of(self._device, tag)
        return topic


class ReadingsForm(Protocol):
    """One form of readings; `plan` is what it has to know of a device, and is kept for it."""

    def plan(self, device: Device) -> Any:
        """Of this device."""
        ...

    def messages(self, record: Record, plan: Any) -> list[Message]:
        """Those of one record alone."""
        ...

    def together(self, records: Sequence[tuple[Record, Any]]) -> list[bytes]:
        """Payloads of all of these records, with their plans: one, or as many as it needs."""
        ...


class OwnForm:
    """As docs/json.md describes it."""

    def __init__(self, form: JsonForm, topic_of: TopicOf, shared: SharedObjects) -> None:
        self._shared = shared
        if not form.per_tag:
            shared.join(self, form.per_slot)
        self._per_tag = form.per_tag
        self._named = form.per_slot
        self._topic_of = topic_of

    def plan(self, device: Device) -> tuple[_Topics, BlockJson]:
        return _Topics(device, self._topic_of), BlockJson(device, named=self._named)

    def messages(self, record: Record, plan: tuple[_Topics, BlockJson]) -> list[Message]:
        topics, block = plan
        if self._per_tag and (readings := record.readings) is not None:
            accepted, clock = record.wall_ns // MILLISECOND, clock_json(record)
            rows = block.rows(readings, record.id, accepted, clock)
            return [Message(topics[tag], payload) for tag, payload in rows]
        return [Message(topics[""], payload) for payload in self._shared.of(record, self._named, block)]

    def together(self, records: Sequence[tuple[Record, tuple[_Topics, BlockJson]]]) -> list[bytes]:
        objects: list[bytes] = []
        for record, (_, block) in records:
            objects += self._shared.of(record, True, block)
        return [b"[" + b",".join(objects) + b"]"]


class TemplateForm:
    """By a template."""

    def __init__(self, form: JsonForm, gateway: str, topic_of: TopicOf) -> None:
        assert form.template is not None
        self._template = form.template
        self._per_tag = form.per_tag
        self._json = TemplatedJson(form.template, gateway)
        self._topic_of = topic_of

    def plan(self, device: Device) -> tuple[_Topics, DevicePlan]:
        return _Topics(device, self._topic_of), self._json.plan(device)

    def messages(self, record: Record, plan: tuple[_Topics, DevicePlan]) -> list[Message]:
        topics, of_device = plan
        blocks = self._json.blocks(record, of_device)
        if not self._per_tag:
            return [Message(topics[""], self._json.message([block])) for block in blocks]
        return [
            Message(topics[block.layout.name(row)], payload)
            for block in blocks
            for row, payload in self._json.readings(block)
        ]

    def together(self, records: Sequence[tuple[Record, tuple[_Topics, DevicePlan]]]) -> list[bytes]:
        """Where a device's name is a key, a second block of one device opens a further message."""
        messages: list[list[Any]] = [[]]
        seen: set[str] = set()
        for record, (_, plan) in records:
            for block in self._json.blocks(record, plan):
                if self._template.by_device and plan.device.name in seen:
                    messages.append([])
                    seen.clear()
                seen.add(plan.device.name)
                messages[-1].append(block)
        return [self._json.message(blocks) for blocks in messages if blocks]
