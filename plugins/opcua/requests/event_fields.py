"""Events of a server: which of their fields are asked for, and what they become (OPC 10000-5 §6.4, OPC 10000-9 §5)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from asyncua import ua

from gateway.plugin import DEVICE, DEVICE_AUDIT, Condition, DeviceEvent, cleaned

from ..session.errors import name_of
from ..session.session import OpcUaSession
from ..values.blocks import nanoseconds

_FIELDS = {
    ua.ObjectIds.BaseEventType: ("EventId", "EventType", "SourceNode", "SourceName", "Time", "Message", "Severity"),
    ua.ObjectIds.ConditionType: (
        "",
        "ConditionName",
        "BranchId",
        "Retain",
        "EnabledState/Id",
        "Quality",
        "Comment",
        "ClientUserId",
    ),
    ua.ObjectIds.AcknowledgeableConditionType: ("AckedState/Id", "ConfirmedState/Id"),
    ua.ObjectIds.AlarmConditionType: ("ActiveState/Id", "SuppressedOrShelved"),
    ua.ObjectIds.ExclusiveLimitAlarmType: ("LimitState/CurrentState",),
    ua.ObjectIds.GeneralModelChangeEventType: ("Changes",),
    ua.ObjectIds.SemanticChangeEventType: ("Changes",),
    ua.ObjectIds.AuditEventType: ("ActionTimeStamp",),
}
"""By the type that declares them; the empty one is the id of the condition itself. Subtypes of AuditEventType that a vendor
has made are known by their ActionTimeStamp."""
_AUDIT_FIELDS = {
    ua.ObjectIds.AuditEventType: ("Status", "ServerId", "ClientAuditEntryId", "ClientUserId"),
    ua.ObjectIds.AuditWriteUpdateEventType: ("AttributeId", "IndexRange", "OldValue", "NewValue"),
    ua.ObjectIds.AuditUpdateMethodEventType: ("MethodId", "InputArguments"),
    ua.ObjectIds.AuditSessionEventType: ("SessionId",),
    ua.ObjectIds.AuditCreateSessionEventType: ("ClientCertificateThumbprint",),
    ua.ObjectIds.AuditConditionCommentEventType: ("Comment",),
}
"""What audit events say beyond (OPC 10000-5 §6.4.3 to §6.4.29); no login, for that may hold a secret."""
NAMES = tuple(path for part in (_FIELDS, _AUDIT_FIELDS) for paths in part.values() for path in paths)
"""All that may be asked for, in this order; those of audit events last."""

REFRESH_START = ua.NodeId(ua.ObjectIds.RefreshStartEventType)
REFRESH_END = ua.NodeId(ua.ObjectIds.RefreshEndEventType)
REFRESH_REQUIRED = ua.NodeId(ua.ObjectIds.RefreshRequiredEventType)
OVERFLOW = ua.NodeId(ua.ObjectIds.EventQueueOverflowEventType)
CHANGES = {
    ua.NodeId(ua.ObjectIds.BaseModelChangeEventType),
    ua.NodeId(ua.ObjectIds.GeneralModelChangeEventType),
    ua.NodeId(ua.ObjectIds.SemanticChangeEventType),
}
"""Nodes were added, taken away, or mean something else (OPC 10000-3 §9.32, §9.33)."""

_SEVERITIES = ((100, "info"), (333, "advisory"), (666, "warning"))
"""The standard counts 1 to 333 as low, to 666 as medium, to 1000 as high."""
LONGEST_ID = 1024
"""Bytes of an event's id; of a longer one there is no telling."""
LONGEST_ADDRESS = 4200
MOST_SHOWN, LONGEST_VALUE = 20, 300
"""Elements of a list that was written, or bytes, and characters of a value."""
ATTRIBUTES = {int(each): each.name for each in ua.AttributeIds}
_VALUES = {"old_value": "OldValue", "new_value": "NewValue", "arguments": "InputArguments"}
_BRANCH = " branch "
_INDEX = re.compile(r"^\d+:")


def _fields(*, audit: bool) -> list[tuple[int, str]]:
    """Type and path of each field that is asked for."""
    parts = (_FIELDS, _AUDIT_FIELDS) if audit else (_FIELDS,)
    return [(kind, path) for part in parts for kind, paths in part.items() for path in paths]


