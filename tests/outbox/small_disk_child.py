"""Fills a log on a small real disk, has someone else take the rest for a while, and frees it; prints the accounts.

Arguments: directory on that disk, policy for readings, seconds for which the disk is full.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.core.context import Context
from gateway.core.event import Event
from gateway.core.intervals import IntervalSet
from gateway.core.record import Kind, Lane, Record
from gateway.outbox import Reader
from gateway.outbox.write.admission import QUEUED_AT_MOST
from gateway.status import rendered
from tests.outbox.making import Log, block, fill, spec, until

_OPTIONS = {"min_free": 0, "max_size": 64 * 2**20, "segment_size": 64 * 1024, "ballast": 256 * 1024}


async def main(directory: Path, policy: str, seconds: float) -> None:
    QUEUED_AT_MOST[Lane.DATA] = 2**20
    log = Log(directory / "outbox")
    options = {**_OPTIONS, "when_full": policy}
    async with log.opened(**options) as outbox:
        device, reader = outbox.bind(spec(tags=100), Context()), outbox.reader("central", "strict")
        await until(lambda: outbox.status().room.ballast.size)
        await fill(outbox, device, range(500))
        offered, events = 500, 0
        end = time.monotonic() + seconds
        while time.monotonic() < end or outbox.status().disk == "ok" or not outbox.status().room.not_accepted:
            hog(directory)
            for _ in range(200):
                outbox.append(block(device, offered))
                offered += 1
            outbox.flush()
            outbox.append_event(Event(f"e{events}", "test", "raised", "", 0, "event", "warning", {"number": events}))
            events += 1
            await asyncio.sleep(0.1)
        (directory / "hog").unlink()
        taken = await take_all(reader, lambda: outbox.status().lanes["data"].queued)
        await fill(outbox, device, range(offered, offered + 10))
        offered += 10
        away = outbox.status().room.not_accepted
        given_back = outbox.status().room.ballast.given_back
    async with log.opened(**options) as outbox:
        reader = outbox.reader("central", "strict")
        told = accounts(taken + await take_all(reader, lambda: False), reader)
    print(json.dumps({"offered": 100 * offered, "events": events, "away": away, "given_back": given_back, **told}))


def hog(directory: Path) -> None:
    """Take what is left of the disk, but for a few pages."""
    with (directory / "hog").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def take_all(reader: Reader, more: Callable[[], object]) -> list[Record]:
    """What is pending, and comes meanwhile, acknowledged."""
    taken: list[Record] = []
    async with asyncio.timeout(150):
        while any(reader.pending.values()) or more():
            records = await reader.take(1000)
            reader.acknowledged(records)
            taken += records
            await asyncio.sleep(0.001)
    return taken


def accounts(taken: list[Record], reader: Reader) -> dict[str, object]:
    """What was taken, held against the loss records. What went out unkept, since it had to wait, is no part of it."""
    taken = [record for record in taken if not record.unkept]
    losses = [record.body for record in taken if record.kind is Kind.LOSS and record.body["lane"] == "data"]
    named = IntervalSet((low, high + 1) for loss in losses for low, high in loss["ranges"])
    data = [record.seq for record in taken if record.lane is Lane.DATA]
    gone = IntervalSet((seq, seq + 1) for seq in data).missing(1, data[-1])
    return {
        "balance": rendered(reader.status())["lanes"]["data"],
        "unnamed": [hole for hole in gone if not named.covers(*hole)],
        "named_rows": sum(loss["rows"] for loss in losses if loss["accepted"]),
        "away_rows": sum(loss["rows"] for loss in losses if not loss["accepted"]),
        "numbers": [record.body["number"] for record in taken if record.kind is Kind.EVENT and "number" in record.body],
    }


asyncio.run(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
