"""A process at its limit of descriptors: the log goes on. Arguments: the log's directory."""

import asyncio
import errno
import os
import resource
import sys
from pathlib import Path

from gateway.core.context import Context
from gateway.core.event import Event
from tests.outbox.making import Log, fill, spec, take, until


async def main(directory: Path) -> None:
    log = Log(directory)
    async with log.opened(segment_size=64 * 1024) as outbox:
        device = outbox.bind(spec(tags=400), Context())
        reader = outbox.reader("central")
        await fill(outbox, device, range(1))
        await asyncio.to_thread(int)  # a thread of the pool, which needs none later
        soft = len(os.listdir("/proc/self/fd")) + 20  # noqa: PTH208
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
        taken = []
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE
        for start in range(1, 201, 20):
            await fill(outbox, device, range(start, start + 20))
            outbox.append_event(Event(f"e{start}", "alarm", "raised", "press-1", 1, "hot"))
            reader.acknowledged(await take(reader, 15))
            outbox._tick()
        await until(lambda: outbox.status().lanes["alarm"].accepted == 10)
        assert outbox.status().disk == "ok"
        cursor = directory / "cursors" / "central.json"
        await until(cursor.exists)
        for file in taken:
            os.close(file)
        assert int(log.files()[-1].stem, 16) > 100, log.files()
    print("files", len(log.files()))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
