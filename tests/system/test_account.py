"""Every value accounted for: real devices and a real broker behind links that break, and a daemon that is killed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.testing import eventually
from tests.peers.broker import Broker, Subscriber
from tests.peers.opcua_servers import NAMESPACE, OpcUaPeer, require_node_opcua
from tests.peers.proxy import FaultProxy

from . import accounting
from .accounting import ACCEPTED_WITHIN, MS, PAUSE, UNDER_WAY, Fault, History, Pause
from .daemon import PATIENCE, Daemon, all_up, device, pending, sink
from .plant import modbus, modbus_devices, mqtt

pytestmark = pytest.mark.system

SECOND = 1000 * MS
DEVICES = ("press-1", "press-2", "press-3", "reactor")
MODBUS = DEVICES[:3]
FLOATS = 20
PERIOD, TICK = SECOND, 200 * MS
"""From one value of a Modbus device, and of the OPC UA server, to the next."""
BEAT = 0.02
"""Seconds between two looks at whether the machine stands still."""
START = 1.5
"""Seconds in which the daemon starts on a quick machine. Where it takes longer, the rest may take longer in proportion."""
REACTOR = """
[[device]]
name = "reactor"
driver = "opcua"
url = "opc.tcp://127.0.0.1:{port}"
security = "none"
scan = "300ms"
sampling = "50ms"
timeout = "5s"
stale_after = "2s"
[device.tags]
count = {{ address = "nsu={namespace};s=Count" }}
"""


class Plant:
    """Devices, broker, the links to them, the daemon, and a note of everything that was broken, or stood still."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.faults: list[Fault] = []
        self.pauses: list[Pause] = []
        self._mended: list[tuple[Fault, float]] = []
        self.links: dict[str, FaultProxy] = {}
        self._slowness = 1.0
        self._ran: tuple[int, str, str] = (0, "", "")
        """The daemon's process, and the time that its event loop had of the processor, at the last look."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Plant"]:
        log = self.directory / "counter.log"
        count_log = self.directory / "count.log"
        async with AsyncExitStack() as stack:
            ports = await stack.enter_async_context(
                modbus_devices(
                    "--ports", "3", "--floats", str(FLOATS), "--period", f"{PERIOD / SECOND:g}", "--log", str(log)
                )
            )
            peer = OpcUaPeer("node-opcua", self.directory / "pki", "--tick", str(TICK // MS), "--log", str(count_log))
            await stack.enter_async_context(peer)
            unlimited = ["max_inflight_messages 0"]  # what the broker has taken is at once on its way to the subscriber
            self.broker = Broker(self.directory, unlimited)
            await asyncio.to_thread(self.broker.start)
            stack.callback(self.broker.stop)
            servers = dict(zip(DEVICES, [*ports, peer.port], strict=True)) | {"broker": self.broker.port}
            for name, port in servers.items():
                self.links[name] = await stack.enter_async_context(FaultProxy("127.0.0.1", port))
            self.subscriber = Subscriber(self.broker)
            await asyncio.to_thread(self.subscriber.__enter__)
            stack.callback(self.subscriber.__exit__)
            self.daemon = await stack.enter_async_context(Daemon(self.directory / "gateway", self._config()))
            await self.daemon.until(all_up, "everything is up")
            watching = asyncio.create_task(self._watch())
            stack.callback(watching.cancel)
            yield self
        self.counters, self.counts = History(log), History(count_log, MS)

    async def _watch(self) -> None:
        """Note when this process, through which all links lead, or the daemon got no turn."""
        stands_since = 0
        while True:
            before = time.time_ns()
            await asyncio.sleep(BEAT)
            self._note_pause(before)
            if self._daemon_stands():
                stands_since = stands_since or before
            elif stands_since:
                self._note_pause(stands_since)
                stands_since = 0

    def _note_pause(self, begin: int) -> None:
        if (now := time.time_ns()) - begin > PAUSE:
            self.pauses.append(Pause(frozenset(DEVICES), begin, now))

    def _daemon_stands(self) -> bool:
        """Whether its event loop wants to run, or waits for the disk, and has not run since the last look."""
        pid = self.daemon.pid
        try:
            stat = Path(f"/proc/{pid}/task/{pid}/stat").read_text()
        except OSError:  # it was killed
            return False
        state, *numbers = stat.rpartition(")")[2].split()
        ran, self._ran = self._ran, (pid, numbers[10], numbers[11])
        return state != "S" and ran == self._ran

    def stood_still(self, begin: int) -> int:
        """For how long (ns) since then."""
        return sum(pause.end - pause.begin for pause in self.pauses if pause.end > begin)

    def _config(self) -> str:
        port = {name: link.port for name, link in self.links.items()}
        more = 'count = { address = "ir:0", type = "uint32" }'
        return "\n".join(
            [
                mqtt(port["broker"], ack_timeout='"2s"'),
                modbus("press-1", port["press-1"], floats=FLOATS, timeout='"1s"'),
                modbus("press-2", port["press-2"], floats=FLOATS, more_tags=more, timeout='"1s"'),
                modbus("press-3", port["press-3"], floats=FLOATS, tag_options="deadband = 0", timeout='"1s"'),
                REACTOR.format(port=port["reactor"], namespace=NAMESPACE),
            ]
        )

    @asynccontextmanager
    async def broken(
        self, *parts: str, within: float | None = None, unaccepted: int = UNDER_WAY
    ) -> AsyncIterator[None]:
        """Note that these devices cannot be read during the block, and must be `within` so many seconds after it. A lost
        link is dialled again after a pause of at most 1 s or twice the outage; the dialling may take a second and a half."""
        asked = time.time_ns()
        await self.daemon.status()
        begin = time.time_ns()
        yield
        end = time.time_ns()
        # What came while the daemon had yet to answer us may not have been taken in.
        fault = Fault(frozenset(parts), begin, end, 0, unaccepted + begin - asked)
        self._mended.append((fault, within or 2.5 + 2 * (end - begin) / SECOND))

    async def start(self) -> None:
        """Start the daemon, and learn from that how slow the machine is."""
        begun = time.monotonic()
        await self.daemon.start()
        self._slowness = max(1.0, (time.monotonic() - begun) / START)

    async def calm(self, seconds: float = 2.0) -> None:
        """Wait until everything works again, and let it go on for a while."""
        await self.devices_are_read()
        await self.daemon.until(all_up, "everything is up again")
        await asyncio.sleep(seconds)

    async def devices_are_read(self) -> None:
        """Wait until they are, and note when that was."""
        await self.daemon.until(
            lambda status: all(each["state"] == "up" for each in status["devices"]), "all devices are read again"
        )
        up = time.time_ns()
        for fault, within in self._mended:
            allowed = within * SECOND * self._slowness + 10 * self.stood_still(fault.begin)
            assert up - fault.end < allowed, f"{fault.parts} were read again only after {up - fault.end} ns"
            self.faults.append(fault._replace(up=up, end=fault.end + self.stood_still(fault.begin)))
        self._mended.clear()

    async def read_beyond(self, time_ns: int) -> None:
        """Wait until a value of each device has arrived that is younger than this."""

        def arrived() -> bool:
            found = self.records().values()
            latest = {each.device: each.body["ts"] for each in accounting.in_sequence(found) if "values" in each.body}
            return all(latest.get(name, 0) * MS > time_ns for name in DEVICES)

        deadline = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(arrived):
            assert time.monotonic() < deadline, "not every device is read"
            await asyncio.sleep(0.2)

    async def nothing_waits(self) -> None:
        await self.daemon.until(
            lambda status: not pending(status) and not status["outbox"]["lanes"]["data"]["queued"],
            "the outbox is delivered",
        )

    def values(self) -> int:
        """Readings that arrived, repeats counted once."""
        return sum(len(each.body["values"]) for each in self.records().values() if "values" in each.body)

    def records(self) -> dict[str, accounting.Record]:
        return accounting.records(self.subscriber.received)


async def cut_and_freeze_the_devices(plant: Plant) -> None:
    async with plant.broken("press-1", "press-2", "reactor"):
        plant.links["press-1"].cut()
        plant.links["reactor"].cut()
        plant.links["press-2"].freeze()
        await asyncio.sleep(2.5)
        for name in ("press-1", "press-2", "reactor"):
            await plant.links[name].restore()
    await plant.calm(8)  # as long as the pauses may have become: they start anew
    async with plant.broken("press-3", "reactor"):
        plant.links["press-3"].drop()
        plant.links["reactor"].freeze()
        await plant.daemon.until(lambda status: device(status, "reactor")["state"] == "down", "the silence is noticed")
        await plant.links["reactor"].restore()
    await plant.calm()


async def cut_freeze_and_kill_the_broker(plant: Plant) -> None:
    link = plant.links["broker"]
    link.cut()
    await asyncio.sleep(2)
    await link.restore()
    await plant.calm()
    link.freeze()
    await plant.daemon.until(lambda status: sink(status)["state"] == "down", "the black hole is noticed")
    await plant.daemon.logs("swallows")
    await link.restore()
    await plant.calm()
    link.freeze()
    await asyncio.to_thread(plant.subscriber.catch_up)
    plant.broker.kill()
    link.cut()  # until the subscriber is back, else the new broker would take messages that nobody wants
    await asyncio.sleep(1)
    before = plant.broker.log.read_text().count("Sending SUBACK")
    await asyncio.to_thread(plant.broker.start)
    await eventually(
        lambda: plant.broker.log.read_text(errors="replace").count("Sending SUBACK") > before,
        what="mosquitto_sub is back",
    )
    await link.restore()
    await plant.calm()


async def kill_the_daemon(plant: Plant) -> None:
    async with plant.broken(*DEVICES, within=4, unaccepted=ACCEPTED_WITHIN):
        await plant.daemon.kill()
        await asyncio.sleep(0.5)
        await plant.start()
    await plant.calm()
    plant.links["broker"].cut()
    await asyncio.sleep(2)  # a backlog that only the disk has
    async with plant.broken(*DEVICES, within=4, unaccepted=ACCEPTED_WITHIN):
        await plant.daemon.kill()
        await plant.start()
    await plant.devices_are_read()
    await asyncio.sleep(1)
    await plant.links["broker"].restore()
    await plant.calm()


async def stop_the_daemon_in_good_order(plant: Plant) -> None:
    async with plant.broken(*DEVICES, within=4):
        assert await plant.daemon.stop() == 0
        await plant.start()
    await plant.calm(3)


def counter_of(tag: str, value: Any) -> float:
    """What the device's counter was when it had this value. It is told in the shortest form of its float32, which from 128 on
    is not exact: a slow machine gets there."""
    return float(np.float32(value)) - int(tag[4:]) / 64 if tag.startswith("tag_") else float(value)


@pytest.mark.timeout(500)
async def test_every_value_is_accounted_for(tmp_path: Path) -> None:
    require_node_opcua()
    async with Plant(tmp_path).running() as plant:
        await plant.calm()
        await cut_and_freeze_the_devices(plant)
        await cut_freeze_and_kill_the_broker(plant)
        await kill_the_daemon(plant)
        await stop_the_daemon_in_good_order(plant)
        end = time.time_ns()
        await plant.read_beyond(end)
        for name in DEVICES:
            plant.links[name].cut()
        await plant.daemon.until(
            lambda status: all(each["state"] == "down" for each in status["devices"]), "all devices are lost"
        )
        await plant.nothing_waits()
        status = await plant.daemon.delivered()
        assert await plant.daemon.stop() == 0
        await eventually(
            lambda: plant.values() >= status["outbox"]["lanes"]["data"]["accepted"],
            what="every accepted reading has arrived",
        )
    found = plant.records()
    assert plant.values() == status["outbox"]["lanes"]["data"]["accepted"], "more readings arrived than were accepted"
    assert len({record.log for record in found.values()}) == 1, "one log all the time"
    assert not [record for record in found.values() if record.topic.endswith("/_loss")]
    assert accounting.every_hole_is_named(found)["data"] == 2, "one skip for each kill -9, none for SIGTERM"
    accounting.times_never_go_back(found.values())
    for name in MODBUS:
        pauses = [*plant.pauses, *accounting.slow_answers(name, plant.links[name].answers)]
        pauses += accounting.slow_changes(name, plant.counters, PERIOD)
        answers = [
            (each.at, counter) for each in plant.links[name].answers for counter in accounting.counters(each.block)
        ]
        arrived = accounting.nothing_invented(found.values(), name, plant.counters, counter_of, pauses, plant.faults)
        balance = accounting.account(name, plant.counters, answers, arrived, plant.faults, end, pauses)
        print(f"{name}: {balance}, {len(pauses)} pauses")
        assert balance.arrived + balance.unpolled + balance.unaccepted == balance.had
        assert balance.arrived > balance.had / 2, "a test in which little arrives proves little"
    pauses = [*plant.pauses, *accounting.slow_changes("reactor", plant.counts, TICK)]
    counts = accounting.nothing_invented(found.values(), "reactor", plant.counts, counter_of, pauses, plant.faults)
    missing = accounting.gaps_only_at_faults("reactor", plant.counts, counts, plant.faults, end, pauses)
    print(f"reactor: {len(counts)} arrived, {missing} came while it was not connected")
    assert len(counts) > missing
    assert "Traceback" not in plant.daemon.log
