"""A log whose devices work for something else all the time; says each number that is on disk, until it is killed."""

import asyncio
import sys
from pathlib import Path

from gateway.config.model import OutboxSection
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.outbox import Outbox
from tests.outbox.making import block, spec


async def main() -> None:
    section = OutboxSection(segment_size="64 KiB")
    outbox = Outbox.open(Path(sys.argv[1]), section, clock=SystemClock(), config_hash="")
    devices = [outbox.bind(spec(f"press-{n}", tags=20), Context(site="north")) for n in range(4)]
    number = 0
    while True:
        for device in devices:
            number += 1
            said = Context(batch=f"B-{number // 3}", phase=f"phase {number}") if number % 3 else Context()
            outbox.works.set(device.name, said)
            outbox.append(block(device, number))
        await outbox.written_out(10)
        print(number, flush=True)


asyncio.run(main())
