"""Judges what arrived at a broker by what the devices had, from the messages and the devices' own logs alone.

Each function asserts one sentence of the guarantee. Times are wall clock, ns.
"""

import json
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from tests.peers.broker import Received
from tests.peers.proxy import Answer

MS = 1_000_000
ACCEPTED_WITHIN = 250 * MS
"""After the poll; what was read later than this before a kill -9 may be gone."""
UNDER_WAY = 150 * MS
"""An answer that passed the proxy so shortly before or after a fault may not have got through."""
LATE = 500 * MS
"""From a change in the device to its reading (a scan, or a notification, and some delay), at most; but for pauses."""
PAUSE = 200 * MS
"""Waiting for longer than this is the machine's, or the device's, and not the gateway's."""
GIVEN_UP = 900 * MS
"""After a pause as long as this a connection may have been given up, and is dialled again within `DIALLED`."""
DIALLED = 5000 * MS


class Fault(NamedTuple):
    """Something was broken on purpose."""

    parts: frozenset[str]
    """Names of the devices that could not be read."""
    begin: int
    end: int
    """When it was mended."""
    up: int
    """When the gateway said that it reads these devices again."""
    unaccepted: int
    """How long before `begin` an answer may have come that was not accepted."""

    def explains(self, device: str, begin: int, end: int) -> bool:
        """Whether the device need not have been read between these times."""
        return device in self.parts and begin <= self.up + LATE and end >= self.begin - self.unaccepted - LATE

    def disturbs(self, device: str, at: int) -> bool:
        """Whether an answer at this time may not have got through."""
        return device in self.parts and self.begin - self.unaccepted <= at <= self.end + UNDER_WAY


class Pause(NamedTuple):
    """For so long the machine that tests and plays the devices stood still, or the device did not answer."""

    parts: frozenset[str]
    begin: int
    end: int

    def explains(self, device: str, begin: int, end: int) -> bool:
        """Whether the device need not have been read between these times, or was read as late as that."""
        over = self.end + (DIALLED if self.end - self.begin >= GIVEN_UP else 0)
        return device in self.parts and begin <= over + LATE and end >= self.begin - LATE


class Record(NamedTuple):
    """One message that has an id."""

    topic: str
    log: str
    lane: str
    seq: int
    part: int
    body: Mapping[str, Any]

    @property
    def device(self) -> str:
        return self.topic.rpartition("/")[2]

    def readings(self) -> Iterable[tuple[str, Any, int]]:
        """Tag, value, source time (ns)."""
        times = self.body.get("t", {})
        for tag, value in self.body["values"].items():
            yield tag, value, times.get(tag, self.body["ts"]) * MS


class History:
    """What a device had, and since when: the log of its counter, a line "counter time" each."""

    def __init__(self, file: Path, unit: int = 1) -> None:
        lines = [line.split() for line in file.read_text().splitlines()]
        self.since = {int(counter): int(at) * unit for counter, at in lines}

    def until(self, counter: int) -> int:
        """When the counter became another one; far in the future for the last."""
        return self.since.get(counter + 1, 2**62)


def counters(block: bytes) -> Iterable[int]:
    """The counter in each answer of a Modbus server to a read that begins with it: float32 in holding registers, uint32 in
    input registers."""
    while block:
        size, function = struct.unpack_from(">4xHxB", block)
        (value,) = struct.unpack_from(">f" if function == 3 else ">I", block, 9)
        assert value == int(value), "this read does not begin with the counter"
        yield int(value)
        block = block[6 + size :]


def slow_answers(name: str, answers: Iterable[Answer]) -> Iterable[Pause]:
    """Where the device itself took its time."""
    for each in answers:
        if each.at - each.asked > PAUSE:
            yield Pause(frozenset({name}), each.asked, each.at)


def slow_changes(name: str, history: History, period: int) -> Iterable[Pause]:
    """Where the device itself stood still: a value came later than it should have."""
    times = sorted(history.since.values())
    for before, after in pairwise(times):
        if after - before > period + PAUSE:
            yield Pause(frozenset({name}), before, after)


def records(received: Iterable[Received]) -> dict[str, Record]:
    """All messages with an id, each once. Repeats carry the same id, and no id names two contents."""
    found: dict[str, Record] = {}
    for message in received:
        body = json.loads(message.payload)
        if "id" not in body:
            continue
        log, lane, seq, *part = body["id"].split(":")
        body.pop("historical", None)
        record = Record(message.topic, log, lane, int(seq), int(part[0]) if part else 0, body)
        assert found.setdefault(body["id"], record) == record, f"{body['id']} names two contents"
    return found


def in_sequence(found: Iterable[Record]) -> list[Record]:
    """In the order of their numbers."""
    return sorted(found, key=lambda record: (record.log, record.lane, record.seq, record.part))


