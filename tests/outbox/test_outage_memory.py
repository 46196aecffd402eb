"""Memory does not grow with an outage, nor with the drain after it."""

from pathlib import Path

import pytest

from benchmarks.outage import live_through
from gateway.core.record import Lane
from gateway.outbox.outbox import TAIL_AT_MOST
from tests.outbox.making import fill, spec
from tests.peers.broker import Broker


async def test_what_is_kept_in_memory_is_bounded_however_long_no_sink_takes_it(log, context):
    async with log.opened(segment_size=64 * 1024) as outbox:
        device = outbox.bind(spec(tags=100), context)
        reader = outbox.reader("central")
        held = []
        for start in range(0, 4000, 500):
            await fill(outbox, device, range(start, start + 500))
            log.clock.advance(3600)
            outbox._tick()
            lane = outbox._lanes[Lane.DATA]
            assert lane._tail_bytes <= TAIL_AT_MOST[Lane.DATA]
            held.append(len(lane.tail))
        assert held[-1] == held[-2] < 4000, "the tail is full, and stays so"
        assert not reader.positions[Lane.DATA].handed


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_six_hours_of_outage_and_their_drain_leave_no_objects_behind(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        found = await live_through(tmp_path / "outbox", broker.port, 6 * 3600, 10, 50)
    outage, drain = ([objects for _, objects in part] for part in (found[:10], found[10:]))
    # The least of each, for what waits for the disk just then comes and goes by thousands; one object for each record that
    # is written would be hundreds of thousands.
    grown = min(outage[5:]) - min(outage[1:5])
    assert grown < 10_000, f"{grown} objects more in the last three hours than before"
    grown = min(drain[5:]) - min(drain[:5])
    assert grown < 10_000, f"{grown} objects more at the end of the drain than at its beginning"
