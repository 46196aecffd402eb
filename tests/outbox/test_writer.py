import asyncio

from gateway.core.record import Kind
from tests.outbox.making import block, spec, take, until, values


async def test_the_loop_is_woken_once_for_all_that_one_write_has_to_tell(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        told = []
        tell = outbox._writer._tell
        outbox._writer._tell = lambda news: (told.append([call.func.__name__ for call in news]), tell(news))
        outbox.append(block(device, 1))
        outbox.append(block(device, 2))
        assert values(await take(reader, 2)) == [1.0, 2.0]
        assert ["written", "group_done"] in told
        assert sum("written" in names for names in told) == 1


async def test_what_breaks_over_one_thing_that_the_thread_tells_does_not_keep_the_others_from_being_heard(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, said: reported.append(said["exception"]))
        count, outbox.receipts.written = outbox.receipts.written, lambda *_, **__: 1 / 0
        outbox.append(block(device, 1))
        await until(lambda: reported and not outbox._disk.admission.queued)
        assert [type(error) for error in reported] == [ZeroDivisionError]
        outbox.receipts.written = count


async def test_an_event_is_told_when_it_is_on_disk_though_readings_of_the_same_group_are_not(log, context):
    async with log.opened() as outbox:
        names = []
        tell = outbox._writer._tell
        outbox._writer._tell = lambda news: (names.append([call.func.__name__ for call in news]), tell(news))
        device = outbox.bind(spec(), context)
        outbox.append(block(device, 1))
        outbox._intake.body(Kind.EVENT, {"message": "Something is odd."})
        outbox.flush()
        await until(lambda: outbox.status().lanes["data"].accepted)
        assert [each for each in names if "written" in each] == [["written"], ["written", "group_done"]]
