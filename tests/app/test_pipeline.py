"""An observer of the road: it sees what comes, and cannot stop it."""

from structlog.testing import capture_logs

from gateway.core.readings import Readings
from tests.app.plant import Ahead, Site, device, sink


async def test_an_observer_sees_the_readings_of_all_devices_until_it_leaves(site: Site) -> None:
    site.write(sink(), device("oven"), device("press"))
    seen: dict[str, int] = {}

    def count(readings: Readings, boot_ns: int) -> None:
        seen[readings.device.name] = seen.get(readings.device.name, 0) + len(readings)

    async with site.running(Ahead()) as gateway:
        leave = gateway._pipeline.observe("counter", count)
        await site.until(lambda: seen.keys() == {"oven", "press"})
        leave()
        before, sent = dict(seen), len(site.far.records)
        await site.until(lambda: len(site.far.records) > sent + 3)
        assert seen == before


async def test_an_observer_that_fails_is_named_and_shown_no_more_while_the_readings_flow_on(site: Site) -> None:
    site.write(sink(), device("oven"))
    calls = []

    def exits(readings: Readings, boot_ns: int) -> None:
        calls.append(readings)
        raise SystemExit

    with capture_logs() as logs:
        async with site.running(Ahead()) as gateway:
            gateway._pipeline.observe("counter", exits)
            await site.until(lambda: bool(calls))
            sent = len(site.far.records)
            await site.until(lambda: len(site.far.records) > sent + 3)
    assert len(calls) == 1
    assert [entry["observer"] for entry in logs if entry["log_level"] == "error"] == ["counter"]
