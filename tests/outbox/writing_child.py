"""A process that writes as fast as it can until it is killed; prints what it knows to be accepted, and then acknowledges.

Arguments: directory, first value. Each record is one block of 3 tags with the value's number.
"""

import asyncio
import sys
from pathlib import Path

from gateway.config.model import OutboxSection
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.core.record import Lane
from gateway.outbox import Outbox
from tests.outbox.making import block, spec


async def main(directory: Path, number: int) -> None:
    section = OutboxSection(commit_interval="50ms", segment_size="64 KiB", max_size="1 GiB", min_free="0 B")
    outbox = Outbox.open(directory, section, clock=SystemClock(), config_hash="c0ffee00")
    run = asyncio.create_task(outbox.run())
    device = outbox.bind(spec(), Context())
    reader = outbox.reader("central", "strict")
    accepted = number
    while not run.done():
        for _ in range(20):
            outbox.append(block(device, number))
            number += 1
        records = await reader.take(1000)
        for record in records:
            if record.lane is Lane.DATA and record.readings is not None:
                accepted = max(accepted, int(record.readings.value[0]) + 1)
                print("sent", record.seq, int(record.readings.value[0]))
        print("accepted", accepted, flush=True)
        done = records[: len(records) // 2]
        print(
            "acknowledged",
            *(int(record.readings.value[0]) for record in done if record.readings is not None),
            flush=True,
        )
        reader.acknowledged(done)
        await asyncio.sleep(0.001)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
