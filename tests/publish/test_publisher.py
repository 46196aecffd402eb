"""The publisher, against a destination that can do everything a destination does wrong."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from gateway.core.clock import SystemClock
from gateway.core.errors import LinkError, RefusedError, UnreachableError
from gateway.core.live import LiveTable
from gateway.core.record import Record
from gateway.plugin.sink import SinkConfig
from gateway.publish import Publisher, SinkSurroundings, publisher, sink_session
from gateway.status import rendered
from gateway.testing import eventually

from .blocks import GATEWAY, T0_MS, block, device, record
from .far_side import Far, FarSink, swallow, take_all
from .memory_log import MemoryLog

COATER = device({"a": "float64", "b": "bool"})
STATES = {"coater-1": (True, "")}


def numbered(*numbers: int) -> list[Record]:
    return [record(block(COATER, [float(number), 1]), seq=number) for number in numbers]


def ids(*numbers: int) -> list[str]:
    return [f"log1:data:{number}" for number in numbers]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(sink_session, "FLUSH", 0.5)
    monkeypatch.setattr(sink_session, "CLOSE", 0.2)


def build(far: Far, log: MemoryLog, **options: Any) -> Publisher:
    config = SinkConfig.model_validate({"name": "central", "plugin": "far", **options})
    live = LiveTable([COATER])
    live.update(block(COATER, [1.5, 1]), boot_ns=1)
    return Publisher(
        config,
        far.sink_type(),
        log,
        SinkSurroundings(GATEWAY, "0.1.0", SystemClock(), live, lambda: [COATER], STATES.__getitem__),
    )


@contextlib.asynccontextmanager
async def publishing(far: Far, log: MemoryLog, **options: Any) -> AsyncIterator[Publisher]:
    subject = build(far, log, **options)
    running = asyncio.create_task(subject.run())
    try:
        yield subject
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert subject.health.state == "stopped"


async def test_records_arrive_in_order_and_leave_the_outbox_when_acknowledged() -> None:
    far, log = Far(), MemoryLog()
    log.append(*numbered(*range(1, 51)))
    async with publishing(far, log, window=7) as subject:
        await eventually(lambda: len(log.taken) == 50)
        log.append(*numbered(51))
        await eventually(lambda: len(log.taken) == 51)
        assert subject.health.state == "up"
        assert far.sent(0) == list(range(1, 52))
        assert log.taken == ids(*range(1, 52))
        assert log.pending == {"data": 0}


async def test_no_more_than_the_window_is_on_its_way() -> None:
    far, log = Far(swallow), MemoryLog()
    log.append(*numbered(*range(1, 11)))
    async with publishing(far, log, window=4) as subject:
        await eventually(lambda: len(far.sinks[0].sent) == 4 if far.sinks else False)
        far.sink.host.acknowledged(numbered(1))  # not the record that was sent, though it looks so
        await asyncio.sleep(0)
        assert subject.status().open == 4
        far.sink.host.acknowledged([log.out["log1:data:1"], log.out["log1:data:2"]])
        await eventually(lambda: far.sent(0) == [1, 2, 3, 4, 5, 6])
        assert subject.status().open == 4


async def test_what_was_not_acknowledged_when_the_link_is_lost_is_sent_again_under_the_same_ids() -> None:
    far, log = Far(swallow), MemoryLog()
    log.append(*numbered(1, 2, 3, 4, 5))
    async with publishing(far, log) as subject:
        await eventually(lambda: far.sinks and len(far.sink.sent) == 5)
        first = far.sink
        first.host.acknowledged([log.out["log1:data:1"], log.out["log1:data:3"]])
        far.behaviour = take_all
        lost = list(log.out.values())
        first.lose()
        await eventually(lambda: len(log.taken) == 5)
        assert far.sent(1) == [2, 4, 5]
        assert log.taken == ids(1, 3, 2, 4, 5)
        assert first.closed == 1
        first.host.acknowledged(lost)
        first.host.refused(lost[0], "late", True)
        assert len(log.taken) == 5
        assert not log.dead
        assert subject.status().acknowledged_records == 5


async def test_a_record_refused_for_now_is_sent_again_and_the_others_flow_on() -> None:
    log = MemoryLog()
    refusals = iter(range(3))

    def quota(sink: FarSink, records: Sequence[Record]) -> None:
        for each in records:
            if each.seq == 2 and next(refusals, None) is not None:
                sink.host.refused(each, "quota exceeded", False)
            else:
                sink.host.acknowledged([each])

    far = Far(quota)
    log.append(*numbered(1, 2, 3))
    async with publishing(far, log) as subject:
        await eventually(lambda: len(log.taken) == 3)
        assert log.taken == ids(1, 3, 2)
        assert far.sent(0) == [1, 2, 3, 2, 2, 2]
        status = rendered(subject.status())
        assert (status["refused_for_now"], status["last_refusal"]) == (3, "quota exceeded")
        assert len(far.sinks) == 1


@pytest.mark.parametrize("window", [1, 4])
async def test_what_the_far_side_refuses_for_now_leaves_the_window_to_what_it_takes(window: int) -> None:
    def no_even_ones(sink: FarSink, records: Sequence[Record]) -> None:
        for each in records:
            if each.seq % 2:
                sink.host.acknowledged([each])
            else:
                sink.host.refused(each, "not authorised", False)

    far, log = Far(no_even_ones), MemoryLog()
    log.append(*numbered(*range(1, 21)))
    async with publishing(far, log, window=window) as subject:
        await eventually(lambda: sorted(log.taken) == sorted(ids(*range(1, 21, 2))))
        await eventually(lambda: subject.status().refused_for_now >= 10)
        far.behaviour = take_all
        await eventually(lambda: sorted(log.taken) == sorted(ids(*range(1, 21))))


async def test_a_record_refused_for_good_is_set_aside_with_the_reason() -> None:
    def too_large(sink: FarSink, records: Sequence[Record]) -> None:
        for each in records:
            if each.seq == 2:
                sink.host.refused(each, "packet too large", True)
            else:
                sink.host.acknowledged([each])

    far, log = Far(too_large), MemoryLog()
    log.append(*numbered(1, 2, 3))
    async with publishing(far, log) as subject:
        await eventually(lambda: not any(log.pending.values()))
        assert log.taken == ids(1, 3)
        assert log.dead == {"log1:data:2": "packet too large"}
        assert subject.status().refused_for_good == 1


async def test_a_link_that_swallows_everything_is_named_torn_down_and_dialled_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 1.0)  # long enough to be seen as down, however busy the machine is
    far, log = Far(swallow), MemoryLog()
    log.append(*numbered(1, 2))
    async with publishing(far, log, ack_timeout="100ms") as subject:
        await eventually(lambda: subject.health.state == "down")
        assert "no acknowledgement for 0.1 s with 2 records on the way" in subject.health.reason
        far.behaviour = take_all
        await eventually(lambda: len(log.taken) == 2)
        assert far.sinks[0].closed == 1
        assert far.sinks[-1].sent == [1, 2]


async def test_a_link_without_traffic_is_left_alone() -> None:
    far, log = Far(), MemoryLog()
    async with publishing(far, log, ack_timeout="20ms"):
        await eventually(lambda: far.sinks)
        await asyncio.sleep(0.2)
        assert len(far.sinks) == 1


async def test_a_destination_that_refuses_is_dialled_again_and_the_reason_is_shown() -> None:
    far, log = Far(), MemoryLog()
    far.refuse_connections = RefusedError("wrong password for user gw1")
    log.append(*numbered(1))
    async with publishing(far, log) as subject:
        await eventually(lambda: len(far.sinks) >= 3)
        assert (subject.health.state, subject.health.reason) == ("down", "wrong password for user gw1")
        assert subject.status().promise == {}
        far.refuse_connections = None
        await eventually(lambda: log.taken)
        assert [sink.closed for sink in far.sinks[:-1]] == [0] * (len(far.sinks) - 1)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that would grow beyond the time of any test, but for where they must not."""
    for name, seconds in (("FIRST_PAUSE", 0.01), ("LISTENED_FOR", 0.02), ("LONGEST_PAUSE", 10_000.0)):
        monkeypatch.setattr(publisher, name, seconds)


