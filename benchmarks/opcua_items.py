"""How long it takes until all tags of a large OPC UA device are subscribed and have values, against node-opcua.

    python benchmarks/opcua_items.py [--items 10000 100000] [--sampling 0ms] [--profile FILE]

Prints seconds from dialling until each of the tags has had a good value, with the CPU time of this process and of the
server's: what is neither is waiting. The server is `tests/peers/opcua/server.js`, a plain node-opcua in a process of its
own with node's default heap: variables of five scalar types in folders of 500, whose values are set, not asked for. They
stand still here; each value comes once.

`scan` is 1 s. With `--sampling 0ms` the server is asked to report what is set when it is set. With another one, such as
the 1s that is the default of a device, it looks at each value so often, and node-opcua spends about 10 µs on a look:
100,000 a second are more than it can do beside anything else, for any client, and are not subscribed after three minutes;
10,000 are.
"""

import argparse
import asyncio
import cProfile
import os
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

import numpy as np

from benchmarks.opcua import device
from gateway.plugin import quality
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


async def subscribe(driver: OpcUa, count: int, steps: Steps) -> None:
    await driver.connect()
    steps.done("connecting")
    await driver.describe()
    steps.done("describing")
    missing = np.ones(count, np.bool_)
    async with aclosing(driver.stream()) as blocks:  # type: ignore[type-var]
        async for readings in blocks:
            missing[readings.tag[readings.quality < quality.UNCERTAIN]] = False
            if not missing.any():
                break
        steps.done("subscribing")
    steps.done("in all", whole=True)
    await driver.close()
    driver.release()


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--items", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument(
        "--sampling", default="0ms", help="how often the server looks (default: 0ms, when a value is set)"
    )
    parser.add_argument("--profile", type=Path, help="write cProfile's figures of this process here; it is slower then")
    options = parser.parse_args()
    require_node_opcua()
    profile = cProfile.Profile() if options.profile else None
    with tempfile.TemporaryDirectory() as folder:
        for count in options.items:
            async with OpcUaPeer("node-opcua", Path(folder), "--many", str(count), "--tick", "3600000") as peer:
                assert peer._process is not None
                await asyncio.to_thread(__import__, "plugins.opcua.session.session")
                driver = OpcUa([device(peer.url, count, scan="1s", sampling=options.sampling)])
                steps = Steps(count, peer._process.pid)
                if profile is not None:
                    profile.enable()
                await subscribe(driver, count, steps)
                if profile is not None:
                    profile.disable()
                    profile.dump_stats(options.profile)


if __name__ == "__main__":
    asyncio.run(main())
