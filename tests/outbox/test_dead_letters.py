"""What a far side refuses for good is kept, counted, told, and can be sent again."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.event import Event
from gateway.core.record import Kind, Lane, Record
from gateway.outbox.deliver import dead_letters as dead
from gateway.outbox.format.cursor import LaneCursor
from gateway.outbox.format.dead_letter import Letter, dump_letter, load_letter
from gateway.status import rendered
from tests.outbox.making import block, fill, spec, take, until, values


def event(name="e1"):
    return Event(name, "anomaly", "raised", "press-1", 1_800_000_000_000_000_000, "Something is odd.")


async def record_of(log, context, **columns):
    async with log.opened() as outbox:
        device = outbox.bind(spec(tags=3, unit="°C"), context)
        outbox.append(block(device, 1, **columns))
        (record,) = await take(outbox.reader("central"), 1)
        return record


def parts(record: Record) -> list[object]:
    """All of it, to be compared."""
    plain = [getattr(record, field.name) for field in fields(Record) if field.name != "readings"]
    readings = record.readings
    if readings is None:
        return plain
    columns = [getattr(readings, name).tobytes() for name in ("t_ns", "tag", "value", "quality")]
    tags = [(tag.id, tag.name, tag.unit, tag.type) for tag in readings.device.tags]
    return [*plain, *columns, readings.exact, readings.own_time, readings.device.name, readings.device.context, tags]


async def test_a_letter_holds_the_record_whole(log, context):
    record = await record_of(
        log, context, value=np.array([1.5, np.nan, np.inf]), exact={1: 2**70}, quality=np.array([0, 0, 7], np.uint32)
    )
    letter = Letter("zentral/ü", "packet too large", 5, record)
    again = load_letter(dump_letter(letter))
    assert (again.sink, again.reason, again.died_ns, again.name) == (letter.sink, letter.reason, 5, letter.name)
    assert parts(record) == parts(again.record)
    assert "/" not in letter.name


@given(st.data())
def test_no_damage_to_a_letter_goes_unnoticed(data):
    record = Record("log", Lane.ALARM, 7, Kind.EVENT, 1, 2, 3, 4, "0badcafe", 1, None, {"message": "Öl"})
    letter = dump_letter(Letter("central", "no", 5, record))
    at = data.draw(st.integers(0, len(letter) - 3))
    flip = data.draw(st.integers(1, 255))
    cut = data.draw(st.booleans())
    damaged = letter[:at] if cut else letter[:at] + bytes([letter[at] ^ flip]) + letter[at + 1 :]
    with pytest.raises(ValueError, match=r"checksum|missing"):
        load_letter(damaged)


async def refuse_some(outbox, context, seqs, reason="packet too large"):
    device = outbox.bind(spec(), context)
    reader = outbox.reader("central")
    await fill(outbox, device, range(4))
    for record in await take(reader, 4):
        if record.seq in seqs:
            reader.refused(record, reason, final=True)
        else:
            reader.acknowledged([record])
    return reader


async def test_a_record_refused_for_good_is_kept_told_and_counted(log, context):
    async with log.opened() as outbox:
        reader = await refuse_some(outbox, context, {2, 3})
        told = await take(reader, 2)
        (loss,) = (record.body for record in told if record.kind is Kind.LOSS)
        assert (loss["rows"], loss["ranges"]) == (6, [[2, 3]])
        (event,) = (record.body for record in told if record.kind is Kind.EVENT)
        assert event["state"] == "dead-letter"
        assert "outbox dead list" in event["message"]
        assert "packet too large" in event["message"]
        assert outbox.status().dead.sinks == {"central": 2}
        await until(lambda: len(dead.letters(log.directory)) == 2)
    kept = [letter for _, letter in dead.letters(log.directory)]
    assert [letter.record.seq for letter in kept] == [2, 3]
    assert values([letter.record for letter in kept]) == [1.0, 2.0]


async def test_a_letter_that_is_taken_later_is_dead_no_more_and_the_balance_says_so(log, context):
    async with log.opened() as outbox:
        await refuse_some(outbox, context, {2, 3})
    log.clock.advance(100)
    async with log.opened() as outbox:
        reader = outbox.reader("central")
        assert reader.status().lanes["data"].dropped == {"refused: packet too large": 6}
        tried = await outbox.revive()
        assert len(tried) == 2
        assert await outbox.revive() == tried, "asked twice, and yet"
        records = [record for record in await take(reader, 2, limit=50) if record.lane is Lane.DATA]
        assert values(records) == [1.0, 2.0], "each is tried once"
        assert [record.id for record in records] == tried, "under the ids they always had"
        reader.refused(records[1], "packet too large", final=True)
        reader.acknowledged(records[:1])
        lane = rendered(reader.status())["lanes"]["data"]
        assert lane["dropped"] == {"refused: packet too large": 3}
        assert lane["accepted"] == lane["acknowledged"] + lane["pending"] + 3 == 12
        assert outbox.status().dead.letters == 1
    async with log.opened() as outbox:
        lane = rendered(outbox.reader("central").status())["lanes"]["data"]
        assert lane["accepted"] == lane["acknowledged"] + lane["pending"] + 3 == 12


async def test_a_letter_under_way_when_the_link_is_lost_goes_out_again(log, context):
    async with log.opened() as outbox:
        reader = await refuse_some(outbox, context, {2})
        reader.acknowledged(await take(reader, 2))
        await outbox.revive()
        (record,) = await take(reader, 1)
        reader.rewind()
        (again,) = await take(reader, 1)
        assert again.id == record.id
        reader.acknowledged([again])
        assert outbox.status().dead.letters == 0
        await until(lambda: not dead.letters(log.directory))


async def test_letters_are_bounded_and_the_oldest_make_room(log, context, monkeypatch):
    monkeypatch.setattr(dead, "AT_MOST", 2)
    async with log.opened() as outbox:
        await refuse_some(outbox, context, {1, 2, 3, 4})
        assert rendered(outbox.status())["dead"] | {"size": 0} == {
            "letters": 2, "sinks": {"central": 2}, "size": 0, "given_up": 2,
        }  # fmt: skip
    assert [letter.record.seq for _, letter in dead.letters(log.directory)] == [3, 4]


async def test_a_damaged_letter_is_named_and_stops_nobody(log, context, caplog):
    async with log.opened() as outbox:
        await refuse_some(outbox, context, {2})
    (path,) = (log.directory / "dead").glob("*.dead")
    path.write_bytes(path.read_bytes()[:-30])
    async with log.opened() as outbox:
        assert outbox.status().dead.letters == 0
        assert await outbox.revive() == []
    ((_, problem),) = dead.letters(log.directory)
    assert "checksum" in problem


async def test_an_event_is_kept_like_readings(log, context):
    async with log.opened() as outbox:
        outbox.append_event(event())
        reader = outbox.reader("central")
        (record,) = await take(reader, 1)
        reader.refused(record, "topic not allowed", final=True)
    ((_, letter),) = dead.letters(log.directory)
    assert letter.record.body["message"] == "Something is odd."
    assert letter.about == "event"


@pytest.mark.parametrize("rows", [0, 5, 9])
def test_what_is_regained_moves_from_dropped_to_acknowledged(rows):
    cursor = LaneCursor()
    cursor.drop((1, 2), (0, 5), "no")
    cursor.regain(1, rows, "no")
    balance = cursor.balance(5)
    assert balance.acknowledged + sum(balance.dropped.values()) == 5
    assert LaneCursor.load(cursor.dump()).balance(5) == balance
