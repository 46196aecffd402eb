"""A far side that refuses, each time in another way: nothing of it holds up the rest, and nothing is lost."""

from collections.abc import Sequence

import pytest

from gateway.core.errors import LinkError
from gateway.core.record import Record
from gateway.publish.quarantine import AT_MOST, BREAKS, ENDS, QUICK, TRIALS, Quarantine
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
    quarantine = Quarantine()
    for each in numbered(*[1] * ENDS, *range(2, AT_MOST + 1)):
        quarantine.link_lost([each])
    assert quarantine.careful
    quarantine.link_lost(numbered(AT_MOST + 1))
    assert not quarantine.careful


def test_a_record_is_doubted_though_answers_to_those_before_it_are_lost_with_the_link() -> None:
    quarantine = Quarantine()
    for first in range(ENDS):
        assert not quarantine.careful
        quarantine.link_lost(numbered(*range(first, 10)))
    (doubted, *others) = numbered(*range(ENDS - 1, 10))
    assert quarantine.doubts(doubted)
    assert not any(quarantine.doubts(other) for other in others)


def test_a_search_connects_quickly_and_one_that_finds_nothing_does_so_only_so_often() -> None:
    quarantine, (bad,) = Quarantine(), numbered(1)
    for _ in range(ENDS):
        assert not quarantine.in_a_hurry
        quarantine.new_session()
        quarantine.link_lost([bad])
    assert quarantine.in_a_hurry
    for _ in range(QUICK):
        assert quarantine.in_a_hurry
        quarantine.new_session()
    assert quarantine.careful and not quarantine.in_a_hurry


def test_a_connection_that_brought_records_through_is_followed_quickly_but_not_for_ever() -> None:
    quarantine, (one,) = Quarantine(), numbered(1)
    hurried = 0
    for _ in range(10 * QUICK):
        quarantine.new_session()
        quarantine.acknowledged([one])
        hurried += quarantine.in_a_hurry
    assert QUICK <= hurried < 6 * QUICK, "beyond that every other one"
    quarantine.new_session()
    assert not quarantine.in_a_hurry, "this one has brought nothing yet"


def test_records_like_a_convicted_one_are_set_aside_for_some_minutes() -> None:
    quarantine = Quarantine()
    bad, like = numbered(1, 2)
    other = record(block(device({"b": "bool"}, "other"), [1]), seq=3)
    for _ in range(ENDS):
        quarantine.link_lost([bad])
    for _ in range(TRIALS):
        quarantine.new_session()
        quarantine.acknowledged([other])
        quarantine.link_lost([bad])
    ((found, why),) = quarantine.condemned([other, bad], 0)
    assert found is bad
    assert why.startswith("the far side ends the connection over records of device coater-1")
    assert not quarantine.careful
    assert [each for each, _ in quarantine.condemned([like], 1)] == [like]
    assert quarantine.condemned([like], 601 * 10**9) == []
    like.rows = bad.rows - 1
    assert quarantine.condemned([like], 1) == []


def test_after_a_break_records_go_alone_until_those_that_were_held_are_through() -> None:
    quarantine, held = Quarantine(), numbered(1, 2, 3)
    quarantine.handing_over(held)
    quarantine.new_session()
    for each in held:
        assert quarantine.at_once(100) == 1
        quarantine.handing_over([each])
        quarantine.survived()
    assert quarantine.at_once(100) == 100


def test_only_a_record_that_breaks_the_sink_alone_is_set_aside() -> None:
    quarantine, (bad, good) = Quarantine(), numbered(1, 2)
    for _ in range(TRIALS):
        quarantine.handing_over([bad, good])
        quarantine.new_session()
    assert not quarantine.condemned([bad, good], 0)
    for _ in range(TRIALS):
        assert not quarantine.condemned([bad], 0)
        quarantine.handing_over([bad])
        quarantine.new_session()
    assert quarantine.condemned([good, bad], 0) == [(bad, BREAKS)]
    assert not quarantine.condemned([bad], 0), "it is forgotten with that"
    assert not quarantine.careful, "a bug of the plugin says nothing of the link"