def event_filter(*, audit: bool = False) -> ua.EventFilter:
    """All events, with these fields; with `audit` also with those of audit events."""
    clauses = [
        ua.SimpleAttributeOperand(
            TypeDefinitionId=ua.NodeId(kind),
            BrowsePath=[ua.QualifiedName(name, 0) for name in path.split("/") if name],
            AttributeId=ua.AttributeIds.Value if path else ua.AttributeIds.NodeId,
        )
        for kind, path in _fields(audit=audit)
    ]
    return ua.EventFilter(SelectClauses=clauses)


@dataclass(frozen=True, slots=True)
class EventFields:
    """The fields of one event that have a value."""

    values: Mapping[str, Any]

    @property
    def event_type(self) -> ua.NodeId | None:
        return self.node("EventType")

    @property
    def is_audit(self) -> bool:
        """Whether the server only notes what one of its clients did."""
        return _type_name(self.event_type).startswith("Audit") or "ActionTimeStamp" in self.values

    def node(self, name: str) -> ua.NodeId | None:
        """A node id; None for none, and for that of nothing."""
        value = self.values.get(name)
        return value if isinstance(value, ua.NodeId) and not value.is_null() else None

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if isinstance(value, ua.LocalizedText):
            value = value.Text
        return cleaned(value) if isinstance(value, str) else ""

    def changed_nodes(self) -> set[ua.NodeId]:
        """Those that the event says have changed."""
        told = self.values.get("Changes")
        affected = (getattr(each, "Affected", None) for each in told) if isinstance(told, list) else ()
        return {node for node in affected if isinstance(node, ua.NodeId)}

    def flag(self, name: str) -> bool | None:
        value = self.values.get(name)
        return value if isinstance(value, bool) else None


def fields_of(values: Sequence[ua.Variant]) -> EventFields:
    """From what a notification holds. A status code in place of a value says that there is none."""
    given = ((name, variant.Value) for name, variant in zip(NAMES, values, strict=False))
    return EventFields(
        {
            name: value
            for name, value in given
            if value is not None and (name == "Quality" or not isinstance(value, ua.StatusCode))
        }
    )


def as_event(
    session: OpcUaSession, device: str, fields: EventFields, now_ns: int, *, restated: bool = False
) -> DeviceEvent:
    """What the gateway is told. `now_ns` stands in where the server gives no time; `restated`: the server says once more what
    it retains."""
    condition = None if fields.is_audit else _condition(session, fields)
    time = fields.values.get("Time")
    t_ns = nanoseconds(time) if isinstance(time, datetime) else None
    what = fields.text("Message") or (condition.name if condition else _type_name(fields.event_type))
    source = _source(fields)
    message = f"{device}: {source}: {what}" if source else f"{device}: {what}"
    level = fields.values.get("Severity")
    severity = level if isinstance(level, int) and not isinstance(level, bool) else 0
    event_id = fields.values.get("EventId")
    return DeviceEvent(
        device,
        event_id.hex() if isinstance(event_id, bytes) and 0 < len(event_id) <= LONGEST_ID else uuid4().hex,
        now_ns if t_ns is None else t_ns,
        message,
        next((word for most, word in _SEVERITIES if severity <= most), "alarm"),
        _detail(session, fields, severity) | (_audit_detail(session, fields) if fields.is_audit else {}),
        condition,
        restated=restated and condition is not None and condition.retained,
        by=fields.text("ClientUserId"),
        kind=DEVICE_AUDIT if fields.is_audit else DEVICE,
    )


