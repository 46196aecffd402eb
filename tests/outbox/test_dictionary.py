import dataclasses
import gc
import tracemalloc

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec
from gateway.core.context import Context
from gateway.core.record import Lane
from gateway.outbox import outbox as outbox_module
from gateway.outbox.format import dictionary
from gateway.outbox.inspect import LogFiles, verify
from gateway.plugin.driver import Found
from tests.outbox.making import block, fill, spec, take, until


def ids(device):
    return {tag.name: tag.id for tag in device.tags}


async def test_the_same_definition_has_the_same_id_for_ever(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        other = outbox.bind(spec("press-2"), context)
        assert not set(ids(device).values()) & set(ids(other).values())
        await fill(outbox, device, range(1))
    async with log.opened() as outbox:
        assert ids(outbox.bind(spec(), context)) == ids(device)


async def test_a_changed_definition_has_a_new_id_and_the_old_one_is_never_reused(log, context):
    async with log.opened() as outbox:
        old = outbox.bind(spec(unit="°C"), context)
        await fill(outbox, old, range(1))
    async with log.opened("0badcafe") as outbox:
        new = outbox.bind(spec(unit="K"), context)
        assert not set(ids(old).values()) & set(ids(new).values())
        await fill(outbox, new, range(1, 2))
    async with log.opened() as outbox:
        first, second = await take(outbox.reader("central"), 2)
        assert [tag.unit for tag in first.readings.device.tags] == ["°C"] * 3
        assert [tag.unit for tag in second.readings.device.tags] == ["K"] * 3
        assert (first.config, second.config) == ("c0ffee00", "0badcafe")
        assert ids(outbox.bind(spec(unit="°C"), context)) == ids(old)


async def test_data_keeps_the_context_it_was_taken_in(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        await fill(outbox, device, range(1))
        batch = dataclasses.replace(device, context=dataclasses.replace(context, batch="B-17"))
        await fill(outbox, batch, range(1, 2))
    async with log.opened() as outbox:
        records = await take(outbox.reader("central"), 2)
        assert [record.readings.device.context.batch for record in records] == ["", "B-17"]


async def test_what_a_device_told_is_remembered(log, context):
    tags = {"level": TagConfig(), "flow": TagConfig(unit="l/h"), "speed": TagConfig(scale=0.5)}
    table = DeviceSpec(DeviceConfig(name="tank", driver="fake"), tags)
    found = {name: Found("uint16", "m", "as the device says") for name in tags}
    async with log.opened() as outbox:
        unknown = outbox.bind(table, context)
        known = outbox.bind(table, context, found)
        assert [tag.type for tag in unknown.tags] == ["", "", "float64"]
        await fill(outbox, known, range(1))
    async with log.opened() as outbox:
        again = outbox.bind(table, context)
        assert [(tag.type, tag.unit) for tag in again.tags] == [("uint16", "m"), ("uint16", "l/h"), ("float64", "m")]
        assert ids(again) == ids(known)
        assert again.tags[2].scaling == "× 0.5 + 0"


async def test_options_are_hashed_once_however_often_a_device_tells_of_its_tags(log, context, monkeypatch):
    hashed = []
    monkeypatch.setattr(
        dictionary, "_asked", lambda config, real=dictionary._asked: hashed.append(config) or real(config)
    )
    tags = {"level": TagConfig(), "flow": TagConfig(unit="l/h")}
    table = DeviceSpec(DeviceConfig(name="tank", driver="fake"), tags)
    async with log.opened() as outbox:
        outbox.bind(table, context)
        for kind in ("uint16", "int32", "int32"):
            outbox.bind(table, context, {"level": Found(kind)})
        assert len(hashed) == 2
        changed = DeviceSpec(table.config, {"level": TagConfig(unit="m"), "flow": tags["flow"]})
        assert [tag.type for tag in outbox.bind(changed, context).tags] == ["", ""]
        assert [tag.type for tag in outbox.bind(table, context).tags] == ["int32", ""]


async def test_a_lost_dictionary_is_made_anew_from_the_segments(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(unit="bar"), context)
        await fill(outbox, device, range(2))
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"x" + path.read_bytes()[1:])):
        damage(log.directory / "tags")
        async with log.opened() as outbox:
            assert ids(outbox.bind(spec(unit="bar"), context)) == ids(device)
            records = await take(outbox.reader("central"), 2)
            assert records[0].readings.device.tags[0].unit == "bar"
            outbox.reader("central").rewind()


async def test_a_segment_can_be_read_alone(log, context):
    """Each file has the definitions of what is in it, also those written long before."""
    async with log.opened(segment_size=64 * 1024) as outbox:
        device = outbox.bind(spec(tags=50), context)
        outbox.reader("central")
        await fill(outbox, device, range(600))
    assert len(log.files()) > 2
    for path in log.files()[:-1]:
        path.unlink()
    (log.directory / "tags").unlink()
    async with log.opened() as outbox:
        records = await take(outbox.reader("other"), 1)
        assert records[0].readings.device.context == Context(site="north", line="coating")
        assert len(records[0].readings.device.tags) == 50


