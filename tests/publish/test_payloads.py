"""Readings in the forms of other gateways, by templates of the user's, and several records in one message."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app import look_up
from gateway.config.load import load, remarks
from gateway.config.payload import JsonForm, template_of
from gateway.core.clock import FakeClock
from gateway.core.errors import ConfigError
from gateway.core.live import LiveTable
from gateway.core.quality import BAD_NO_COMMUNICATION, HISTORICAL, STALE, UNCERTAIN, describe
from gateway.core.record import Record
from gateway.plugin import Message
from gateway.publish import JsonEncoder, SinkSurroundings
from tests.publish.blocks import GATEWAY, T0_MS, block, device, record

COATER = device({"temp": "float32", "fan": "bool", "speed": "float64"})
PRESS = device({"force": "uint16", "recipe": "string"}, name='press "2"')


def encoder(payload: Any, topic: str = "{site}/{device}", readings_topic: str = "", **form: bool) -> JsonEncoder:
    clock = FakeClock(wall=T0_MS * 1_000_000)
    around = SinkSurroundings(GATEWAY, "0.1.0", clock, LiveTable(), lambda: [COATER, PRESS])
    return JsonEncoder(
        topic, False, around, JsonForm(template_of(payload, **form), readings_topic=readings_topic, **form)
    )


def told(messages: list[Message]) -> list[tuple[str, Any]]:
    return [(message.topic, json.loads(message.payload)) for message in messages]


def scan(**columns: Any) -> Record:
    return record(block(COATER, [21.3, 1, float("nan")], quality=[0, UNCERTAIN, BAD_NO_COMMUNICATION], **columns))


def press(seq: int = 18) -> Record:
    return record(block(PRESS, [7, float("nan")], exact={1: 'A"1'}), seq=seq)


def test_telegraf() -> None:
    ((topic, body),) = told(encoder("telegraf").messages(scan()))
    assert topic == "north/coater-1"
    tags = {"gateway": "gw1", "site": "north", "area": "solids", "line": "coating"}
    one = {"name": "coater-1", "tags": tags, "fields": {"temp": 21.3, "fan": True}, "timestamp": T0_MS}
    assert body == one
    ((records, messages),) = encoder("telegraf", per_slot=True).deliveries([scan(), press()])
    assert len(records) == 2
    other = {"name": 'press "2"', "tags": tags, "fields": {"force": 7, "recipe": 'A"1'}, "timestamp": T0_MS}
    assert told(messages) == [("north/gw1/_slot", {"metrics": [one, other]})]


def test_neuron() -> None:
    ((_, body),) = told(encoder("neuron").messages(scan()))
    assert body == {
        "timestamp": T0_MS,
        "node": "coater-1",
        "group": "modbus",
        "values": {"temp": 21.3, "fan": True},
        "errors": {"speed": BAD_NO_COMMUNICATION},
        "metas": {},
    }
    assert told(encoder("neuron").messages(press()))[0][1]["errors"] == {}


def test_kepware() -> None:
    one = [
        {"id": "coater-1.temp", "v": 21.3, "q": True, "t": T0_MS},
        {"id": "coater-1.fan", "v": True, "q": False, "t": T0_MS - 5},
        {"id": "coater-1.speed", "v": None, "q": False, "t": T0_MS},
    ]
    other = [
        {"id": 'press "2".force', "v": 7, "q": True, "t": T0_MS},
        {"id": 'press "2".recipe', "v": 'A"1', "q": True, "t": T0_MS},
    ]
    times = [T0_MS, T0_MS - 5, T0_MS]
    ((_, body),) = told(encoder("kepware").messages(scan(times_ms=times)))
    assert body == {"timestamp": T0_MS, "values": one}
    ((_, messages),) = encoder("kepware", per_slot=True).deliveries([scan(times_ms=times), press()])
    assert told(messages)[0][1] == {"timestamp": T0_MS, "values": one + other}
    each = told(encoder("kepware", per_tag=True).messages(scan(times_ms=times)))
    assert each == [(f"north/coater-1/{each['id'].split('.')[1]}", each) for each in one]


def test_thingsboard() -> None:
    subject = encoder("thingsboard", readings_topic="v1/gateway/telemetry", per_slot=True)
    ((_, messages),) = subject.deliveries([scan(), press(), press(19)])
    first = {
        "coater-1": [{"ts": T0_MS, "values": {"temp": 21.3, "fan": True}}],
        'press "2"': [{"ts": T0_MS, "values": {"force": 7, "recipe": 'A"1'}}],
    }
    second = {'press "2"': first['press "2"']}
    assert told(messages) == [("v1/gateway/telemetry", first), ("v1/gateway/telemetry", second)]


def test_umh() -> None:
    topic = "umh/v1/acme/{site}/{area}/{line}/{device}/_historian/{tag}"
    messages = told(encoder("umh", readings_topic=topic, per_tag=True).messages(scan()))
    under = "umh/v1/acme/north/solids/coating/coater-1/_historian"
    assert messages == [
        (f"{under}/temp", {"timestamp_ms": T0_MS, "value": 21.3}),
        (f"{under}/fan", {"timestamp_ms": T0_MS, "value": True}),
    ]


def test_the_own_form_of_a_slot_is_the_messages_in_a_list_with_their_devices() -> None:
    own = encoder("own")
    ((_, messages),) = encoder("own", per_slot=True).deliveries([scan(), press()])
    ((topic, slot),) = told(messages)
    assert topic == "north/gw1/_slot"
    alone = [json.loads(message.payload) for each in (scan(), press()) for message in own.messages(each)]
    assert [each.pop("device") for each in slot] == ["coater-1", 'press "2"']
    assert slot == alone


def test_only_readings_stand_together_and_not_too_many_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.publish.encoder.TOGETHER", 6)
    event = record(kind=record().kind.EVENT, body={"device": "coater-1"}, seq=3)
    given = [scan(), event, scan(), press(), scan()]
    told_of = encoder("own", per_slot=True).deliveries(given)
    assert [[given.index(each) for each in records] for records, _ in told_of] == [[1], [0, 2], [3, 4]]


@pytest.mark.parametrize("per_slot", [True, False])
def test_a_second_sample_of_a_tag_is_not_lost(per_slot: bool) -> None:
    twice = record(block(COATER, [1, 2, 0], rows=[0, 0, 1]))
    for payload in ("telegraf", "thingsboard", "kepware"):
        messages = [m for _, each in encoder(payload, per_slot=per_slot).deliveries([twice]) for m in each]
        assert all(value in b"".join(m.payload for m in messages) for value in (b"1.0", b"2.0"))
    ids = {"values": "{values}", "id": "{id}"}
    assert [body["id"] for _, body in told(encoder(ids).messages(twice))] == ["log1:data:17", "log1:data:17:1"]


ALL = {
    "names": "{gateway}/{device} {driver} {site}",
    "context": "{context}",
    "id": "{id}",
    "accepted": "{accepted}",
    "historical": "{historical}",
    "clock": "{clock}",
    "times": ["{ts}", "{ts_s}", "{ts_ns}", "{time}"],
    "values": "{values}",
    "qualities": "{qualities}",
    "{device}": {"n": 1, "x": 1.5, "yes": True, "list": []},
    "rows": {
        "each_reading": {
            "tag": "{tag}", "of": "{device}.{tag} in {unit}", "type": "{type}", "v": "{value}", "q": "{quality}",
            "good": "{good}", "code": "{code}", "late": "{historical}", "ts": "{ts}", "ns": "{ts_ns}", "id": "{id}",
        }
    },
    "good": {"by_tag": "{value}", "only": "good"},
    "bad": {"by_tag": {"code": "{code}"}, "only": "bad"},
}  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.floats(-1e6, 1e6).map(lambda x: float(int(x))),
            st.sampled_from([0, STALE, HISTORICAL, UNCERTAIN, BAD_NO_COMMUNICATION, BAD_NO_COMMUNICATION | HISTORICAL]),
            st.integers(0, 10),
        ),
        min_size=3,
        max_size=3,
    )
)
def test_whatever_is_read_a_template_is_filled_as_it_says(rows: list[tuple[float, int, int]]) -> None:
    values, qualities, times = zip(*rows, strict=True)
    seen = record(block(COATER, list(values), times_ms=[T0_MS + each for each in times], quality=list(qualities)))
    ((_, body),) = told(encoder(ALL).messages(seen))
    shown = [
        None if quality >= 1 << 31 else bool(value) if name == "fan" else pytest.approx(value, rel=1e-6)
        for name, value, quality in zip(("temp", "fan", "speed"), values, qualities, strict=True)
    ]
    newest = T0_MS + max(times)
    words = [describe(quality & ~HISTORICAL) for quality in qualities]
    names = ("temp", "fan", "speed")
    assert body["values"] == dict(zip(names, shown, strict=True))
    assert body["times"][:3] == [newest, newest // 1000, newest * 1_000_000]
    assert body["historical"] == any(quality & HISTORICAL for quality in qualities)
    flagged = {name: word for name, word, q in zip(names, words, qualities, strict=True) if q & ~HISTORICAL}
    assert body["qualities"] == flagged
    assert set(body["good"]) == {name for name, q in zip(names, qualities, strict=True) if q < 1 << 31}
    assert set(body["bad"]) == {name for name, q in zip(names, qualities, strict=True) if q >= 1 << 31}
    assert body["names"] == "gw1/coater-1 modbus north"
    assert [(row["tag"], row["v"], row["q"], row["ts"]) for row in body["rows"]] == [
        (name, value, word, T0_MS + each) for name, value, word, each in zip(names, shown, words, times, strict=True)
    ]


def test_each_message_of_a_reading_has_an_id_of_its_own() -> None:
    messages = told(encoder({"v": "{value}", "id": "{id}"}, per_tag=True).messages(scan()))
    assert [body["id"] for _, body in messages] == ["log1:data:17", "log1:data:17:1", "log1:data:17:2"]


CONFIG = """
[gateway]
name = "g1"
[[sink]]
name = "central"
plugin = "mqtt"
host = "localhost"
{}
[[device]]
name = "press-1"
driver = "simulated"
[device.tags]
oil_temp = {{ wave = "sine" }}
"""


def check(tmp_path: Path, options: str) -> list[str]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(options))
    try:
        return [f"{each.line}: {each.message}" for each in remarks(load(path, look_up))]
    except ConfigError as error:
        return [f"{each.line}: {each.where}: {each.message}" for each in error.problems]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('payload = "kepwar"', '8: sink "central": payload: "kepwar" is not possible, did you mean "kepware"?'),
        (
            'payload = "umh"',
            '8: sink "central": payload: "umh" has no form for one message per record: set per_tag = true',
        ),
        ('payload = "neuron"\nper_slot = true', '8: sink "central": payload: "neuron" has no form for per_slot = true'),
        ("per_tag = true\nper_slot = true", '9: sink "central": per_slot: cannot stand beside per_tag'),
        (
            '[sink.payload]\nts = "{ts}"\nv = "{valeu}"',
            '10: sink "central": payload.v: unknown placeholder {valeu}, did you mean {value}?',
        ),
        (
            '[sink.payload]\nv = "{value}"',
            '9: sink "central": payload.v: {value} belongs to a reading, and this is a record: set per_tag = true, or put it'
            " under each_reading or by_tag",
        ),
        ('[sink.payload.x]\nv = "it is {id}"', '9: sink "central": payload.x.v: {id} must stand alone: write "{id}"'),
        ('[sink.payload]\nv = "{device"', '9: sink "central": payload.v: the braces do not match'),
        ("[sink.payload]\nv = 2026-01-01", '9: sink "central": payload.v: write a text, a number'),
        (
            '[sink.payload]\nv = { by_tag = "{value}", only = "best" }',
            '9: sink "central": payload.v.only: write one of good, bad, flagged',
        ),
        (
            '[sink.payload]\nv = { by_tag = "{value}", more = 1 }',
            '9: sink "central": payload.v.more: a table with by_tag can have only beside it, and nothing else',
        ),
        (
            'per_slot = true\n[sink.payload]\nd = "{device}"',
            '10: sink "central": payload.d: {device} belongs to a record, and this is a message of several records: put it'
            " under each_record or by_device",
        ),
        (
            'per_slot = true\npayload = { v = "{values}" }',
            '9: sink "central": payload.v: {values} belongs to a record',
        ),
        ('readings_topic = "v1/all"', '8: sink "central": readings_topic: the topic must contain {device}'),
        (
            'per_tag = true\npayload = "umh"\nreadings_topic = "umh/{device}"',
            '10: sink "central": readings_topic: must contain {tag}',
        ),
        ('readings_topic = "a/{device}/{tag}"', '8: sink "central": readings_topic: unknown placeholder {tag}'),
        ('per_slot = true\nreadings_topic = "a/{device}"', '9: sink "central": readings_topic: with per_slot'),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_write(tmp_path: Path, options: str, said: str) -> None:
    (problem,) = check(tmp_path, options)
    assert problem.startswith(said)


def test_what_a_form_does_not_say_is_remarked(tmp_path: Path) -> None:
    assert check(tmp_path, "") == []
    (said,) = check(tmp_path, 'per_tag = true\npayload = "umh"\nreadings_topic = "umh/{device}/{tag}"')
    assert said == (
        '0: payload: "umh" does not say quality (readings without a value are left out); whether readings are historical; the'
        " record's id, by which repeats are found"
    )
    (said,) = check(
        tmp_path, 'payload = { v = "{values}", t = "{ts}", q = "{qualities}", h = "{historical}", id = "{id}" }'
    )
    assert said == "0: payload: the template does not say a reading's own time (one time stands for all of a record)"


def test_sinks_that_send_the_same_share_its_json_and_others_do_not() -> None:
    around = SinkSurroundings(GATEWAY, "0.1.0", FakeClock(), LiveTable(), lambda: [COATER, PRESS])
    one, two = (JsonEncoder(topic, False, around) for topic in ("a/{device}", "b/{device}"))
    slots = JsonEncoder("c/{device}", False, around, JsonForm(per_slot=True))
    given = [scan(), press(), scan()]
    for each in given:
        (first,), (second,), (third,) = (subject.messages(each) for subject in (one, two, slots))
        assert first.payload is second.payload, "made once"
        assert (first.topic[0], second.topic[0]) == ("a", "b")
        assert [json.loads(first.payload)] == [
            {name: value for name, value in json.loads(third.payload)[0].items() if name != "device"}
        ]
    del two
    assert one.messages(given[0])[0].payload == first.payload, "of one sink alone nothing is kept for others"
