"""Judges a node by what it sends: each requirement of Sparkplug 3.0 that can be seen on the wire, by the specification's own
id ("tck-id-" left out; one id stands for those that say the same). Knows nothing of the gateway."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from plugins.sparkplug.payload.schema import Payload
from plugins.sparkplug.tests.wire import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    SUBSCRIBE,
    Connect,
    Ended,
    Log,
    Noted,
    Publish,
    subscriptions,
)

OF_NODE = ("NBIRTH", "NDATA", "NDEATH")
OF_DEVICE = ("DBIRTH", "DDATA", "DDEATH")
REBIRTH = "Node Control/Rebirth"
_FIELDS = {
    **dict.fromkeys((1, 2, 3, 5, 6, 7), "int_value"),
    **dict.fromkeys((4, 8, 13), "long_value"),
    9: "float_value",
    10: "double_value",
    11: "boolean_value",
    **dict.fromkeys((12, 14, 15), "string_value"),
    16: "dataset_value",
    **dict.fromkeys((17, 18), "bytes_value"),
    19: "template_value",
    **dict.fromkeys(range(22, 35), "bytes_value"),
}
"""Where the value of a datatype stands."""


@dataclass(frozen=True)
class Plan:
    """What the node is meant to be."""

    group: str
    node: str
    devices: tuple[str, ...] = ()
    """Those that are alive when the node is born."""
    writable: tuple[str, ...] = ()
    primary_host: str = ""


@dataclass
class _Device:
    alive: bool = False
    metrics: dict[int, Any] = field(default_factory=dict)
    """Birth metrics by alias."""
    names: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Link:
    """What was seen on one connection."""

    connect: Connect
    will: Any = None
    subscribed: dict[str, int] = field(default_factory=dict)
    born: bool = False
    dead: bool = False
    seq: int = -1
    devices: dict[str, _Device] = field(default_factory=dict)
    node: _Device = field(default_factory=_Device)
    aliases: dict[int, tuple[str, str]] = field(default_factory=dict)
    data_seen: bool = False
    rebirth_asked: bool = False
    online: bool = False
    state_time: int | None = None
    left: bool = False
    """The primary host went offline, and the node must go."""
    ended: bool = False


class Checker:
    """Feed it a log, and read `faults`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.faults: list[tuple[str, str]] = []
        """Id of the requirement, and what was seen."""
        self._links: dict[int, _Link] = {}
        self._bdseq: int | None = None
        self._stable: dict[tuple[str, str], int] = {}
        """Alias of each metric, over all sessions."""
        self._templates: dict[str, Any] = {}
        self._brokers: dict[int, str] = {}

    def judge(self, log: Log) -> list[tuple[str, str]]:
        """All faults in it."""
        for each in log:
            if isinstance(each, Ended):
                self._end(each.link)
            elif each.sender == "node":
                self._from_node(each)
            elif each.kind == PUBLISH:
                self._to_node(each)
        for link in self._links.values():
            self._check(
                not link.rebirth_asked or link.ended,
                "operational-behavior-data-commands-rebirth-action-2",
                "no birth follows a rebirth request",
            )
            self._check(not link.left, "operational-behavior-edge-node-termination-host-offline", "still connected")
        return self.faults

    def _check(self, fine: object, rule: str, seen: str) -> bool:
        if not fine:
            self.faults.append((rule, seen))
        return bool(fine)

    def _end(self, number: int) -> None:
        if link := self._links.get(number):
            link.ended = True
            link.left = False

    # What the node sends.

    def _from_node(self, noted: Noted) -> None:
        if noted.kind == CONNECT:
            self._connect(noted)
            return
        link = self._links.get(noted.link)
        if not self._check(link is not None, "message-flow-edge-node-birth-publish-connect", "a packet before CONNECT"):
            return
        assert link is not None
        if noted.kind == SUBSCRIBE:
            link.subscribed.update(subscriptions(noted))
        elif noted.kind == PUBLISH:
            self._publish(link, noted)
        elif noted.kind == DISCONNECT:
            self._disconnect(link, noted)

    def _connect(self, noted: Noted) -> None:
        connect = Connect.read(noted.body)
        link = self._links[noted.link] = _Link(connect)
        others = [each for number, each in self._links.items() if number != noted.link and not each.ended]
        self._check(
            not others,
            "operational-behavior-primary-application-state-with-multiple-servers-single-server",
            "two connections at a time",
        )
        if connect.level == 5:
            rule = "principles-persistence-clean-session-50"
            self._check(connect.clean and connect.session_expiry == 0, rule, "the session outlives the connection")
        else:
            self._check(connect.clean, "principles-persistence-clean-session-311", "clean session is false")
        if not self._check(
            connect.will_topic is not None, "message-flow-edge-node-birth-publish-will-message", "no will"
        ):
            return
        rule = "message-flow-edge-node-birth-publish-will-message"
        self._check(connect.will_topic == self._topic("NDEATH"), f"{rule}-topic", str(connect.will_topic))
        self._check(connect.will_qos == 1, f"{rule}-qos", f"QoS {connect.will_qos}")
        self._check(not connect.will_retain, f"{rule}-will-retained", "retained")
        link.will = self._parse(connect.will_payload, f"{rule}-payload")
        if link.will is not None:
            self._death(link, link.will)
            self._next_session(link.will)

    def _next_session(self, will: Any) -> None:
        number = _bdseq(will)
        if self._bdseq is not None and number is not None:
            wanted = (self._bdseq + 1) % 256
            self._check(number == wanted, "topics-nbirth-bdseq-increment", f"{number} after {self._bdseq}")
        elif number is not None:
            self._check(number == 0, "topics-nbirth-bdseq-increment", f"it begins at {number}")
        self._bdseq = number if number is not None else self._bdseq

    def _topic(self, verb: str, device: str = "") -> str:
        return "/".join(["spBv1.0", self.plan.group, verb, self.plan.node, *([device] if device else [])])

    def _publish(self, link: _Link, noted: Noted) -> None:
        message = Publish.read(noted)
        levels = message.topic.split("/")
        if levels[0] != "spBv1.0" or len(levels) < 4:
            self._check(message.topic.endswith("/_barrier"), "topic-structure-namespace-a", message.topic)
            return
        verb, device = levels[2], "/".join(levels[4:])
        if not self._check(verb in OF_NODE + OF_DEVICE, "topic-structure", f"verb {verb}"):
            return
        if verb in OF_NODE:
            rule = "topic-structure-namespace-device-id-non-associated-message-types"
            self._check(not device, rule, message.topic)
        else:
            rule = "topic-structure-namespace-device-id-associated-message-types"
            if not self._check(bool(device) and "/" not in device, rule, message.topic):
                return
        same = levels[1] == self.plan.group and levels[3] == self.plan.node
        rule = (
            "message-flow-device-birth-publish-dbirth-match-edge-node-topic"
            if device
            else f"topics-{verb.lower()}-topic"
        )
        self._check(same, rule, message.topic)
        if verb != "NDEATH":  # as the will it has QoS 1, and when the node itself says it, none is required
            self._check(message.qos == 0, f"payloads-{verb.lower()}-qos", f"QoS {message.qos}")
        self._check(not message.retain, f"payloads-{verb.lower()}-retain", "retained")
        payload = self._parse(message.payload, "message-flow-edge-node-birth-publish-nbirth-payload")
        if payload is not None:
            self._say(link, verb, device, payload)

    def _parse(self, data: bytes, rule: str) -> Any:
        try:
            return Payload.FromString(data)
        except Exception as error:
            self._check(False, rule, f"no Sparkplug payload: {error}")
            return None

    def _say(self, link: _Link, verb: str, device: str, payload: Any) -> None:
        if verb == "NDEATH":
            self._check(link.born, "principles-birth-certificates-order", "a death before a birth")
            link.dead = True
            self._death(link, payload)
            return
        self._check(not link.dead, "operational-behavior-edge-node-intentional-disconnect-ndeath", f"{verb} after it")
        self._check(not link.left, "operational-behavior-edge-node-termination-host-offline", f"{verb} after it")
        self._check(verb == "NBIRTH" or link.born, "principles-birth-certificates-order", f"{verb} before NBIRTH")
        self._number(link, verb, payload)
        self._time(f"payloads-{verb.lower()}-timestamp", payload)
        {
            "NBIRTH": self._node_birth,
            "DBIRTH": self._device_birth,
            "NDATA": self._data,
            "DDATA": self._data,
            "DDEATH": self._device_death,
        }[verb](link, device, payload)

    def _number(self, link: _Link, verb: str, payload: Any) -> None:
        if not self._check(payload.HasField("seq"), "payloads-sequence-num-always-included", f"{verb} without seq"):
            return
        if verb == "NBIRTH":
            self._check(payload.seq == 0, "payloads-sequence-num-zero-nbirth", f"seq {payload.seq}")
        else:
            wanted = (link.seq + 1) % 256
            rule = "payloads-sequence-num-incrementing"
            self._check(payload.seq == wanted, rule, f"{verb} with {payload.seq} after {link.seq}")
        link.seq = payload.seq

    def _time(self, rule: str, payload: Any) -> None:
        near = abs(payload.timestamp - time.time() * 1000) < 86_400_000
        self._check(payload.HasField("timestamp") and near, rule, f"timestamp {payload.timestamp}")

    def _death(self, link: _Link, payload: Any) -> None:
        self._check(not payload.HasField("seq"), "topics-ndeath-seq", "NDEATH has a seq")
        number = _bdseq(payload)
        one = len(payload.metrics) == 1
        if self._check(one and number is not None, "topics-ndeath-payload", "not exactly the metric bdSeq"):
            rule = "message-flow-edge-node-birth-publish-will-message-payload-bdSeq"
            self._check(payload.metrics[0].datatype == 4 and 0 <= (number or 0) <= 255, rule, "no Int64 of 0 to 255")
            if link.will is not None:
                self._check(number == _bdseq(link.will), "payloads-ndeath-bdseq", "another than the will's")

    # Births.

    def _node_birth(self, link: _Link, device: str, payload: Any) -> None:
        self._check(
            link.subscribed.get(self._topic("NCMD")) == 1, "message-flow-edge-node-ncmd-subscribe", "not with QoS 1"
        )
        if self.plan.primary_host:
            state = f"spBv1.0/STATE/{self.plan.primary_host}"
            rule = "operational-behavior-primary-application-state-with-multiple-servers-state-subs"
            self._check(link.subscribed.get(state) == 1, rule, f"{state} is not subscribed with QoS 1")
            self._check(link.online, "message-flow-edge-node-birth-publish-phid-wait", "the primary host is not online")
        link.aliases = {}
        link.devices = {name: _Device() for name in link.devices}
        link.data_seen = link.rebirth_asked = False
        link.node = _Device(alive=True)
        number = _bdseq(payload)
        rule = "topics-nbirth-bdseq-included"
        if self._check(number is not None, rule, "NBIRTH without bdSeq") and link.will is not None:
            same = number == _bdseq(link.will)
            again = (
                "operational-behavior-data-commands-rebirth-action-3" if link.born else "topics-nbirth-bdseq-matching"
            )
            self._check(same, again, f"bdSeq {number}, and the will has {_bdseq(link.will)}")
            fitting = next(each.datatype for each in payload.metrics if each.name == "bdSeq") == 4
            self._check(fitting, "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq", "it is no Int64")
        link.born = True
        found = [metric for metric in payload.metrics if metric.name == REBIRTH]
        rule = "operational-behavior-data-commands-rebirth"
        if self._check(len(found) == 1, f"{rule}-name", f"{len(found)} of {REBIRTH}"):
            self._check(not found[0].HasField("alias"), f"{rule}-name-aliases", "it has an alias")
            self._check(found[0].datatype == 11, f"{rule}-datatype", "it is no Boolean")
            is_false = found[0].WhichOneof("value") == "boolean_value" and not found[0].boolean_value
            self._check(is_false, f"{rule}-value", "it is not false")
        self._templates = {}
        for metric in payload.metrics:
            if metric.datatype == 19 and metric.template_value.is_definition:
                self._definition(metric)
        self._birth(link, link.node, "", [m for m in payload.metrics if not _is_definition(m)])

    def _device_birth(self, link: _Link, device: str, payload: Any) -> None:
        if device in self.plan.writable:
            topic = self._topic("DCMD", device)
            self._check(
                link.subscribed.get(topic) == 1, "message-flow-device-dcmd-subscribe", f"{topic}: not with QoS 1"
            )
        others = [name for name in link.devices if name != device and name.lower() == device.lower()]
        self._check(not others, "case-sensitivity-sparkplug-ids", f"{device} and {others}")
        before = link.devices.get(device)
        if before is not None:
            link.aliases = {alias: where for alias, where in link.aliases.items() if where[0] != device}
        known = link.devices[device] = _Device(alive=True)
        self._birth(link, known, device, payload.metrics)

    def _birth(self, link: _Link, known: _Device, device: str, metrics: Any) -> None:
        birth = "dbirth" if device else "nbirth"
        lower: set[str] = set()
        for metric in metrics:
            where = f"{metric.name or metric.alias} of {device or 'the node'}"
            if not self._check(metric.name, f"topics-{birth}-metrics", f"a metric without a name: {where}"):
                continue
            self._check(metric.name.lower() not in lower, "case-sensitivity-metric-names", where)
            lower.add(metric.name.lower())
            self._check(metric.HasField("timestamp"), "payloads-name-birth-data-requirement", f"no timestamp: {where}")
            self._check(metric.HasField("datatype"), "payloads-metric-datatype-req", where)
            fine = 1 <= metric.datatype <= 34 and metric.datatype not in (20, 21)
            if self._check(fine, "payloads-metric-datatype-value", f"{metric.datatype}: {where}"):
                self._value(metric, metric.datatype, f"operational-behavior-data-publish-{birth}-values", where)
            self._properties(metric, where, True)
            if metric.datatype == 19 and not metric.is_null:
                self._instance(metric.template_value, whole=True)
            known.names[metric.name] = metric
            if metric.name not in ("bdSeq", REBIRTH):
                self._alias(link, known, device, metric, where)

    def _alias(self, link: _Link, known: _Device, device: str, metric: Any, where: str) -> None:
        if not self._check(metric.HasField("alias"), "payloads-alias-birth-requirement", f"no alias: {where}"):
            return
        taken = link.aliases.get(metric.alias)
        self._check(taken is None, "payloads-alias-uniqueness", f"{metric.alias}: {where} and {taken}")
        link.aliases[metric.alias] = (device, metric.name)
        known.metrics[metric.alias] = metric
        first = self._stable.setdefault((device, metric.name), metric.alias)
        self._check(first == metric.alias, "alias-stable", f"{where}: {first}, and then {metric.alias}")

    def _value(self, metric: Any, datatype: int, rule: str, where: str) -> None:
        field_of_it = metric.WhichOneof("value")
        if metric.is_null:
            self._check(field_of_it is None, rule, f"null with a value: {where}")
        elif self._check(field_of_it is not None, rule, f"neither value nor null: {where}"):
            wanted = _FIELDS.get(datatype)
            self._check(field_of_it == wanted, "payloads-metric-datatype-value-type", f"{field_of_it}: {where}")
            if datatype in _SIZES and field_of_it == "bytes_value":
                whole = len(metric.bytes_value) % _SIZES[datatype] == 0
                self._check(whole, "payloads-metric-datatype-value", f"an array of odd size: {where}")

    def _properties(self, metric: Any, where: str, birth: bool) -> None:
        keys, values = metric.properties.keys, metric.properties.values
        self._check(len(keys) == len(values), "payloads-propertyset-keys-array-size", where)
        for key, value in zip(keys, values, strict=False):
            if birth:
                self._check(value.HasField("type"), "payloads-metric-propertyvalue-type-req", f"{key}: {where}")
            fine = 1 <= value.type <= 15 or value.type in (20, 21)
            self._check(
                not value.HasField("type") or fine, "payloads-metric-propertyvalue-type-value", f"{key}: {where}"
            )
            if key == "Quality":
                self._check(value.type == 3, "payloads-propertyset-quality-value-type", where)
                good = value.WhichOneof("value") == "int_value" and value.int_value in (0, 192, 500)
                self._check(good, "payloads-propertyset-quality-value-value", f"{value.int_value}: {where}")

    # Data.

    def _data(self, link: _Link, device: str, payload: Any) -> None:
        if not device or not link.data_seen:
            missing = [each for each in self.plan.devices if not link.devices.get(each, _Device()).names]
            rule = "payloads-ddata-order" if device else "payloads-ndata-order"
            self._check(not missing, rule, f"data before the birth of {missing}")
        link.data_seen = True
        known = link.devices.get(device, _Device()) if device else link.node
        if not self._check(known.alive, "payloads-ddata-order", f"data of {device}, which is not born"):
            return
        self._check(len(payload.metrics), f"topics-{'d' if device else 'n'}data-payload", "no metrics")
        newest = 0
        for metric in payload.metrics:
            self._datum(known, metric, device)
            if not metric.is_historical:
                rule = f"operational-behavior-data-publish-{'d' if device else 'n'}birth-order"
                self._check(metric.timestamp >= newest, rule, f"{metric.timestamp} after {newest}")
                newest = max(newest, metric.timestamp)

    def _datum(self, known: _Device, metric: Any, device: str) -> None:
        where = f"{metric.name or metric.alias} of {device or 'the node'}"
        self._check(metric.HasField("timestamp"), "payloads-name-birth-data-requirement", f"no timestamp: {where}")
        self._check(not metric.HasField("datatype"), "payloads-metric-datatype-not-req", where)
        by_alias = metric.HasField("alias") and not metric.HasField("name")
        self._check(by_alias, "payloads-alias-data-cmd-requirement", f"not by the alias alone: {where}")
        birth = known.metrics.get(metric.alias) or known.names.get(metric.name)
        letter = "d" if device else "n"
        if self._check(
            birth is not None, f"operational-behavior-data-publish-{letter}birth", f"not in the birth: {where}"
        ):
            assert birth is not None
            self._value(metric, birth.datatype, "payloads-metric-datatype-value-type", where)
            if birth.datatype == 19 and not metric.is_null:
                self._instance(metric.template_value, whole=False)
        self._properties(metric, where, False)

    def _device_death(self, link: _Link, device: str, payload: Any) -> None:
        known = link.devices.get(device)
        if self._check(
            known is not None and known.alive, "operational-behavior-device-ddeath", f"{device} was not alive"
        ):
            assert known is not None
            known.alive = False

    # Templates.

    def _definition(self, metric: Any) -> None:
        template = metric.template_value
        self._check(not template.HasField("template_ref"), "payloads-template-definition-ref", metric.name)
        self._templates[metric.name] = template
        for member in template.metrics:
            fine = member.name and member.HasField("datatype")
            self._check(fine, "payloads-template-definition-members", f"{member.name} of {metric.name}")

    def _instance(self, template: Any, whole: bool) -> None:
        said = template.HasField("is_definition")
        self._check(said and not template.is_definition, "payloads-template-is-definition-instance", "not said")
        known = self._templates.get(template.template_ref)
        if not self._check(known is not None, "payloads-template-instance-ref", f"{template.template_ref!r}"):
            return
        assert known is not None
        names = [member.name for member in template.metrics]
        wanted = {member.name: member.datatype for member in known.metrics}
        self._check(set(names) <= set(wanted), "payloads-template-instance-members", str(set(names) - set(wanted)))
        if whole:
            self._check(
                set(names) == set(wanted), "payloads-template-instance-members-birth", str(set(wanted) - set(names))
            )
        for member in template.metrics:
            if member.name in wanted:
                self._value(member, wanted[member.name], "payloads-metric-datatype-value-type", f"member {member.name}")

    # The end, and what the node hears.

    def _disconnect(self, link: _Link, noted: Noted) -> None:
        link.left = False
        if not link.born:
            return
        if noted.five:
            code = noted.body[0] if noted.body else 0
            rule = "payloads-ndeath-will-message-publisher-disconnect-mqtt50"
            self._check(code == 4, rule, f"reason code {code}")
        rule = "payloads-ndeath-will-message-publisher-disconnect-mqtt311"
        self._check(link.dead, rule, "DISCONNECT without NDEATH")

    def _to_node(self, noted: Noted) -> None:
        link = self._links.get(noted.link)
        if link is None:
            return
        message = Publish.read(noted)
        if message.topic == self._topic("NCMD") and not message.retain:
            if _asks_rebirth(message.payload):
                link.rebirth_asked = True
        elif self.plan.primary_host and message.topic == f"spBv1.0/STATE/{self.plan.primary_host}":
            self._state(link, message.payload)

    def _state(self, link: _Link, payload: bytes) -> None:
        try:
            said = json.loads(payload)
            online, stamp = said["online"], said["timestamp"]
        except (ValueError, LookupError, TypeError):
            return
        if link.state_time is None or stamp >= link.state_time:
            link.left = link.born and link.online and not online
            link.state_time, link.online = stamp, online


_SIZES = {22: 1, 23: 2, 24: 4, 25: 8, 26: 1, 27: 2, 28: 4, 29: 8, 30: 4, 31: 8, 34: 8}
"""Bytes of an array's element."""


def _is_definition(metric: Any) -> bool:
    return bool(metric.datatype == 19 and metric.template_value.is_definition)


def _bdseq(payload: Any) -> int | None:
    found = [metric for metric in payload.metrics if metric.name == "bdSeq"]
    return int(found[0].long_value) if len(found) == 1 and found[0].WhichOneof("value") == "long_value" else None


def _asks_rebirth(payload: bytes) -> bool:
    try:
        metrics = Payload.FromString(payload).metrics
    except Exception:
        return False
    return any(metric.name == REBIRTH and metric.boolean_value for metric in metrics)