@pytest.mark.usefixtures("patient")
async def test_where_nothing_listens_is_knocked_often() -> None:
    far, log = Far(), MemoryLog()
    far.refuse_connections = UnreachableError("nothing listens there")
    async with publishing(far, log):
        await eventually(lambda: len(far.sinks) >= 30)


@pytest.mark.usefixtures("patient")
async def test_a_proxy_in_front_of_nothing_is_knocked_often_where_it_was_connected_before() -> None:
    far, log = Far(), MemoryLog()
    async with publishing(far, log):
        await eventually(lambda: far.sinks)
        far.refuse_connections = LinkError("closed the connection without an answer")
        far.sink.lose()
        await eventually(lambda: len(far.sinks) >= 30)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("before", [True, False], ids=["connected before", "never connected"])
async def test_who_says_no_is_asked_ever_more_seldom(before: bool) -> None:
    far, log = Far(), MemoryLog()
    if not before:
        far.refuse_connections = LinkError("closed the connection without an answer")
    async with publishing(far, log) as subject:
        await eventually(lambda: far.sinks)
        if before:
            far.refuse_connections = RefusedError("wrong password")
            far.sink.lose()
        await eventually(lambda: (subject.status().next_attempt_s or 0) > 0.2)


async def test_connecting_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_session, "CONNECT", 0.05)
    far = Far()
    far.hang = True
    async with publishing(far, MemoryLog()) as subject:
        await eventually(lambda: subject.health.state == "down")
        assert subject.health.reason == "no connection within 0.05 s"


