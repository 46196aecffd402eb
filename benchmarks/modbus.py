"""CPU time of reading Modbus TCP: our driver beside pymodbus' plain way, on the same servers and in the same run.

    python benchmarks/modbus.py [--seconds 10] [--runs 3]

The servers are libmodbus in another process. Times are CPU time of this process, the best of interleaved runs. `request`:
one read of 125 registers, µs, on one connection and over 100. `acquire`: polls of 100 tags a device (25 float32 and 75
uint16 in one block of 125 registers, renewed between polls), decoded, scaled and checked for changes, CPU seconds per million
values; ours by the gateway's own acquirer, the plain way by a task per device that converts every tag and compares it with
its last value. A dead unit is one more behind the connection of the first device; below it stands what the others see of it.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from pymodbus.client import AsyncModbusTcpClient

from gateway.acquire.acquirer import Acquirer
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.core.device_event import Told
from gateway.core.event import Event
from gateway.core.live import LiveDevice, LiveTable
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.operate.logs import set_up
from gateway.plugin import Found
from gateway.supervise import Health, running
from gateway.testing import OneDriver, build_device
from plugins.modbus.config import ModbusDevice, ModbusTag
from plugins.modbus.driver import Modbus

SERVER = Path(__file__).parents[1] / "tests" / "peers" / "modbus_server.py"
WORDS = {f"r{n}": {"address": f"hr:{n}", "type": "uint16"} for n in range(125)}
MIXED = {f"f{n}": {"address": f"hr:{2 * n}", "type": "float32"} for n in range(25)}
MIXED |= {f"w{n}": {"address": f"hr:{50 + n}", "type": "uint16"} for n in range(75)}
TAGS = len(MIXED)


@contextmanager
def servers(count: int) -> Iterator[list[int]]:
    """Ports of libmodbus devices in a process of their own."""
    command = [sys.executable, str(SERVER), "--ports", str(count), "--floats", "100", "--period", "0.4"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield [int(port) for port in process.stdout.readline().split()[1:]]
    finally:
        process.terminate()
        process.wait()


class Road:
    """Where readings go: into the live table, and counted."""

    def __init__(self) -> None:
        self.live = LiveTable()
        self.values = 0
        self.polls: Counter[str] = Counter()
        self._number = 0

    def bind(self, spec: DeviceSpec, found: Mapping[str, Found]) -> Device:
        first, self._number = self._number, self._number + len(spec.tags)
        name = spec.config.name
        tags = [
            Tag(first + n, name, tag, "float32", config=config) for n, (tag, config) in enumerate(spec.tags.items())
        ]
        return Device(name, "modbus", Tags(name, tags), config=spec.config)

    def define(self, device: Device) -> LiveDevice:
        return self.live.define(device)

    def seen(self, readings: Readings, boot_ns: int) -> None:
        self.live.update(readings, boot_ns)
        self.values += len(readings)
        self.polls[readings.device.name] += 1

    def keep(self, readings: Readings) -> None: ...
    def settle(self) -> None: ...
    def told(self, told: Told) -> None: ...
    def event(self, event: Event) -> None: ...
    def device_changed(self, device: Device, health: Health) -> None: ...


class TimedRoad(Road):
    """Tells also how much the time between two polls of a device differs from its scan, once it has found its phase."""

    def __init__(self, scan: float) -> None:
        super().__init__()
        self.off: dict[str, list[float]] = {}
        self._scan = scan
        self._last: dict[str, float] = {}

    def seen(self, readings: Readings, boot_ns: int) -> None:
        super().seen(readings, boot_ns)
        name, now = readings.device.name, time.perf_counter()
        if self.polls[name] > 3:
            self.off.setdefault(name, []).append(abs(now - self._last[name] - self._scan))
        self._last[name] = now


async def requests_ours(ports: list[int], count: int) -> float:
    """CPU seconds for so many requests on each port."""
    devices = [build_device(Modbus, {"host": "127.0.0.1", "port": port}, WORDS) for port in ports]
    drivers = [Modbus([device]) for device in devices]
    for driver in drivers:
        await driver.connect()
        await driver.read(driver.devices[0].tags)

    async def ask(driver: Modbus) -> None:
        for _ in range(count):
            await driver.read(driver.devices[0].tags)

    spent = await _cpu(lambda: asyncio.gather(*map(ask, drivers)))
    for driver in drivers:
        await driver.close()
    return spent


async def requests_pymodbus(ports: list[int], count: int) -> float:
    """The same by pymodbus: registers as it gives them."""
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for port in ports]
    for client in clients:
        await client.connect()
        await client.read_holding_registers(0, count=125, device_id=1)

    async def ask(client: AsyncModbusTcpClient) -> None:
        for _ in range(count):
            answer = await client.read_holding_registers(0, count=125, device_id=1)
            assert len(answer.registers) == 125

    spent = await _cpu(lambda: asyncio.gather(*map(ask, clients)))
    for client in clients:
        client.close()
    return spent


async def acquire_ours(ports: list[int], scan: float, seconds: float, dead: int = 0, road: Road | None = None) -> float:
    """CPU seconds per million values; `dead` units more are configured behind the first device's connection, which nobody
    answers for."""
    road = road or Road()
    acquirer = Acquirer(road, OneDriver(Modbus), SystemClock())
    tags = {name: ModbusTag.model_validate({**tag, "deadband": 0.5}) for name, tag in MIXED.items()}
    options = {"driver": "modbus", "scan": f"{scan:g}s"}
    alive = [{"name": f"plc-{port}", "host": "127.0.0.1", "port": port} for port in ports]
    gone = [{"name": f"dead-{n}", "host": "127.0.0.1", "port": ports[0], "unit": 9} for n in range(dead)]
    specs = [DeviceSpec(ModbusDevice.model_validate(options | each), tags) for each in alive + gone]
    await acquirer.apply(specs)
    async with running(acquirer.run()):
        await _warm(road.polls, len(ports))
        before = road.values
        spent = await _cpu(lambda: asyncio.sleep(seconds))
        return spent / (road.values - before) * 1e6


async def others(ports: list[int], scan: float, seconds: float, dead: int) -> str:
    """How evenly living devices are polled, in words."""
    road = TimedRoad(scan)
    await acquire_ours(ports, scan, seconds, dead, road)
    off = sorted(each for waits in road.off.values() for each in waits[:-1])  # the last is of going stale at the stop
    late = sum(each > scan / 2 for each in off)
    return f"median {1e3 * off[len(off) // 2]:.1f}, p99 {1e3 * off[len(off) * 99 // 100]:.1f}, left out {late} of {len(off)}"


async def writes(ports: list[int], scan: float, count: int) -> list[float]:
    """Seconds from the call to the device's confirmation, of writes while all devices are polled; sorted."""
    road = Road()
    acquirer = Acquirer(road, OneDriver(Modbus), SystemClock())
    tags = {name: ModbusTag.model_validate(tag) for name, tag in MIXED.items()}
    tags["setpoint"] = ModbusTag(address="hr:1500", type="float32")
    options = {"driver": "modbus", "scan": f"{scan:g}s", "host": "127.0.0.1"}
    specs = [
        DeviceSpec(ModbusDevice.model_validate({**options, "name": f"plc-{port}", "port": port}), tags)
        for port in ports
    ]
    await acquirer.apply(specs)
    taken = []
    async with running(acquirer.run()):
        await _warm(road.polls, len(ports))
        setpoints = [source.device.tags[-1] for source in acquirer.sources]
        for n in range(count):
            begin = time.perf_counter()
            await acquirer.write(setpoints[n % len(setpoints)], float(n))
            taken.append(time.perf_counter() - begin)
            await asyncio.sleep(0.007)
    return sorted(taken)