def _audit_detail(session: OpcUaSession, fields: EventFields) -> dict[str, Any]:
    """What was done, by whom and whether it was carried out; what the server does not say is left out."""
    done_at = fields.values.get("ActionTimeStamp")
    t_ns = nanoseconds(done_at) if isinstance(done_at, datetime) else None
    nodes = {"method": fields.node("MethodId"), "session": fields.node("SessionId")}
    attribute = fields.values.get("AttributeId")
    said = {
        "by": fields.text("ClientUserId"),
        "done": fields.flag("Status"),
        "action_ts": None if t_ns is None else t_ns // 1_000_000,
        "server": fields.text("ServerId"),
        "audit_entry": fields.text("ClientAuditEntryId"),
        "attribute": ATTRIBUTES.get(attribute, str(attribute)) if isinstance(attribute, int) else "",
        "index_range": fields.text("IndexRange"),
        "certificate": fields.text("ClientCertificateThumbprint"),
        **{name: _address(session, node) if node else "" for name, node in nodes.items()},
        **{name: _in_words(fields.values.get(key)) for name, key in _VALUES.items()},
    }
    return {name: value for name, value in said.items() if value not in (None, "")}


def _in_words(value: Any) -> str:
    """A value that was written or handed in, for people."""
    if isinstance(value, list):
        shown = ", ".join(map(_in_words, value[:MOST_SHOWN]))
        return cleaned(f"[{shown}{', …' if len(value) > MOST_SHOWN else ''}]", LONGEST_VALUE)
    if isinstance(value, ua.Variant):
        return _in_words(value.Value)
    if isinstance(value, ua.LocalizedText):
        return cleaned(value.Text or "", LONGEST_VALUE)
    if isinstance(value, bytes):
        return value[:MOST_SHOWN].hex()
    if value is None or isinstance(value, str | bool | int | float | datetime):
        return "" if value is None else cleaned(value, LONGEST_VALUE)
    return f"a {type(value).__name__}"


def _condition(session: OpcUaSession, fields: EventFields) -> Condition | None:
    node = fields.node("")
    if node is None or not fields.text("ConditionName"):
        return None
    enabled = fields.flag("EnabledState/Id") is not False
    retained = enabled and bool(fields.flag("Retain"))
    active, acked = fields.flag("ActiveState/Id"), fields.flag("AckedState/Id")
    name = ".".join(part for part in (_source(fields), fields.text("ConditionName")) if part)
    identity = _address(session, node)
    branch = fields.node("BranchId")
    if branch is not None:
        return Condition(f"{identity}{_BRANCH}{_address(session, branch)}", f"{name} (earlier)", False, acked, retained)
    active = enabled and (retained if active is None else active)
    return Condition(identity, name, active, acked, retained)


def _address(session: OpcUaSession, node: ua.NodeId) -> str:
    """A node id as text. One that is no text, or longer than the standard allows, does not lead back to the node."""
    return cleaned(session.address(node), LONGEST_ADDRESS)


def is_branch(condition: Condition) -> bool:
    """Whether it is what a condition was before, which is over and still has to be acknowledged."""
    return _BRANCH in condition.id


def node_of(condition: str) -> str:
    """The address of the node of a condition, also of one that is a branch."""
    return condition.partition(_BRANCH)[0]


def _source(fields: EventFields) -> str:
    """Some servers write a browse name with its namespace's index, which is of no use to people."""
    return _INDEX.sub("", fields.text("SourceName"))


def _type_name(kind: ua.NodeId | None) -> str:
    if kind is None or kind.NamespaceIndex:
        return ""
    return str(ua.ObjectIdNames.get(kind.Identifier, ""))


def _detail(session: OpcUaSession, fields: EventFields, severity: int) -> dict[str, Any]:
    """The device's own words, those that it gives."""
    kind, source = fields.event_type, fields.node("SourceNode")
    quality = fields.values.get("Quality")
    said = {
        "device_severity": severity,
        "event_type": _type_name(kind) or (_address(session, kind) if kind else ""),
        "source": _source(fields),
        "source_node": _address(session, source) if source else "",
        "limit": fields.text("LimitState/CurrentState"),
        "active": fields.flag("ActiveState/Id"),
        "acked": fields.flag("AckedState/Id"),
        "confirmed": fields.flag("ConfirmedState/Id"),
        "enabled": fields.flag("EnabledState/Id"),
        "suppressed": fields.flag("SuppressedOrShelved") or None,
        "retain": fields.flag("Retain"),
        "quality": name_of(int(quality.value)) if isinstance(quality, ua.StatusCode) and quality.value else "",
        "comment": fields.text("Comment"),
    }
    return {name: value for name, value in said.items() if value not in (None, "")}
