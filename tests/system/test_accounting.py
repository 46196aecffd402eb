"""The judges of the system tests find each kind of wrong that they are there for."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.peers.broker import Received
from tests.peers.proxy import Answer

from . import accounting
from .accounting import MS, Fault, History, Pause, Record

SECOND = 1000 * MS
START = 1_800_000_000 * SECOND


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Counters 1 to 20, a new one each second."""
    file = tmp_path / "log"
    file.write_text("".join(f"{n} {START + n * SECOND}\n" for n in range(1, 21)))
    return History(file)


def message(seq: int, counter: int, *, lane: str = "data", topic: str = "plant/d", **more: Any) -> Received:
    """The reading of a counter, taken half a second after it was new."""
    body = {"ts": (START + counter * SECOND) // MS + 500, "values": {"a": counter}, "id": f"log:{lane}:{seq}", **more}
    return Received(topic, json.dumps(body), False)


def judged(*messages: Received) -> list[Record]:
    return list(accounting.records(messages).values())


def counter_of(tag: str, value: Any) -> float:
    return float(value)


def answers() -> list[tuple[int, int]]:
    return [(START + n * SECOND + 500 * MS, n) for n in range(1, 21)]


def test_repeats_count_once_and_two_contents_of_one_id_are_found() -> None:
    assert len(judged(message(1, 1), message(1, 1, historical=True))) == 1
    with pytest.raises(AssertionError, match="two contents"):
        judged(message(1, 1), message(1, 2))


def test_a_hole_is_found_unless_a_skip_names_it() -> None:
    skip = Received("plant/gw/_skip", '{"id": "log:alarm:1", "lane": "data", "ranges": [[2, 4]]}', False)
    with pytest.raises(AssertionError, match="nobody names"):
        accounting.every_hole_is_named(accounting.records([message(1, 1), message(5, 2)]))
    assert accounting.every_hole_is_named(accounting.records([message(1, 1), message(5, 2), skip])) == {"data": 1}
    with pytest.raises(AssertionError, match="were used"):
        accounting.every_hole_is_named(accounting.records([message(1, 1), message(3, 2), message(5, 2), skip]))


def test_a_source_time_that_goes_back_is_found() -> None:
    accounting.times_never_go_back(judged(message(2, 5), message(1, 4)))
    with pytest.raises(AssertionError, match="went back"):
        accounting.times_never_go_back(judged(message(1, 5), message(2, 4)))


def test_an_invented_value_and_one_of_another_time_are_found(history: History) -> None:
    assert accounting.nothing_invented(judged(message(1, 5)), "d", history, counter_of) == {5}
    with pytest.raises(AssertionError, match="never had"):
        accounting.nothing_invented(judged(message(1, 99)), "d", history, counter_of)
    with pytest.raises(AssertionError, match="another one"):
        accounting.nothing_invented(judged(message(1, 5, values={"a": 6})), "d", history, counter_of)


def test_a_missing_value_needs_a_pause_or_a_fault_of_the_device(history: History) -> None:
    silent = judged(message(1, 5, values={"a": None}), message(2, 6))
    with pytest.raises(AssertionError, match="had answered"):
        accounting.nothing_invented(silent, "d", history, counter_of)
    pause = Pause(frozenset({"d"}), START + 5 * SECOND, START + 6 * SECOND)
    assert accounting.nothing_invented(silent, "d", history, counter_of, [pause]) == {6}
    frozen = Fault(frozenset({"d"}), START + 5 * SECOND, START + 6 * SECOND, START + 6 * SECOND, 0)
    assert accounting.nothing_invented(silent, "d", history, counter_of, (), [frozen]) == {6}


def test_a_value_that_was_answered_and_never_arrived_is_found(history: History) -> None:
    arrived = set(range(1, 20)) - {7}
    end = START + 20 * SECOND
    with pytest.raises(AssertionError, match=r"never arrived: \[7\]"):
        accounting.account("d", history, answers(), arrived, [], end)
    outage = Fault(frozenset({"d"}), START + 14 * SECOND, START + 15 * SECOND, START + 16 * SECOND, 0)
    with pytest.raises(AssertionError, match=r"never arrived: \[7\]"):
        accounting.account("d", history, answers(), arrived, [outage], end)


def test_a_value_that_was_not_read_needs_a_fault_that_explains_it(history: History) -> None:
    unread = [(at, counter) for at, counter in answers() if counter != 7]
    arrived, end = set(range(1, 20)) - {7}, START + 20 * SECOND
    with pytest.raises(AssertionError, match="nothing was broken"):
        accounting.account("d", history, unread, arrived, [], end)
    outage = Fault(frozenset({"d"}), START + 7 * SECOND, START + 8 * SECOND, START + 8 * SECOND, 0)
    assert accounting.account("d", history, unread, arrived, [outage], end) == (18, 17, 1, 0)


def test_a_gap_of_a_subscription_away_from_any_fault_is_found(history: History) -> None:
    arrived, end = set(range(1, 21)) - {7}, START + 20 * SECOND
    with pytest.raises(AssertionError, match="session lived"):
        accounting.gaps_only_at_faults("d", history, arrived, [], end)


def test_a_value_that_was_not_read_while_the_machine_stood_still_is_explained_and_one_that_was_answered_is_not(
    history: History,
) -> None:
    unread = [(at, counter) for at, counter in answers() if counter != 7]
    arrived, end = set(range(1, 20)) - {7}, START + 20 * SECOND
    pause = Pause(frozenset({"d"}), START + 7 * SECOND, START + 7 * SECOND + 300 * MS)
    assert accounting.account("d", history, unread, arrived, [], end, [pause]) == (18, 17, 1, 0)
    with pytest.raises(AssertionError, match=r"never arrived: \[7\]"):
        accounting.account("d", history, answers(), arrived, [], end, [pause])
    with pytest.raises(AssertionError, match="nothing was broken"):
        accounting.account("d", history, unread, arrived, [], end, [pause._replace(parts=frozenset({"other"}))])
    assert accounting.gaps_only_at_faults("d", history, arrived, [], START + 19 * SECOND, [pause]) == 1


def test_counters_are_found_in_the_answers_of_a_modbus_server() -> None:
    read_floats = bytes.fromhex("0001 0000 0007 01 03 04") + struct.pack(">f", 41)
    read_count = bytes.fromhex("0002 0000 0007 01 04 04") + struct.pack(">I", 42)
    assert list(accounting.counters(read_floats + read_count)) == [41, 42]


def test_a_device_that_takes_its_time_has_paused() -> None:
    (pause,) = accounting.slow_answers("d", [Answer(1, 2, b""), Answer(START, START + SECOND, b"")])
    assert pause == (frozenset({"d"}), START, START + SECOND)


def test_a_device_whose_values_come_late_has_paused(history: History) -> None:
    assert not list(accounting.slow_changes("d", history, SECOND))
    del history.since[7]
    (pause,) = accounting.slow_changes("d", history, SECOND)
    assert pause == (frozenset({"d"}), START + 6 * SECOND, START + 8 * SECOND)
