"""The process that is tortured; prints, one JSON object a line, what it knows, always before it acts on it.

python -m gateway.selftest.tortured write DIRECTORY FIRST_NUMBER FIRST_EVENT
python -m gateway.selftest.tortured drain DIRECTORY
python -m gateway.selftest.tortured quota DIRECTORY RECORDS
python -m gateway.selftest.tortured full DIRECTORY RECORDS
"""

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.core.record import Lane, Record
from gateway.outbox import Outbox, Reader
from gateway.selftest.full_disk import fill_up, run_into_quota
from gateway.selftest.logs import SINKS, bind, block, event, number_of, open_log, opened, silence
from gateway.selftest.runs import runs
from gateway.status import rendered

BLOCKS = 20
"""Records per turn."""
KEPT = {"prompt": 50, "slow": 300}
"""How many records a sink leaves unacknowledged."""


def say(**what: Any) -> None:
    """Tell the examiner."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def told(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Records by lane, as runs."""
    return {
        lane.word: list(runs((record.seq, number_of(record)) for record in records if record.lane is lane))
        for lane in Lane
    }


class Consumer:
    """Takes what there is, and acknowledges all but the last."""

    def __init__(self, name: str, outbox: Outbox) -> None:
        self.name = name
        self.outbox = outbox
        self.reader: Reader = outbox.reader(name, "strict")
        self._open: deque[Record] = deque()

    async def turn(self, kept: int) -> bool:
        """Whether anything was there to take."""
        records = await self.reader.take(1000)
        if records:
            say(sink=self.name, got=told(records))
        self._open.extend(records)
        done = [self._open.popleft() for _ in range(len(self._open) - kept)]
        if done:
            say(sink=self.name, done=told(done))
            self.reader.acknowledged(done)
        return bool(records)


async def write(directory: Path, number: int, events: int) -> None:
    """As fast as it can, until it is killed, or nobody is left to kill it."""
    say(opening=True)
    outbox = open_log(directory)
    run = asyncio.create_task(outbox.run())
    device = bind(outbox)
    sinks = [Consumer(name, outbox) for name in SINKS]
    say(started=outbox.log_id)
    parent = os.getppid()
    while not run.done() and os.getppid() == parent:
        for _ in range(BLOCKS):
            outbox.append(block(device, number))
            number += 1
        outbox.append_event(event(events))
        events += 1
        for sink in sinks:
            await sink.turn(KEPT[sink.name])
        await asyncio.sleep(0.001)


async def drain(directory: Path) -> None:
    """Take and acknowledge all that is left, then tell the balances and end in good order."""
    async with opened(directory) as outbox:
        sinks = [Consumer(name, outbox) for name in SINKS]  # all at once: a sink that is not there holds nothing back
        say(started=outbox.log_id)
        while waiting := [sink for sink in sinks if any(sink.reader.pending.values())]:
            for sink in waiting:  # for all in turn: receipts come meanwhile
                async with asyncio.timeout(60):
                    await sink.reader.wait()
                await sink.turn(0)
        say(balances={sink.name: rendered(sink.reader.status().lanes) for sink in sinks})


def main(mode: str, directory: str, *numbers: str) -> None:
    """See the module."""
    path = Path(directory)
    with silence():
        if mode == "write":
            asyncio.run(write(path, int(numbers[0]), int(numbers[1])))
        elif mode == "drain":
            asyncio.run(drain(path))
        elif mode == "quota":
            say(**asyncio.run(run_into_quota(path, int(numbers[0]))))
        else:
            say(**asyncio.run(fill_up(path, int(numbers[0]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
