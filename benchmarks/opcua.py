"""CPU time per value of OPC UA: our driver beside asyncua's plain way, in the same run; the server is another process.

    python benchmarks/opcua.py [--items 1000 5000] [--seconds 5] [--rounds 3]

Prints the median of the rounds, which take turns, with the least in brackets. Ratios within one run count.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from asyncua import Client, ua

from gateway.plugin import Device, Tag, Tags
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig, OpcUaConfig
from plugins.opcua.requests.reading import ReadPlan
from tests.peers.opcua_servers import NAMESPACE, OpcUaPeer, require_node_opcua

SCAN = 0.25
Way = Callable[[str, int, float], Awaitable[float]]


def device(url: str, count: int, **more: str) -> Device:
    options = {
        "name": "plc",
        "driver": "opcua",
        "url": url,
        "scan": "250ms",
        "security": "none",
        "timeout": "30s",
    } | more
    nodes = [NodeConfig.model_validate({"address": f"nsu={NAMESPACE};s=M{number}"}) for number in range(count)]
    tags = [Tag(number, "plc", f"M{number}", config=node) for number, node in enumerate(nodes)]
    return Device("plc", "opcua", Tags("plc", tags), config=OpcUaConfig.model_validate(options))


class Counter:
    """Counts values over some seconds, once all have come for the first time, and knows what CPU time they cost."""

    def __init__(self, count: int, seconds: float) -> None:
        self._skip = 2 * count
        self._seconds = seconds
        self._values = 0
        self._begun: tuple[float, float] | None = None
        self.done = asyncio.get_running_loop().create_future()

    def add(self, count: int) -> None:
        if self._begun is None:
            self._skip -= count
            if self._skip <= 0:
                self._begun = time.process_time(), time.monotonic()
            return
        self._values += count
        if time.monotonic() - self._begun[1] > self._seconds and not self.done.done():
            self.done.set_result((time.process_time() - self._begun[0]) / self._values * 1e6)

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.add(1)


@asynccontextmanager
async def plain_client(url: str) -> AsyncIterator[Client]:
    client = Client(url, timeout=30, watchdog_intervall=10)
    async with client:
        yield client


async def nodes_of(client: Client, count: int) -> list[Any]:
    index = await client.get_namespace_index(NAMESPACE)
    return [client.get_node(ua.NodeId(f"M{number}", index)) for number in range(count)]


async def plain_subscription(url: str, count: int, seconds: float) -> float:
    async with plain_client(url) as client:
        counter = Counter(count, seconds)
        subscription = await client.create_subscription(SCAN * 1000, counter)
        nodes = await nodes_of(client, count)
        for at in range(0, count, 1000):
            await subscription.subscribe_data_change(nodes[at : at + 1000])
        spent: float = await counter.done
        await subscription.delete()
        return spent


async def our_subscription(url: str, count: int, seconds: float) -> float:
    driver = OpcUa([device(url, count)])
    await driver.connect()
    counter = Counter(count, seconds)
    async with aclosing(driver.stream()) as blocks:  # type: ignore[type-var]
        async for readings in blocks:
            counter.add(len(readings))
            if counter.done.done():
                break
    await driver.close()
    driver.release()
    spent: float = counter.done.result()
    return spent


async def timed(read: Callable[[], Awaitable[Any]], count: int, seconds: float) -> float:
    await read()
    begun, end, times = time.process_time(), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        await read()
        times += 1
    return (time.process_time() - begun) / times / count * 1e6


async def plain_read(url: str, count: int, seconds: float) -> float:
    async with plain_client(url) as client:
        nodes = await nodes_of(client, count)
        return await timed(lambda: client.read_values(nodes), count, seconds)


async def our_read(url: str, count: int, seconds: float) -> float:
    driver = OpcUa([device(url, count)])
    await driver.connect()
    assert driver._session is not None
    plan = ReadPlan(driver._session, driver.devices[0], driver.devices[0].tags)
    spent = await timed(plan.read, count, seconds)
    await driver.close()
    driver.release()
    return spent


async def compare(what: str, url: str, count: int, ways: dict[str, Way], seconds: float, rounds: int) -> None:
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            spent[name].append(await way(url, count, seconds))
    cells = [f"{name} {statistics.median(each):6.2f} ({min(each):.2f})" for name, each in spent.items()]
    print(f"{what:<28}" + "   ".join(cells), flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--items", type=int, nargs="*", default=[1000, 5000], help="items of each subscription")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way")
    options = parser.parse_args()
    require_node_opcua()
    print("µs CPU per value, median (least)")
    with tempfile.TemporaryDirectory() as folder:
        for count in options.items:
            async with OpcUaPeer("node-opcua", Path(folder), "--many", str(count), "--tick", str(SCAN * 1000)) as peer:
                ways: dict[str, Way] = {"asyncua's handler": plain_subscription, "ours": our_subscription}
                what = f"subscription of {count} at 250 ms"
                await compare(what, peer.url, count, ways, options.seconds, options.rounds)
        async with OpcUaPeer("node-opcua", Path(folder), "--many", "1000") as peer:
            reads: dict[str, Way] = {"asyncua's read_values": plain_read, "ours": our_read}
            await compare("read of 1000 nodes", peer.url, 1000, reads, options.seconds / 2, options.rounds)


if __name__ == "__main__":
    asyncio.run(main())
