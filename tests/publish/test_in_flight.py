"""Bookkeeping of what is on its way: pure, so exhaustively."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.publish.in_flight import OVERTAKEN, QUIET_LOOKS, InFlight

from .blocks import record

A, B, C, D = (record(seq=number) for number in range(4))


def test_room_is_what_is_not_on_its_way() -> None:
    window = InFlight(3)
    window.handed_over([A, B, C], 1)
    assert window.room == 0
    assert window.refused(A)
    assert window.room == 1
    assert window.acknowledged([C]) == [C]
    assert window.room == 2


def test_only_the_first_answer_counts() -> None:
    window = InFlight(3)
    window.handed_over([A], 1)
    assert window.acknowledged([A, B]) == [A]
    assert window.acknowledged([A]) == []
    assert not window.refused(A)


def test_silence_is_seen_after_enough_looks_and_not_before() -> None:
    window = InFlight(3)
    for _ in range(20):
        assert not window.look(10)
    window.handed_over([A, B], 1)
    assert [bool(window.look(10)) for _ in range(QUIET_LOOKS)] == [False] * (QUIET_LOOKS - 1) + [True]
    window.acknowledged([A])
    assert [bool(window.look(10)) for _ in range(QUIET_LOOKS)] == [False] * QUIET_LOOKS
    assert (
        window.look(10)
        == "no acknowledgement for 10 s with 1 record on the way: the link or its far end swallows packets"
    )


def test_a_refusal_is_a_sign_of_life_also_for_what_is_still_on_the_way() -> None:
    window = InFlight(3)
    window.handed_over([A, B], 1)
    assert not any(window.look(10) for _ in range(QUIET_LOOKS - 1))
    window.refused(A)
    assert [bool(window.look(10)) for _ in range(QUIET_LOOKS + 1)] == [False] * QUIET_LOOKS + [True]


def test_refusals_alone_are_a_sign_of_life() -> None:
    window = InFlight(3)
    for _ in range(4 * QUIET_LOOKS):
        window.handed_over([A], 1)
        window.refused(A)
        assert not window.look(10)


def test_a_record_that_is_overtaken_for_ever_is_noticed() -> None:
    window = InFlight(2)
    window.handed_over([A], 1)
    for _ in range(2 * OVERTAKEN):
        assert not window.look(10)
        window.handed_over([B], 1)
        window.acknowledged([B])
    window.handed_over([C], 1)
    window.acknowledged([C])
    assert window.look(10) == f"record {A.id} was never acknowledged, while later ones were"


def test_the_oldest_is_the_first_handed_over_that_has_no_answer() -> None:
    window = InFlight(9)
    assert window.oldest_ns is None
    window.handed_over([A], 1)
    window.handed_over([B], 2)
    window.acknowledged([A])
    assert window.oldest_ns == 2


@given(st.lists(st.sampled_from(["hand", "take", "refuse"])))
def test_every_record_is_always_in_exactly_one_place(steps: list[str]) -> None:
    window, size = InFlight(5), 5
    out, done, made = [], 0, 0
    for step in steps:
        if step == "hand" and window.room:
            out.append(record(seq=made))
            made += 1
            window.handed_over(out[-1:], made)
        elif step in ("take", "refuse") and out:
            assert window.acknowledged([out[-1]]) if step == "take" else window.refused(out[-1])
            out.pop()
            done += 1
        assert len(window) == len(out)
        assert window.room == size - len(out)
        assert made == len(out) + done
