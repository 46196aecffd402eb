"""A far side that refuses, each time in another way: nothing of it holds up the rest, and nothing is lost."""

from collections.abc import Sequence

import pytest

from gateway.core.errors import LinkError
from gateway.core.record import Record
from gateway.publish.quarantine import AT_MOST, ENDS, QUICK, TRIALS, Poison
from gateway.testing import eventually

from .blocks import block, device, record
from .far_side import Far, FarSink, take_all
from .memory_log import MemoryLog
from .test_publisher import _impatient, ids, numbered, publishing  # noqa: F401 - a fixture among them


def ends_over(*poisonous: int) -> Far:
    """A far side that takes what comes before a poisonous record, then ends the connection."""

    def behaviour(sink: FarSink, records: Sequence[Record]) -> None:
        for each in records:
            if sink.cut.done():
                return
            if each.seq in poisonous:
                sink.lose(LinkError("closed without a reason"))
                return
            sink.host.acknowledged([each])

    return Far(behaviour)


@pytest.mark.timeout(60)
async def test_a_record_over_which_the_link_ends_each_time_is_found_and_the_rest_arrives() -> None:
    far, log = ends_over(3), MemoryLog()
    log.append(*numbered(*range(1, 11)))
    async with publishing(far, log, window=5) as subject:
        await eventually(lambda: not any(log.pending.values()), 30)
        assert sorted(log.taken) == sorted(ids(1, 2, *range(4, 11)))
        assert list(log.dead) == ids(3)
        assert "the far side ends the connection over records of device coater-1" in log.dead["log1:data:3"]
        assert len(far.sinks) >= ENDS + TRIALS
        assert subject.status().refused_for_good == 1


@pytest.mark.timeout(60)
async def test_two_such_records_side_by_side_do_not_hide_each_other() -> None:
    far, log = ends_over(3, 4), MemoryLog()
    records = numbered(*range(1, 11))
    log.append(*records)
    async with publishing(far, log, window=5):
        await eventually(lambda: {"log1:data:3", "log1:data:4"} <= set(log.dead), 30)
        await eventually(lambda: not any(log.pending.values()), 30)
    assert not set(log.taken) & set(log.dead)


@pytest.mark.timeout(60)
async def test_a_bad_link_makes_no_record_look_bad() -> None:
    """It ends over whatever comes first, again and again; later it works."""
    rounds = iter(range(12))

    def flapping(sink: FarSink, records: Sequence[Record]) -> None:
        if next(rounds, None) is not None:
            sink.lose(LinkError("reset"))
        else:
            take_all(sink, records)

    far, log = Far(flapping), MemoryLog()
    log.append(*numbered(*range(1, 11)))
    async with publishing(far, log, window=5):
        await eventually(lambda: len(log.taken) == 10, 30)
    assert not log.dead
    assert len(far.sinks) == 13


@pytest.mark.timeout(60)
async def test_the_only_record_there_is_is_sent_on_and_never_given_up() -> None:
    far, log = ends_over(1), MemoryLog()
    log.append(*numbered(1))
    async with publishing(far, log):
        await eventually(lambda: len(far.sinks) > ENDS + 3 * TRIALS, 30)
        assert not log.dead, "no other record has shown that the link is good"
        log.append(*numbered(*range(2, 2 + TRIALS)))
        await eventually(lambda: list(log.dead) == ids(1), 30)
        assert log.taken == ids(*range(2, 2 + TRIALS))


def test_too_many_in_doubt_mean_a_bad_link() -> None:
    poison = Poison()
    for each in numbered(*[1] * ENDS, *range(2, AT_MOST + 1)):
        poison.link_lost([each])
    assert poison.careful
    poison.link_lost(numbered(AT_MOST + 1))
    assert not poison.careful


def test_a_record_is_doubted_though_answers_to_those_before_it_are_lost_with_the_link() -> None:
    poison = Poison()
    for first in range(ENDS):
        assert not poison.careful
        poison.link_lost(numbered(*range(first, 10)))
    (doubted, *others) = numbered(*range(ENDS - 1, 10))
    assert poison.doubts(doubted)
    assert not any(poison.doubts(other) for other in others)


def test_a_search_connects_quickly_and_one_that_finds_nothing_does_so_only_so_often() -> None:
    poison, (bad,) = Poison(), numbered(1)
    for _ in range(ENDS):
        assert not poison.in_a_hurry
        poison.new_connection()
        poison.link_lost([bad])
    assert poison.in_a_hurry
    for _ in range(QUICK):
        assert poison.in_a_hurry
        poison.new_connection()
    assert poison.careful and not poison.in_a_hurry


def test_a_connection_that_brought_records_through_is_followed_quickly_but_not_for_ever() -> None:
    poison, (one,) = Poison(), numbered(1)
    hurried = 0
    for _ in range(10 * QUICK):
        poison.new_connection()
        poison.acknowledged([one])
        hurried += poison.in_a_hurry
    assert QUICK <= hurried < 6 * QUICK, "beyond that every other one"
    poison.new_connection()
    assert not poison.in_a_hurry, "this one has brought nothing yet"


def test_records_like_a_convicted_one_are_set_aside_for_some_minutes() -> None:
    poison = Poison()
    bad, like = numbered(1, 2)
    other = record(block(device({"b": "bool"}, "other"), [1]), seq=3)
    for _ in range(ENDS):
        poison.link_lost([bad])
    for _ in range(TRIALS):
        poison.new_connection()
        poison.acknowledged([other])
        poison.link_lost([bad])
    assert poison.hopeless([other, bad], 0) == [bad]
    poison.set_aside(bad, 0)
    assert not poison.careful
    assert poison.hopeless([like], 1) == [like]
    assert poison.hopeless([like], 601 * 10**9) == []
    like.rows = bad.rows - 1
    assert poison.hopeless([like], 1) == []
