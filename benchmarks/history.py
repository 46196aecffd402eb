"""What a trend costs: the outbox's files of a device with 50 tags, once a second, read for a chart.

    python -m benchmarks.history [DAYS] [FOLDER]

Writes the files first (24 MB a day; into FOLDER they are written once and stay), makes summaries of the finished ones, and
prints what that costs. Then milliseconds, the first and the best of three: one tag over the last day, and eight tags over all
of it (targets: 150 ms; 1 s over 30 days), with and without summaries (over three days then), and how much memory the
process takes.
"""

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.outbox import make_device
from gateway.config.model import OutboxSection
from gateway.core.clock import FakeClock
from gateway.core.readings import Readings
from gateway.core.record import Lane
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.outbox.inspect import LogFiles
from gateway.outbox.kept.series import Query, SeriesReader
from gateway.outbox.kept.summarising import Summarising
from gateway.outbox.kept.thinning import Series

TAGS, DAY, SECOND_NS, POINTS = 50, 86_400, 1_000_000_000, 1000
TOGETHER = 500
"""Records that are written together."""


async def fill(outbox: Outbox, device: Device, clock: FakeClock, seconds: int) -> None:
    """Write a record for each second."""
    rng = np.random.default_rng(1)
    waves = rng.normal(50, 10, (1000, TAGS)).astype(np.float32).astype(np.float64)
    good = np.zeros(TAGS, np.uint32)
    for second in range(seconds):
        clock.advance(1.0)
        now = clock.wall_ns()
        outbox.append(Readings(device, np.full(TAGS, now), device.tags.ids, waves[second % 1000], good))
        if second % TOGETHER == TOGETHER - 1:
            await outbox.written_out(60)
    await outbox.written_out(60)


async def write(folder: Path, days: int) -> None:
    """A log of so many days."""
    clock = FakeClock()
    section = OutboxSection.model_validate({"max_size": "8 GiB", "min_free": "0 B", "keep": "60d"})
    outbox = Outbox.open(folder, section, clock=clock, config_hash="00000000")
    run = asyncio.create_task(outbox.run())
    device = make_device(outbox, "device", TAGS)
    outbox.reader("nobody")
    await fill(outbox, device, clock, days * DAY)
    run.cancel()
    await outbox.close()


def summarise(log: LogFiles) -> None:
    """Make the summaries, and say what they cost."""
    began, size, count = time.process_time(), 0, 0
    (log.directory / "summaries").mkdir(exist_ok=True)
    for segment in log.segments(Lane.DATA)[:-1]:
        making = Summarising(log.log_id, segment, log.dictionary)
        for _ in making.run():
            pass
        data = making.file() or b""
        segment.summary_path.write_bytes(data)
        size, count = size + len(data), count + 1
    took = time.process_time() - began
    print(f"{count} summaries, {size / 2**20:.1f} MiB, {1000 * took / max(1, count):.0f} ms of processor time each")


def measure(log: LogFiles, what: str, tags: list[str], from_ns: int, to_ns: int, *, summaries: bool) -> None:
    """Print the first and the best of three."""
    took: list[float] = []
    reader = SeriesReader(log.log_id, log.dictionary)
    segments = log.segments(Lane.DATA)
    for segment in segments:
        if summaries and segment.summary_path.exists():
            segment.summary = segment.summary_path.stat().st_size
    for _ in range(3):
        began = time.perf_counter()
        wanted = Query("device", {tag: Series(from_ns, to_ns, POINTS) for tag in tags}, from_ns, to_ns)
        reader.read(segments, wanted)
        shown = [len(series.done()[0]) for series in wanted.series.values()]
        took.append(time.perf_counter() - began)
    readings = sum(series.readings for series in wanted.series.values())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what}, {'with' if summaries else 'without'} summaries: first {1000 * took[0]:.0f} ms, "
        f"best {1000 * min(took):.0f} ms, {readings:,} readings, {sum(shown):,} points, at most {grown:.0f} MiB of memory"
    )


def main(folder: Path, days: int) -> None:
    """Write, then read."""
    if not (folder / "log.json").exists():
        asyncio.run(write(folder, days))
    log = LogFiles(folder)
    segments = log.segments(Lane.DATA)
    end = segments[-1].wall_to
    print(f"{days} days, {len(segments)} files, {sum(segment.size for segment in segments) / 2**20:.0f} MiB")
    summarise(log)
    names = [f"tag{number}" for number in range(8)]
    for summaries in (True, False):
        longest = days if summaries else min(days, 3)  # more would be broken off
        measure(log, "one tag, a day", names[:1], end - DAY * SECOND_NS, end + 1, summaries=summaries)
        measure(
            log, f"eight tags, {longest} days", names, end - longest * DAY * SECOND_NS, end + 1, summaries=summaries
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(sys.argv[2] if len(sys.argv) > 2 else made), int(sys.argv[1]) if len(sys.argv) > 1 else 2)
