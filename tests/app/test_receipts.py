"""The running gateway's own account of what it read."""

from tests.app.plant import Ahead, Site, device, sink


async def test_every_reading_of_the_driver_stands_in_the_receipt_of_its_hour(site: Site) -> None:
    site.write(sink(), device("oven"))
    clock = Ahead()
    async with site.running(clock):
        await site.until(lambda: len(site.far.records) > 5, "records")
        (now,) = await site.ask("receipts", from_ns=0, to_ns=2**62)
        assert (now["device"], now["open"], now["final"]) == ("oven", True, False)
        clock.to_the_next_hour()
        place = await site.heard("north/oven/_receipt")
        told = site.far.story[place][1]
        async_kept = await site.ask("receipts", from_ns=0, to_ns=2**62)
    assert told["read"] == told["readings"] >= now["readings"]
    in_hour = [body for topic, body in site.far.story if topic == "north/oven" and body["accepted"] < told["to"]]
    assert told["messages"] == len(in_hour)
    assert told["hour"] in {each["hour"] for each in async_kept}


async def test_a_device_that_does_not_answer_has_a_receipt_that_says_so(site: Site) -> None:
    site.bench.connecting.clear()
    site.write(sink(), device("oven", 'timeout = "50ms"'))
    clock = Ahead()
    async with site.running(clock):
        await site.heard("north/oven/_state", lambda body: "no connection" in body.get("reason", ""))
        clock.to_the_next_hour()
        place = await site.heard("north/oven/_receipt")
    told = site.far.story[place][1]
    (gap,) = told["gaps"]
    assert told["readings"] == 0
    assert gap["to"] is None
    assert gap["reason"].startswith("offline: no connection within")
