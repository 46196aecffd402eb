"""What fields of an event become, whatever a server sends in them, and the marks between which conditions are restated."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import structlog
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.plugin import DeviceEvent, Retained
from plugins.opcua.address import Address
from plugins.opcua.config import OpcUaConfig
from plugins.opcua.requests.event_fields import NAMES, as_event, event_filter, fields_of, is_branch, node_of
from plugins.opcua.subscribe import events as events_module
from plugins.opcua.subscribe.events import REMEMBERED, EventFeed
from plugins.opcua.subscribe.subscription import Subscription
from plugins.opcua.values.notification import decode_publish

SESSION = SimpleNamespace(address=lambda node: Address(node.NamespaceIndex, node.Identifier))
CONFIG = OpcUaConfig.model_validate(
    {"name": "plc", "driver": "opcua", "url": "opc.tcp://h", "events": True, "security": "none"}
)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HIGH = {
    "EventId": b"\x01\xff", "EventType": ua.NodeId(9341), "SourceNode": ua.NodeId("Level", 2), "SourceName": "2:Level",
    "Time": NOON, "Message": ua.LocalizedText("too high"), "Severity": 700, "": ua.NodeId("High", 2), "ConditionName": "High",
    "BranchId": ua.NodeId(), "Retain": True, "EnabledState/Id": True, "Quality": ua.StatusCode(0), "AckedState/Id": False,
    "ConfirmedState/Id": False, "ActiveState/Id": True, "LimitState/CurrentState": ua.LocalizedText("High"),
    "Comment": ua.LocalizedText("seen"), "ClientUserId": "ann",
}  # fmt: skip


def variants(**changes):
    values = {**HIGH, **changes}
    return [SimpleNamespace(Value=values.get(name)) for name in NAMES]


def event(*, restated=False, **changes) -> DeviceEvent:
    return as_event(SESSION, "plc", fields_of(variants(**changes)), 5, restated=restated)


def test_all_fields_have_their_place():
    told = event()
    assert (told.id, told.t_ns, told.message, told.severity, told.by) == (
        "01ff", int(NOON.timestamp()) * 10**9, "plc: Level: too high", "alarm", "ann",
    )  # fmt: skip
    assert told.detail == {
        "device_severity": 700, "event_type": "ExclusiveLimitAlarmType", "source": "Level", "source_node": "ns=2;s=Level",
        "limit": "High", "active": True, "acked": False, "confirmed": False, "enabled": True, "retain": True,
        "comment": "seen",
    }  # fmt: skip
    stands = told.condition
    assert (stands.id, stands.name) == ("ns=2;s=High", "Level.High")
    assert (stands.active, stands.acknowledged, stands.retained) == (True, False, True)


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (0, "info"),
        (100, "info"),
        (101, "advisory"),
        (333, "advisory"),
        (334, "warning"),
        (666, "warning"),
        (667, "alarm"),
        (1000, "alarm"),
    ],
)
def test_severity_is_mapped_and_the_number_kept(level, severity):
    told = event(Severity=level)
    assert (told.severity, told.detail["device_severity"]) == (severity, level)


def test_a_condition_without_a_state_of_its_own_is_active_while_it_is_retained():
    assert event(**{"ActiveState/Id": None}).condition.active
    assert not event(**{"ActiveState/Id": None, "Retain": False}).condition.active
    assert event(**{"AckedState/Id": None}).condition.acknowledged is None


def test_a_disabled_condition_is_over_and_status_codes_in_place_of_values_are_none():
    gone = ua.StatusCode(ua.StatusCodes.BadConditionDisabled)
    told = event(
        **{"EnabledState/Id": False, "Retain": gone, "Severity": gone, "Message": gone, "ActiveState/Id": gone}
    )
    assert (told.condition.active, told.condition.retained) == (False, False)
    assert told.message == "plc: Level: Level.High"


def test_a_branch_is_an_earlier_occurrence_that_can_be_acknowledged_at_its_node():
    told = event(BranchId=ua.NodeId(uuid.UUID(int=7), 1)).condition
    assert is_branch(told)
    assert (told.active, told.name, node_of(told.id)) == (False, "Level.High (earlier)", "ns=2;s=High")
    assert not is_branch(event().condition)


def test_without_a_condition_it_is_an_event_alone():
    assert event(**{"": None}).condition is None
    assert event(**{"": ua.NodeId()}).condition is None


def test_a_time_that_is_none_is_when_it_came():
    assert event(Time=datetime(1601, 1, 1, tzinfo=UTC)).t_ns == 5


def test_an_event_without_an_id_has_one_of_its_own():
    assert event(EventId=None).id != event(EventId=b"").id


def test_only_what_is_retained_counts_as_restated():
    assert event(restated=True).restated
    assert not event(restated=True, Retain=False).restated


def test_the_filter_asks_for_each_field_once_by_the_type_that_declares_it():
    clauses = event_filter(audit=True).SelectClauses
    assert ["/".join(name.Name for name in clause.BrowsePath) for clause in clauses] == list(NAMES)
    (own,) = [clause for clause in clauses if not clause.BrowsePath]
    assert (own.AttributeId, own.TypeDefinitionId) == (ua.AttributeIds.NodeId, ua.NodeId(2782))


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64), st.floats(), st.text(), st.binary(max_size=40),
    st.lists(st.integers(), max_size=3), st.datetimes(timezones=st.just(UTC)), st.uuids(),
    st.builds(ua.LocalizedText, st.one_of(st.none(), st.text())), st.builds(ua.StatusCode, st.integers(0, 2**32 - 1)),
    st.builds(ua.NodeId, st.one_of(st.integers(0, 2**32 - 1), st.text(), st.uuids(), st.binary()), st.integers(0, 9)),
    st.builds(ua.QualifiedName, st.text(), st.integers(0, 9)),
)  # fmt: skip


@given(st.lists(ODD, max_size=len(NAMES) + 2))
@settings(deadline=None)
def test_whatever_a_server_sends_becomes_an_event(values):
    told = as_event(SESSION, "plc", fields_of([SimpleNamespace(Value=value) for value in values]), 5)
    assert isinstance(told.t_ns, int)
    assert told.severity in ("info", "advisory", "warning", "alarm")
    assert bytes.fromhex(told.id)
    json.dumps(told.detail, allow_nan=False)


# The marks, and losses.


class Heard:
    """Events of a device with notifiers, and what they hand up."""

    def __init__(self, notifiers=1, room=1000):
        self.told = []
        self.events = EventFeed(SESSION, CONFIG, self.told.append, structlog.get_logger())
        self.events.resume(Subscription(7, 1.0, events=dict.fromkeys(range(notifiers), room)))
        self.events.refresh_at = float("inf")

    async def take(self, *fields, number=0):
        events = [SimpleNamespace(ClientHandle=number, EventFields=each) for each in fields]
        overflows = any(each[1].Value == ua.NodeId(3035) for each in fields)
        await self.events.take(
            SimpleNamespace(
                event_counts=lambda: {number: len(events)},
                overflows=lambda: overflows,
                events=lambda: iter([events]),
                undecodable=0,
            )
        )

    def retained(self):
        return [told.conditions for told in self.told if isinstance(told, Retained)]

    def lost(self):
        return [told.detail["reason"] for told in self.told if isinstance(told, DeviceEvent) and told.state == "lost"]

    @property
    def asks(self):
        return self.events.refresh_at <= asyncio.get_running_loop().time()


def mark(kind):
    return variants(**{**dict.fromkeys(NAMES), "EventType": ua.NodeId(kind)})


START, END, REQUIRED, OVERFLOW, AUDIT = map(mark, (2787, 2788, 2789, 3035, 2052))


async def test_what_is_restated_between_the_marks_is_what_is_retained():
    heard = Heard()
    low = variants(**{"": ua.NodeId("Low", 2)})
    await heard.take(
        START, variants(), low, variants(**{"": ua.NodeId("Low", 2), "Retain": False, "EventId": b"2"}), END
    )
    assert heard.retained() == [frozenset({"ns=2;s=High"})]
    await heard.take(variants())
    assert [told.restated for told in heard.told if isinstance(told, DeviceEvent)] == [True, True, False, False]


async def test_of_several_notifiers_the_last_mark_counts():
    heard = Heard(notifiers=2)
    await heard.take(START, variants(), END)
    assert heard.retained() == []
    await heard.take(START, variants(**{"": ua.NodeId("Low", 2)}), END, number=1)
    assert heard.retained() == [frozenset({"ns=2;s=High", "ns=2;s=Low"})]


async def test_an_end_without_a_begin_says_nothing():
    heard = Heard()
    await heard.take(END)
    assert heard.told == []


async def test_a_server_that_asks_for_it_is_asked_how_it_stands():
    heard = Heard()
    assert not heard.asks
    await heard.take(REQUIRED)
    assert heard.asks


@pytest.mark.parametrize("full", [[OVERFLOW], [variants(**{"": None, "EventId": bytes([n])}) for n in range(5)]])
async def test_a_queue_that_ran_over_is_one_loss_and_asks_anew(full):
    heard = Heard(room=5)
    await heard.take(*full)
    assert heard.lost() == ["the server's queue was full: raise event_queue"]
    assert heard.asks


async def test_conditions_that_do_not_fit_into_the_queue_end_none_and_are_asked_for_later_and_later():
    heard = Heard(room=5)
    restated = [START, *(variants(**{"EventId": bytes([n]), "": ua.NodeId(n, 2)}) for n in range(1, 4)), END]
    pauses = []
    for _ in range(7):
        pauses.append(heard.events._pause)
        await heard.take(*restated)
    assert heard.retained() == []
    assert pauses == [0, 10, 20, 40, 80, 160, 300]
    assert not heard.asks
    await heard.take(START, END)
    await heard.take(OVERFLOW)
    assert heard.asks


async def test_a_server_that_keeps_one_event_at_most_is_not_taken_for_full_each_time():
    heard = Heard(room=1)
    await heard.take(variants())
    assert heard.lost() == []


@pytest.mark.parametrize("node", [ua.NodeId(3035), ua.NodeId(3035, 0, ua.NodeIdType.Numeric)])
def test_the_event_of_a_queue_that_ran_over_is_known_by_its_bytes(node):
    response = ua.PublishResponse()
    event = ua.EventFieldList(0, [ua.Variant(b"1"), ua.Variant(node)])
    response.Parameters.NotificationMessage.NotificationData = [ua.EventNotificationList([event])]
    message = decode_publish(Buffer(struct_to_binary(response)))
    assert message.overflows()
    assert message.event_counts() == {0: 1}


def test_bytes_that_are_no_text_and_what_moves_a_cursor_do_not_get_in():
    odd = "Kessel \udcb0C\n\x1b[2J"
    told = event(
        Message=ua.LocalizedText(odd), SourceName=odd, ConditionName=odd, ClientUserId=odd, Comment=ua.LocalizedText(odd),
        EventType=ua.NodeId(odd, 2), SourceNode=ua.NodeId(odd, 2), **{"": ua.NodeId(odd, 2), "EventId": b"x" * 5000},
    )  # fmt: skip
    texts = [told.message, told.by, told.condition.id, told.condition.name, *map(str, told.detail.values()), told.id]
    for text in texts:
        assert text.encode()
        assert text.isprintable()
        assert len(text) <= 5000


async def test_conditions_beyond_a_number_are_left_out_and_that_is_told_once(monkeypatch):
    monkeypatch.setattr(events_module, "MOST_CONDITIONS", 3)
    heard = Heard()
    await heard.take(*(variants(**{"": ua.NodeId(n, 2), "EventId": bytes([n])}) for n in range(1, 9)))
    assert len({told.condition.id for told in heard.told if told.condition}) == 3
    assert len(heard.lost()) == 1
    await heard.take(variants(**{"": ua.NodeId(1, 2), "Retain": False, "ActiveState/Id": False, "EventId": b"z"}))
    await heard.take(variants(**{"": ua.NodeId(9, 2), "EventId": b"y"}))
    assert heard.told[-1].condition.id == "ns=2;i=9"


async def test_what_the_server_audits_is_not_told():
    heard = Heard()
    await heard.take(AUDIT)
    assert heard.told == []


async def test_repeats_are_known_as_far_as_they_are_remembered():
    heard = Heard()
    for number in range(REMEMBERED + 1):
        await heard.take(variants(**{"": None, "EventId": number.to_bytes(4)}))
    await heard.take(variants(**{"": None, "EventId": REMEMBERED.to_bytes(4)}))
    assert len(heard.told) == REMEMBERED + 1
    assert len(heard.events._seen) == REMEMBERED


def test_odd_audit_events_cost_nothing_and_hold_no_control_characters():
    told = event(
        EventType=ua.NodeId(2100), ActionTimeStamp=NOON, ClientUserId="x" * 5000, AttributeId=10**9,
        NewValue=[b"\xff" * 5000] * 100, OldValue=object(), Status="perhaps", SessionId="none", MethodId=7,
    )  # fmt: skip
    assert told.kind == "device_audit" and told.condition is None
    assert (told.detail["attribute"], told.detail["old_value"]) == ("1000000000", "a object")
    assert len(told.detail["new_value"]) <= 300 and len(told.detail["by"]) <= 1000
    assert not told.detail.keys() & {"done", "session", "method"}
