"""How long it takes until all tags of a large OPC UA device are subscribed and have values, against node-opcua.

    python benchmarks/opcua_items.py [--items 10000 100000] [--profile FILE]

Prints seconds from dialling, with the CPU time of this process and of the server's: what is neither is waiting.
"""

import argparse
import asyncio
import cProfile
import os
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from benchmarks.opcua import device
from plugins.opcua import OpcUa
from tests.peers.opcua_servers import OpcUaPeer, require_node_opcua


def spent(process: int) -> float:
    """CPU seconds of another process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Steps:
    """Prints what each step took."""

    def __init__(self, count: int, server: int) -> None:
        self._count, self._server = count, server
        self._begun = self._last = self._now()

    def _now(self) -> tuple[float, float, float]:
        return time.monotonic(), time.process_time(), spent(self._server)

    def done(self, what: str, *, whole: bool = False) -> None:
        """A step has ended."""
        now = self._now()
        took, ours, servers = (
            end - begin for begin, end in zip(self._begun if whole else self._last, now, strict=True)
        )
        self._last = now
        print(
            f"{self._count:>7} items, {what:<12} {took:6.2f} s   CPU ours {ours:6.2f}, server {servers:6.2f}",
            flush=True,
        )


async def subscribe(url: str, count: int, steps: Steps) -> None:
    driver = OpcUa([device(url, count)])
    await driver.connect()
    steps.done("connecting")
    await driver.describe()
    steps.done("describing")
    missing = count
    async with aclosing(driver.stream()) as blocks:  # type: ignore[type-var]
        async for readings in blocks:
            missing -= len(readings)
            if missing <= 0:
                break
        steps.done("subscribing")
    steps.done("in all", whole=True)
    await driver.close()
    driver.release()


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--items", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--profile", type=Path, help="write cProfile's figures of this process here; it is slower then")
    options = parser.parse_args()
    require_node_opcua()
    profile = cProfile.Profile() if options.profile else None
    with tempfile.TemporaryDirectory() as folder:
        for count in options.items:
            async with OpcUaPeer("node-opcua", Path(folder), "--many", str(count), "--tick", "3600000") as peer:
                assert peer._process is not None
                await asyncio.to_thread(__import__, "plugins.opcua.session.session")
                steps = Steps(count, peer._process.pid)
                if profile is not None:
                    profile.enable()
                await subscribe(peer.url, count, steps)
                if profile is not None:
                    profile.disable()
                    profile.dump_stats(options.profile)


if __name__ == "__main__":
    asyncio.run(main())