async def acquire_pymodbus(ports: list[int], scan: float, seconds: float) -> float:
    """The same by pymodbus, a task a device, a conversion and a comparison a tag."""
    polls: Counter[int] = Counter()

    async def poll(port: int) -> None:
        last = [0.0] * TAGS
        async with AsyncModbusTcpClient("127.0.0.1", port=port) as client:
            while True:
                due = asyncio.get_running_loop().time() + scan
                block = (await client.read_holding_registers(0, count=125, device_id=1)).registers
                kind = client.DATATYPE.FLOAT32
                new = [client.convert_from_registers(block[n : n + 2], kind) for n in range(0, 50, 2)] + block[50:]
                last = [value if abs(value - old) > 0.5 else old for value, old in zip(new, last, strict=True)]
                polls[port] += 1
                await asyncio.sleep(due - asyncio.get_running_loop().time())

    async with running(*map(poll, ports)):
        await _warm(polls, len(ports))
        before = polls.total()
        spent = await _cpu(lambda: asyncio.sleep(seconds))
        return spent / (polls.total() - before) / TAGS * 1e6


async def _warm(polls: Counter[Any], devices: int) -> None:
    """Until each device has been polled three times, so that neither connecting nor planning is measured."""
    while len(polls) < devices or min(polls.values()) < 3:  # noqa: ASYNC110 - a poll must not pay for an event
        await asyncio.sleep(0.05)


async def _cpu(work: Callable[[], Awaitable[Any]]) -> float:
    begin = time.process_time()
    await work()
    return time.process_time() - begin


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each polling is measured")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    set_up("error")
    print(f"{'':36}{'ours':>8}{'pymodbus':>10}   goal")
    with servers(100) as ports:
        for connections, count in ((1, 3000), (100, 30)):
            total = connections * count
            pairs = [
                (await requests_ours(ports[:connections], count), await requests_pymodbus(ports[:connections], count))
                for _ in range(options.runs)
            ]
            ours, plain = (1e6 * min(times) / total for times in zip(*pairs, strict=True))
            print(f"{f'request, {connections} connections, µs':36}{ours:8.1f}{plain:10.1f}   ≤ 18", flush=True)
    for devices, scan, goal in ((100, 1.0, 1.2), (500, 0.5, 0.7)):
        with servers(devices) as ports:
            pairs = [
                (await acquire_ours(ports, scan, options.seconds), await acquire_pymodbus(ports, scan, options.seconds))
                for _ in range(options.runs)
            ]
            ours, plain = (min(each) for each in zip(*pairs, strict=True))
            what = f"acquire {devices * TAGS / scan:,.0f} tags/s, s/million"
            print(f"{what:36}{ours:8.2f}{plain:10.2f}   ≤ {goal}", flush=True)
            if devices == 100:
                with_dead = min([await acquire_ours(ports, scan, options.seconds, dead=1) for _ in range(options.runs)])
                print(f"{'  the same with a dead unit':36}{with_dead:8.2f}", flush=True)
                for dead, words in ((0, "all alive"), (1, "one dead unit more")):
                    even = await others(ports, scan, options.seconds, dead)
                    print(f"  polls off their time, ms, {words}: {even}", flush=True)
    with servers(100) as ports:
        taken = await writes(ports, 0.2, 500)
        print(f"write, at 50,000 tags/s, ms: median {taken[250] * 1e3:.1f}, p99 {taken[495] * 1e3:.1f}   ≤ 20")


if __name__ == "__main__":
    uvloop.run(main())