async def test_a_bug_of_the_sink_is_shown_as_such_and_the_next_object_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 1.0)  # long enough to be seen before a record is given up

    def buggy(sink: FarSink, records: Sequence[Record]) -> None:
        raise KeyError("forgotten")

    far, log = Far(buggy), MemoryLog()
    log.append(*numbered(1, 2))
    async with publishing(far, log) as subject:
        await eventually(lambda: subject.health.state == "faulted")
        assert "KeyError" in subject.health.reason
        far.behaviour = take_all
        await eventually(lambda: len(log.taken) == 2)
        assert subject.health.state == "up"
        assert not log.dead
    assert all(sink.closed == 1 for sink in far.sinks)


@pytest.mark.timeout(120)
async def test_a_record_that_breaks_the_sink_does_not_hold_up_the_others() -> None:
    def allergic(sink: FarSink, records: Sequence[Record]) -> None:
        for each in records:
            if each.seq == 3:
                raise ValueError("cannot encode")
        take_all(sink, records)

    far, log = Far(allergic), MemoryLog()
    log.append(*numbered(1, 2, 3, 4, 5, 6, 7))
    async with publishing(far, log):
        await eventually(
            lambda: not any(log.pending.values()), 60
        )  # each break writes a traceback, which takes its time
        assert log.taken == ids(1, 2, 4, 5, 6, 7)
        assert list(log.dead) == ids(3)
        assert "breaks on this record" in log.dead["log1:data:3"]
        log.append(*numbered(8, 9))
        await eventually(lambda: len(log.taken) == 8)


async def test_a_link_that_is_lost_in_the_middle_of_sending_accuses_no_record() -> None:
    def dead_link(sink: FarSink, records: Sequence[Record]) -> None:
        raise LinkError("gone")

    far, log = Far(dead_link), MemoryLog()
    log.append(*numbered(1, 2, 3))
    async with publishing(far, log):
        await eventually(lambda: len(far.sinks) > 6)
        far.behaviour = take_all
        await eventually(lambda: len(log.taken) == 3)
        assert not log.dead
        assert far.sink.sent == [1, 2, 3]


async def test_a_stop_waits_for_the_acknowledgement_of_what_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_session, "FLUSH", 20)

    def later(sink: FarSink, records: Sequence[Record]) -> None:
        asyncio.get_running_loop().call_later(0.1, sink.host.acknowledged, list(records))

    far, log = Far(later), MemoryLog()
    async with publishing(far, log, window=2):
        await eventually(lambda: far.sinks)
        log.append(*numbered(1, 2, 3))
    assert log.taken == ids(1, 2, 3)
    assert far.sink.closed == 1


async def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_session, "FLUSH", 0.05)
    far, log = Far(swallow), MemoryLog()
    log.append(*numbered(1))
    async with publishing(far, log):
        await eventually(lambda: log.out)
    assert log.pending == {"data": 2}
    assert not log.out, "rewound, so that the next start sends it"


async def test_a_sink_that_fails_to_close_stops_neither_the_loop_nor_the_stop() -> None:
    far, log = Far(), MemoryLog()
    far.close_error = RuntimeError("cannot close")
    async with publishing(far, log):
        await eventually(lambda: far.sinks)
        far.sink.lose()
        await eventually(lambda: len(far.sinks) == 2)
        log.append(*numbered(1))
        await eventually(lambda: log.taken)