def blocks(found: Iterable[Record], device: str) -> list[Record]:
    """A device's readings in the order of their numbers."""
    return in_sequence(record for record in found if record.device == device and "values" in record.body)


def every_hole_is_named(found: Mapping[str, Record]) -> dict[str, int]:
    """Each number was used once or named by a skip or a loss; gives how many skips there are by lane."""
    used: dict[tuple[str, str], set[int]] = defaultdict(set)
    named: dict[tuple[str, str], set[int]] = defaultdict(set)
    skips: dict[str, int] = defaultdict(int)
    for record in found.values():
        used[record.log, record.lane].add(record.seq)
        if record.topic.endswith(("/_skip", "/_loss")):
            lane = record.log, record.body["lane"]
            for first, last in record.body["ranges"]:
                named[lane] |= set(range(first, last + 1))
            skips[lane[1]] += record.topic.endswith("/_skip")
    for lane, numbers in used.items():
        assert not numbers & named[lane], f"{lane}: numbers that are named as skipped were used"
        holes = sorted(set(range(1, max(numbers) + 1)) - numbers - named[lane])
        assert not holes, f"{lane}: holes that nobody names: {holes[:20]}"
    return skips


def times_never_go_back(found: Iterable[Record]) -> None:
    """In the order of numbers, a tag's source times do not decrease."""
    last: dict[tuple[str, str, str], int] = {}
    for record in in_sequence(found):
        for tag, _, time in record.readings() if "values" in record.body else ():
            key = record.log, record.device, tag
            assert time >= last.get(key, 0), f"{record.body['id']} {tag}: source time went back"
            last[key] = time


def nothing_invented(
    found: Iterable[Record],
    device: str,
    history: History,
    counter_of: Callable[[str, Any], float],
    pauses: Sequence[Pause] = (),
    faults: Sequence[Fault] = (),
) -> set[int]:
    """Every value is one that the device had at its source time, or missing because the device did not answer then; gives
    the counters that arrived."""
    arrived = set()
    for record in blocks(found, device):
        for tag, value, time in record.readings():
            where = f"{record.body['id']} {tag} = {value}"
            if value is None:
                silent = any(each.explains(device, time, time) for each in (*faults, *pauses))
                assert silent, f"{where}: the device had answered"
                continue
            counter = counter_of(tag, value)
            assert counter in history.since, f"{where}: the device never had it"
            begin, end = history.since[int(counter)], history.until(int(counter))
            late = any(pause.explains(device, end, time) for pause in pauses)
            assert begin - 2 * MS <= time and (time <= end + LATE or late), f"{where}: at {time} it was another one"
            arrived.add(int(counter))
    return arrived


class Balance(NamedTuple):
    """Where a device's values went, in counters."""

    had: int
    arrived: int
    unpolled: int
    unaccepted: int


def account(
    device: str,
    history: History,
    answers: Iterable[tuple[int, int]],
    arrived: set[int],
    faults: Sequence[Fault],
    end: int,
    pauses: Sequence[Pause] = (),
) -> Balance:
    """Every counter between the first that arrived and `end` is one that arrived, or was not polled while something was
    broken or stood still, or was read so shortly before a kill -9 that it was not accepted. `answers`: times and counters."""
    sure, seen = set(), set()
    for at, counter in answers:
        seen.add(counter)
        if not any(fault.disturbs(device, at) for fault in faults):
            sure.add(counter)
    had = {counter for counter in history.since if min(arrived) <= counter and history.until(counter) < end}
    lost = (had & sure) - arrived
    assert not lost, f"{device}: answered, and never arrived: {sorted(lost)}"
    missing = had - arrived
    for counter in missing:
        begin, until = history.since[counter], history.until(counter)
        assert any(each.explains(device, begin, until) for each in (*faults, *pauses)) or until - begin < LATE, (
            f"{device}: {counter} was not read though nothing was broken"
        )
    return Balance(len(had), len(had & arrived), len(missing - seen), len(missing & seen))


def gaps_only_at_faults(
    device: str,
    history: History,
    arrived: set[int],
    faults: Sequence[Fault],
    end: int,
    pauses: Sequence[Pause] = (),
) -> int:
    """For a subscription: whatever is missing between two values that arrived, a fault or a pause lies there; gives how many
    values were missing."""
    had = sorted(counter for counter in history.since if min(arrived) <= counter and history.since[counter] < end)
    missing = [counter for counter in had if counter not in arrived]
    for counter in missing:
        at = history.since[counter]
        assert any(each.explains(device, at, at) for each in (*faults, *pauses)), (
            f"{device}: {counter} was not delivered though the session lived"
        )
    return len(missing)
