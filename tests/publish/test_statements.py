"""Events, descriptions, states, losses: what is published beside readings."""

import json
from typing import Any

import numpy as np

from gateway.core.context import Context
from gateway.core.event import Contribution, Event
from gateway.core.record import Kind
from gateway.core.tag import Device, Tag, Tags
from gateway.plugin.hosts import Message

from .blocks import PLACE, T0_MS, device, encoder, record

CONTEXT = {"site": "north", "area": "solids", "line": "coating"}


def read(message: Message) -> Any:
    return json.loads(message.payload)


def event(of: str, **detail: Any) -> dict[str, Any]:
    contributions = [Contribution("spray_rate", 0.8, 12.5, 20.0)]
    return Event("e1", "anomaly", "raised", of, T0_MS * 1_000_000, "clog", "alarm", detail, contributions).body()


def test_an_event_goes_under_its_device_with_the_devices_context() -> None:
    coater = device({"spray_rate": "float32"}, context=Context(site="south", line="coating"))
    subject = encoder(devices=[coater])
    (sent,) = subject.messages(
        record(kind=Kind.EVENT, body=event("coater-1", score=np.float32(0.5), limit=float("nan")))
    )
    assert sent.topic == "south/coating/coater-1/_event"
    assert read(sent) == {
        "event": "e1",
        "kind": "anomaly",
        "state": "raised",
        "device": "coater-1",
        "ts": T0_MS,
        "severity": "alarm",
        "message": "clog",
        "score": 0.5,
        "limit": None,
        "contributions": [{"tag": "spray_rate", "share": 0.8, "value": 12.5, "expected": 20.0}],
        "id": "log1:alarm:17",
        "accepted": T0_MS + 5,
        "gateway": "gw1",
        "context": {"site": "south", "line": "coating"},
    }


def test_an_event_of_a_device_that_is_gone_keeps_its_topic() -> None:
    (sent,) = encoder().messages(record(kind=Kind.EVENT, body=event("old")))
    assert sent.topic == "north/coating/old/_event"


def test_events_losses_receipts_and_skips_of_the_gateway_go_under_its_own_topic() -> None:
    subject = encoder()
    topics = {
        Kind.EVENT: "north/coating/gw1/_event",
        Kind.LOSS: "north/coating/gw1/_loss",
        Kind.RECEIPT: "north/coating/gw1/_receipt",
        Kind.SKIP: "north/coating/gw1/_skip",
    }
    for kind, topic in topics.items():
        (sent,) = subject.messages(record(kind=kind, body={"device": "", "readings": 3}))
        assert sent.topic == topic
        assert read(sent)["readings"] == 3
        assert read(sent)["id"] == "log1:alarm:17"


def test_a_template_with_the_gateway_in_it_names_the_gateway_once() -> None:
    subject = encoder("{site}/{gateway}/{device}")
    assert subject.gateway_state(online=True).topic == "north/gw1/_state"


def test_a_description_tells_types_units_and_scaling() -> None:
    tags = [Tag(1, "c", "temp", "float64", "°C", "inlet air", "× 0.1"), Tag(2, "c", "level")]
    sent = encoder().description(Device("c", "modbus", Tags("c", tags), PLACE))
    assert sent.topic == "north/coating/c/_tags"
    assert read(sent) == {
        "device": "c",
        "gateway": "gw1",
        "driver": "modbus",
        "tags": {
            "temp": {"type": "float64", "unit": "°C", "description": "inlet air", "scaling": "× 0.1"},
            "level": {},
        },
        "context": CONTEXT,
    }


def test_a_state_says_since_when_and_why() -> None:
    coater = device({"a": "bool"})
    down = encoder().state(coater, False, "no answer")
    assert down.topic == "north/coating/coater-1/_state"
    expected = {"online": False, "ts": T0_MS, "device": "coater-1", "reason": "no answer", "context": CONTEXT}
    assert read(down) == expected
    assert "reason" not in read(encoder().state(coater, True, ""))


def test_the_will_has_no_time_because_the_broker_speaks_it_later() -> None:
    online, offline = (encoder().gateway_state(state) for state in (True, False))
    assert online.topic == offline.topic == "north/coating/gw1/_state"
    assert read(online) == {"online": True, "gateway": "gw1", "version": "0.1.0", "ts": T0_MS, "context": CONTEXT}
    assert read(offline) == {"online": False, "gateway": "gw1", "version": "0.1.0", "context": CONTEXT}