async def test_devices_are_told_before_any_record_and_when_they_change() -> None:
    far, log = Far(), MemoryLog()
    log.append(*numbered(1))
    async with publishing(far, log) as subject:
        await eventually(lambda: log.taken)
        assert far.sink.story == ["device coater-1", "record 1"]
        subject.device_changed(COATER, False, "no answer")
        log.append(*numbered(2))
        await eventually(lambda: len(log.taken) == 2)
        assert far.sink.story[2:] == ["device coater-1", "record 2"]
        assert far.sink.told == [("coater-1", True, ""), ("coater-1", False, "no answer")]
        subject.device_changed(COATER, True, "")
        await eventually(lambda: len(far.sink.told) == 3)


async def test_a_change_while_records_are_being_fetched_is_told_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    far, log = Far(), MemoryLog()
    async with publishing(far, log) as subject:
        await eventually(lambda: far.sinks and far.sink.told)
        fetch = log.take

        async def take(limit: int, **options: Any) -> Sequence[Record]:
            records = await fetch(limit, **options)
            subject.device_changed(COATER, False, "no answer")
            return records

        monkeypatch.setattr(log, "take", take)
        log.append(*numbered(1))
        await eventually(lambda: log.taken)
        assert far.sink.story == ["device coater-1", "device coater-1", "record 1"]


async def test_a_change_without_a_connection_is_asked_for_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    far, log = Far(), MemoryLog()
    far.refuse_connections = LinkError("closed for the night")
    async with publishing(far, log) as subject:
        await eventually(lambda: subject.health.state == "down")
        subject.device_changed(COATER, False, "no answer")
        monkeypatch.setitem(STATES, "coater-1", (False, "unplugged since"))
        far.refuse_connections = None
        await eventually(lambda: far.sink.told)
        assert far.sink.told == [("coater-1", False, "unplugged since")]


async def test_a_sink_that_breaks_on_a_device_breaks_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    far, log = Far(), MemoryLog()
    async with publishing(far, log) as subject:
        await eventually(lambda: far.sinks and far.sink.told)
        monkeypatch.setattr(far.sink, "device_changed", None)
        subject.device_changed(COATER, False, "no answer")
        await eventually(lambda: len(far.sinks) == 2)
        assert far.sinks[0].closed == 1


async def test_the_host_gives_a_sink_what_it_may_know() -> None:
    far, log = Far(), MemoryLog()
    async with publishing(far, log):
        await eventually(lambda: far.sinks)
        host = far.sink.host
        assert (host.gateway, host.version, host.context.site) == ("gw1", "0.1.0", "north")
        assert host.devices() == [COATER]
        assert host.device_state("coater-1") == (True, "")
        assert host.snapshot("coater-1").value.tolist() == [1.5, 1]
        (message,) = host.encoder("{device}", False).messages(numbered(1)[0])
        assert json.loads(message.payload)["ts"] == T0_MS


async def test_status_tells_what_is_on_its_way_and_how_old_it_is() -> None:
    far, log = Far(), MemoryLog()
    log.append(*numbered(1, 2))
    begun = time.monotonic()
    async with publishing(far, log, window=5) as subject:
        before = rendered(subject.status())
        assert (before["state"], before["open"], before["last_acknowledged_s"]) == ("starting", 0, None)
        await eventually(lambda: len(log.taken) == 2)
        far.behaviour = swallow
        log.append(*numbered(3))
        await eventually(lambda: log.out)
        status = rendered(subject.status())
        assert (status["name"], status["plugin"], status["state"]) == ("central", "far", "up")
        assert (status["window"], status["open"]) == (5, 1)
        assert (status["acknowledged_records"], status["acknowledged_readings"]) == (2, 4)
        passed = time.monotonic() - begun + 0.1
        assert 0 <= status["oldest_open_s"] < passed
        assert 0 <= status["last_acknowledged_s"] < passed
        assert status["outbox"] == {"pending": {"data": 2}}
        json.dumps(status)


async def test_a_sink_sees_only_devices_and_tags_that_are_meant_for_it() -> None:
    far, log = Far(), MemoryLog()
    name = COATER.tags[1].name
    async with publishing(far, log, without={"tags": [COATER.tags[0].name]}) as subject:
        await eventually(lambda: far.sinks and far.sink.told)
        (seen,) = far.sink.host.devices()
        assert [tag.name for tag in seen.tags] == [name]
        assert far.sink.host.snapshot(COATER.name).value.tolist() == [1.0]
        subject.device_changed(COATER, False, "gone")
        await eventually(lambda: far.sink.told[-1] == (COATER.name, False, "gone"))
    other = build(Far(), log, only={"devices": ["press-*"]})
    other.device_changed(COATER, False, "gone")
    assert other._missed == {}
