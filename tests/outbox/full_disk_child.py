"""Fills a log in a process whose files may not grow beyond a limit, then lifts it; prints the balance at the end.

Arguments: directory, limit of a file in bytes. The limit stands for a disk that refuses writes (the error is EFBIG).
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

from gateway.core.context import Context
from gateway.core.record import Kind
from gateway.status import rendered
from tests.outbox.making import Log, block, spec, take, until


async def main(directory: Path, limit: int) -> None:
    log = Log(directory)
    async with log.opened(min_free=0, max_size=64 * 2**20, segment_size=2**20) as outbox:
        device = outbox.bind(spec(tags=100), Context())
        reader = outbox.reader("central", "strict")
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        for number in range(300):
            outbox.append(block(device, number))
            await asyncio.sleep(0)
        await until(lambda: outbox.status().disk != "ok")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await until(lambda: outbox.status().disk == "ok")
        await until(lambda: outbox.status().lanes["data"].queued == 0)
        records = await take(reader, 300, limit=1000)
        reader.acknowledged(records)
        values = [int(record.readings.value[0]) for record in records if record.kind is Kind.READINGS]
        print(json.dumps({"values": values, "lane": rendered(reader.status())["lanes"]["data"]}))


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