async def test_a_device_that_was_never_bound_is_defined_when_it_comes(log, context):
    async with log.opened() as outbox:
        device = dataclasses.replace(outbox.bind(spec(), context), name="press-1")
        outbox.append(block(device, 1))
        (record,) = await take(outbox.reader("central"), 1)
        assert record.readings.device is device


def told(number, tags):
    return {name: Found("float64", "m", f"as of connect {number}") for name in tags}


async def described_anew(outbox, context, numbers, *, tags=20):
    """A server that describes its tags otherwise at each connect, and gives one record each time."""
    table = DeviceSpec(DeviceConfig(name="tank", driver="fake"), {f"tag{i}": TagConfig() for i in range(tags)})
    rows, used = outbox.status().lanes["data"].accepted, set()
    for number in numbers:
        device = outbox.bind(table, context, told(number, table.tags))
        assert not used & set(device.tags.ids.tolist())
        used |= set(device.tags.ids.tolist())
        outbox.append(block(device, number))
        outbox.flush()
        if number % 10 == 0 or number == numbers[-1]:
            accepted = rows + (number - numbers[0] + 1) * tags
            await until(lambda due=accepted: outbox.status().lanes["data"].accepted == due)
    return used


async def test_a_server_that_describes_itself_otherwise_at_each_connect_makes_nothing_grow(log, context, monkeypatch):
    monkeypatch.setitem(outbox_module.TAIL_AT_MOST, Lane.DATA, 0)
    async with log.opened(segment_size=64 * 1024) as outbox:
        reader = outbox.reader("central", "strict")
        steady = outbox.bind(spec("steady"), context)
        used = await described_anew(outbox, context, range(200))
        size = (log.directory / "tags").stat().st_size
        tracemalloc.start()
        try:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            used |= await described_anew(outbox, context, range(200, 1000))
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert len(used) == 20_000
        assert grown < 2_500_000  # 800 connects with 20 tags were 5.8 MB
        assert (log.directory / "tags").stat().st_size < 3 * size
        assert len(outbox._state.dictionary.definitions) <= dictionary.KEPT + 2
        assert len(outbox._state.dictionary._tag_ids) <= 20 * (dictionary.KEPT + 1) + 3
        assert ids(outbox.bind(spec("steady"), context)) == ids(steady)
        (said,) = outbox.said_of("device tank")
        assert "1000 times" in said
        assert outbox.said_of("device steady") == outbox.said_of("sink tank") == []
        records = await take(reader, 1000)
        assert {record.readings.device.tags[0].description for record in records} == {
            f"as of connect {number}" for number in range(1000)
        }
        reader.rewind()
    (log.directory / "cursors" / "central.json").unlink()
    async with log.opened() as outbox:
        assert await described_anew(outbox, context, range(1000, 1003)) > {max(used) + 1}
        records = await take(outbox.reader("central", "strict"), 1003)
        assert [record.readings.device.tags[3].description for record in records] == [
            f"as of connect {number}" for number in range(1003)
        ]
        assert len({tag.id for record in records for tag in record.readings.device.tags}) == 20 * 1003
    assert verify(LogFiles(log.directory)).ok


async def test_ids_of_what_is_forgotten_are_not_given_out_again_after_the_next_start(log, context):
    """Neither tag ids nor numbers of definitions, also where the device with the last ones goes back to old definitions."""
    async with log.opened() as outbox:
        used = await described_anew(outbox, context, range(3))
        last = outbox._state.dictionary._last
        table = DeviceSpec(DeviceConfig(name="tank", driver="fake"), {"tag0": TagConfig(), "tag1": TagConfig()})
        outbox.bind(table, context, told(2, table.tags))
        for batch in range(3 * dictionary.KEPT):  # old ids, in ever new definitions
            outbox.bind(table, dataclasses.replace(context, batch=f"B-{batch}"), told(2, table.tags))
        await fill(outbox, outbox.bind(spec("other"), context), range(1))
        assert len(outbox._state.dictionary.definitions) <= dictionary.KEPT + 4
    for path in log.files():
        path.unlink()
    async with log.opened() as outbox:
        assert outbox._state.dictionary._last > last
        assert not used & set(outbox.bind(spec("third"), context).tags.ids.tolist())


async def test_a_long_dictionary_of_an_earlier_version_is_made_short_at_a_start(log, context, monkeypatch):
    monkeypatch.setattr(dictionary, "KEPT", 1000)
    async with log.opened() as outbox:
        await described_anew(outbox, context, range(100))
    size = (log.directory / "tags").stat().st_size
    monkeypatch.undo()
    async with log.opened() as outbox:
        assert (log.directory / "tags").stat().st_size < size / 4
        assert len(await take(outbox.reader("central", "strict"), 100)) == 100