def test_a_record_that_was_survived_begins_anew() -> None:
    quarantine, (each,) = Quarantine(), numbered(1)
    for _ in range(TRIALS - 1):
        quarantine.handing_over([each])
        quarantine.new_session()
    quarantine.handing_over([each])
    quarantine.survived()
    quarantine.handing_over([each])
    quarantine.new_session()
    assert not quarantine.condemned([each], 0)


def searching(bad: Record) -> Quarantine:
    """A search in which this record is in doubt, at the begin of a session."""
    quarantine = Quarantine()
    for _ in range(ENDS):
        quarantine.link_lost([bad])
    quarantine.new_session()
    return quarantine


def test_a_record_in_doubt_is_put_by_until_another_was_taken() -> None:
    bad, good = numbered(1, 2)
    quarantine = searching(bad)
    assert quarantine.careful
    assert quarantine.next_put_by() is None
    assert list(quarantine.may_go([bad], 5)) == []
    assert quarantine.holds
    assert list(quarantine.may_go([good], 5)) == [good], "what is under no doubt goes"
    assert quarantine.next_put_by() is None, "it was not answered yet"
    quarantine.acknowledged([good])
    assert quarantine.next_put_by() is bad
    assert not quarantine.holds


def test_a_record_in_doubt_goes_when_there_is_no_other_and_one_that_ended_nothing_yet_goes_first() -> None:
    bad, like = numbered(1, 2)
    quarantine = searching(bad)
    other = numbered(3)[0]
    for each in (bad, other):  # two records of one device under suspicion make all of it doubtful
        quarantine.link_lost([each])
        quarantine.new_session()
    for each in (bad, like):
        assert list(quarantine.may_go([each], 5)) == []
    assert list(quarantine.may_go([], 5)) == [like]
    assert list(quarantine.may_go([], 5)) == [bad]
    assert list(quarantine.may_go([], 5)) == []


def test_no_more_is_put_by_than_may_be_and_a_new_session_takes_all_from_the_outbox_again() -> None:
    bad, other, like = numbered(1, 2, 3)
    quarantine = searching(bad)
    for each in (bad, other):
        quarantine.link_lost([each])
        quarantine.new_session()
    assert list(quarantine.may_go([bad], 1)) == []
    assert list(quarantine.may_go([like], 1)) == [like]
    quarantine.new_session()
    assert not quarantine.holds


def test_an_end_counts_against_a_record_only_after_another_was_taken_on_that_connection() -> None:
    bad, other = numbered(1)[0], record(block(device({"b": "bool"}, "other"), [1]), seq=2)
    quarantine = searching(bad)
    for _ in range(3 * TRIALS):
        quarantine.link_lost([bad])
        quarantine.new_session()
    assert not quarantine.condemned([bad], 0), "a bad link explains it"
    for strikes in range(TRIALS):
        assert not quarantine.condemned([bad], 0), strikes
        quarantine.acknowledged([other])
        quarantine.link_lost([bad])
        quarantine.new_session()
    assert [each for each, _ in quarantine.condemned([bad], 0)] == [bad]


def test_one_that_is_taken_clears_itself_and_what_is_like_it() -> None:
    bad, other = numbered(1)[0], record(block(device({"b": "bool"}, "other"), [1]), seq=2)
    quarantine = searching(bad)
    for _ in range(TRIALS - 1):
        quarantine.acknowledged([other])
        quarantine.link_lost([bad])
        quarantine.new_session()
    assert quarantine.suspect == bad.about
    quarantine.acknowledged([bad])
    assert quarantine.suspect == ""
    quarantine.acknowledged([other])
    quarantine.link_lost([bad])
    assert not quarantine.condemned([bad], 0)
