"""The program of docs/consumer.md, as it stands there, behind a real broker, while the gateway's link is cut."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest

from gateway.config.base import DeviceConfig
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.core.readings import Readings
from gateway.core.record import Kind
from gateway.outbox.format.frames import HEAD_SIZE, scan
from gateway.outbox.format.segment import HEADER_SIZE
from gateway.publish import publisher
from gateway.testing import eventually, load_plugin
from tests.peers.broker import Broker, Received, Subscriber, wait_until
from tests.peers.proxy import FaultProxy, swallow

from .blocks import PLACE
from .test_with_outbox import Number, Running, outbox_into

PAGE = Path(__file__).parents[2] / "docs" / "consumer.md"
SINK: Any = load_plugin(Path(__file__).parents[2] / "plugins/mqtt")
PATIENCE = 0.3


def program(name: str, directory: Path) -> Path:
    """One of the page's programs, written to a file."""
    (code,) = re.findall(rf"<!-- {name} -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = directory / f"{name}.py"
    path.write_text(code, encoding="utf-8")
    return path


class Consumer:
    """The page's program in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.store = directory / "readings.db"
        self.complaints = directory / "consumer.out"

    @property
    def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """Topic and body of all that it keeps."""
        with closing(sqlite3.connect(self.store, timeout=20)) as db:
            rows = db.execute("SELECT place, body FROM messages WHERE body IS NOT NULL").fetchall()
        return [(json.loads(place)[1], json.loads(body)) for place, body in rows]

    @property
    def told(self) -> list[str]:
        return self.complaints.read_text().split("\n")[:-1]

    @property
    def missing(self) -> list[str]:
        return [line for line in self.told if line.startswith("missing ")]

    @property
    def mismatches(self) -> set[str]:
        return {line for line in self.told if line.startswith("mismatch ")}

    def values(self) -> Counter[int]:
        return Counter(body["values"]["a"] for _, body in self.messages if "values" in body)

    def said(self, level: str) -> list[dict[str, Any]]:
        return [body for topic, body in self.messages if topic.endswith(level)]

    def gaps(self) -> list[tuple[Any, ...]]:
        """What its own look at the numbers finds now."""
        (query,) = re.findall(r'^gaps = """(.*?)"""', PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        with closing(sqlite3.connect(self.store, timeout=20)) as db:
            return db.execute(query).fetchall()

    def inspected(self) -> tuple[int, list[str]]:
        """Exit code and words of the inspector's program."""
        path = program("inspector", self.store.parent)
        done = subprocess.run(
            [sys.executable, str(path), str(self.store), "central"], capture_output=True, text=True, timeout=120
        )
        assert not done.stderr
        return done.returncode, done.stdout.splitlines()


@contextmanager
def consumer(broker: Broker, directory: Path) -> Iterator[Consumer]:
    """Subscribed when entered, ended when left."""
    subject = Consumer(directory)
    path = program("consumer", directory)
    arguments = ["127.0.0.1", str(broker.port), "#", "central", str(PATIENCE), str(subject.store)]
    before = broker.log.read_text().count("Sending SUBACK")
    with (
        subject.complaints.open("wb") as told,
        subprocess.Popen([sys.executable, str(path), *arguments], stdout=told, stderr=told) as process,
    ):
        try:
            wait_until(lambda: broker.log.read_text().count("Sending SUBACK") > before, "the consumer has subscribed")
            yield subject
            assert process.poll() is None, f"the consumer has ended: {subject.told}"
        finally:
            process.kill()


async def kept(condition: Callable[[], object]) -> None:
    """Wait for what stands in a consumer's file; looked at seldom, since that holds up its writing."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "not so within 90 s"
        await asyncio.sleep(0.2)


def test_the_program_has_thirty_lines() -> None:
    (code,) = re.findall(r"<!-- consumer -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.split("\n") if line.strip()]) <= 30


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.1)


async def killed_with_a_damaged_record(directory: Path, options: dict[str, Any], link: FaultProxy) -> int:
    """The gateway sends 0 to 99, is cut off with 100 to 199 in its log, and is killed; one of these is damaged on disk.
    Gives that one."""
    async with outbox_into(SINK, directory, options) as running:
        running.read(*range(100))
        await eventually(lambda: running.balance()["acknowledged"] == 100, 60)
        link.cut()
        for number in range(100, 200):
            running.read(number)
        await eventually(lambda: running.balance()["accepted"] == 200, 60)
        await eventually(lambda: running.publisher.health.state == "down", 60)
        kept = {}
        for path in directory.rglob("*"):
            with suppress(FileNotFoundError, IsADirectoryError):  # what is being written anew is there under its name
                kept[path] = path.read_bytes()
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        path.unlink()
    for path, data in kept.items():
        path.write_bytes(data)
    (path,) = (directory / "data").glob("*.seg")
    data = bytearray(path.read_bytes())
    records = [(at, head.seq) for at, head in scan(bytes(data), HEADER_SIZE) if head.kind == Kind.READINGS]
    at, seq = records[150]
    data[at + HEAD_SIZE + 4] ^= 1
    path.write_bytes(bytes(data))
    return seq


async def broken_after_a_swallow(link: FaultProxy) -> None:
    """Drop the link as soon as an answer of the broker was swallowed, and wait until it is dialled anew."""
    await eventually(lambda: not link.spoils, 60)
    before = link.accepted
    link.drop()
    await eventually(lambda: link.accepted > before, 60)


async def cut_again_and_again(running: Running, link: FaultProxy, numbers: range) -> None:
    """Readings go on while the link breaks; at times an acknowledgement is lost with it, which makes repeats."""
    cuts = len(numbers) // 50
    for cut in range(cuts):
        running.read(*numbers[50 * cut : 50 * cut + 25])
        await eventually(lambda: running.delivered, 60)  # else the same record is open at each end, and is put in doubt
        link.spoil_next(swallow)
        running.read(*numbers[50 * cut + 25 : 50 * cut + 50])
        await broken_after_a_swallow(link)


@pytest.mark.timeout(400)
async def test_nothing_is_lost_or_taken_twice_and_every_gap_is_named(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, Subscriber(broker) as raw, consumer(broker, tmp_path) as subject:
        async with FaultProxy("127.0.0.1", broker.port) as link:
            options = {"plugin": "mqtt", "host": "127.0.0.1", "port": link.port, "ack_timeout": "500ms"}
            damaged = await killed_with_a_damaged_record(tmp_path / "outbox", options, link)
            await link.restore()
            async with outbox_into(SINK, tmp_path / "outbox", options) as running:
                await cut_again_and_again(running, link, range(200, 700))
                await eventually(lambda: running.delivered and running.balance()["pending"] == 0, 60)
                await kept(lambda: len(subject.values()) == 699)
                await kept(lambda: subject.said("/_loss") and len(subject.said("/_skip")) >= 2)
                await kept(lambda: not subject.gaps())
        await asyncio.to_thread(raw.catch_up)
        got = subject.values()
        assert set(range(700)) - set(got) == {150}, "all but the damaged one"
        assert max(got.values()) == 1, "nothing is taken twice"
        ids = Counter(json.loads(each.payload).get("id") for each in raw.received if "id" in json.loads(each.payload))
        assert max(ids.values()) > 1, "a test without repeats proves nothing"
        (loss,) = subject.said("/_loss")
        assert (loss["ranges"], loss["reason"]) == ([[damaged, damaged]], "damaged on disk")
        assert {skip["lane"] for skip in subject.said("/_skip")} == {"alarm", "data"}
        assert subject.gaps() == [], "after all was delivered, no hole is left that nothing names"
        print(f"{len(got)} taken, {sum(ids.values()) - len(ids)} repeats dropped, 1 named as lost")


@pytest.mark.timeout(400)
async def test_a_number_that_nobody_names_is_told(tmp_path: Path) -> None:
    def message(number: int, **more: Any) -> str:
        return json.dumps({"id": f"feed:data:{number}", "ts": 1, "values": {"a": number}, "accepted": 2, **more})

    with Broker(tmp_path) as broker, consumer(broker, tmp_path) as subject:
        said = [("x/d", message(number)) for number in (1, 2, 2, 5, 9)]
        other = {"id": "feed:alarm:1", "lane": "data", "ranges": [[6, 7]], "sinks": {"lake": 1}}
        said.append(("x/gw/_loss", json.dumps(other)))
        said.append(("x/gw/_skip", json.dumps({"id": "feed:alarm:2", "lane": "data", "ranges": [[8, 8]]})))
        for topic, payload in said:
            publish = [
                "mosquitto_pub",
                "-h",
                "127.0.0.1",
                "-p",
                str(broker.port),
                "-q",
                "1",
                "-t",
                topic,
                "-m",
                payload,
            ]
            await asyncio.to_thread(subprocess.run, publish, check=True, timeout=60)
        await kept(lambda: len(subject.messages) == 6)
        told = {"missing feed data 3 4", "missing feed data 6 7"}
        await eventually(lambda: set(subject.missing) >= told, 60)
        before = len(subject.missing)
        publish[-3:] = ["x/d", "-m", message(3)]
        await asyncio.to_thread(subprocess.run, publish, check=True, timeout=60)
        await eventually(lambda: "missing feed data 4 4" in subject.missing[before:], 60)


class Ahead(SystemClock):
    """The clocks of this machine, set forward together, so that hours pass."""

    ns = 0

    def wall_ns(self) -> int:
        return super().wall_ns() + Ahead.ns

    def boot_ns(self) -> int:
        return super().boot_ns() + Ahead.ns

    @classmethod
    def at_the_next_hour(cls) -> None:
        hour = 3_600_000_000_000
        cls.ns += hour - (time.time_ns() + cls.ns) % hour


async def two_hours_with_cuts(running: Running, link: FaultProxy, subject: Consumer) -> None:
    """Two devices are read, over a link that breaks in each hour; until the last receipts of both hours are there."""
    other = running.outbox.bind(DeviceSpec(DeviceConfig(name="oven", driver="test"), {"t": Number()}), PLACE)
    for hour in (1, 2):
        for cut in range(2):
            await eventually(lambda: running.delivered, 60)
            link.spoil_next(swallow)
            for number in range(30 * cut, 30 * cut + 30):
                running.read(number)
                if number % 3 == 0:
                    block = (np.array([number]), other.tags.ids, np.array([number / 7]), np.zeros(1, np.uint32))
                    running.outbox.append(Readings(other, *block))
            await broken_after_a_swallow(link)
        await eventually(lambda: running.balance()["accepted"] == 80 * hour and running.delivered, 60)  # noqa: B023
        Ahead.at_the_next_hour()
        await kept(lambda: len(final_receipts(subject)) == 2 * hour)  # noqa: B023


def final_receipts(subject: Consumer) -> list[dict[str, Any]]:
    return [body for _, body in subject.messages if body.get("final")]


def publish(broker: Broker, messages: list[Received]) -> None:
    """Have a broker tell these, in this order."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "teller")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for each in messages:
        client.publish(each.topic, each.payload, qos=1).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


@pytest.mark.timeout(400)
async def test_all_receipts_check_and_one_message_withheld_or_altered_is_told_with_device_and_hour(
    tmp_path: Path,
) -> None:
    Ahead.at_the_next_hour()
    (tmp_path / "first").mkdir()
    with Broker(tmp_path) as broker, Subscriber(broker) as raw, consumer(broker, tmp_path / "first") as subject:
        async with FaultProxy("127.0.0.1", broker.port) as link:
            options = {"plugin": "mqtt", "host": "127.0.0.1", "port": link.port, "ack_timeout": "500ms"}
            async with outbox_into(SINK, tmp_path / "outbox", options, Ahead()) as running:
                await two_hours_with_cuts(running, link, subject)
        code, words = await asyncio.to_thread(subject.inspected)
        assert (code, len(words)) == (0, 4), words
        assert all(line.startswith("in order: ") for line in words)
        await asyncio.to_thread(raw.catch_up)
        said = raw.received
    once = list({json.loads(each.payload)["id"]: each for each in said if "id" in json.loads(each.payload)}.values())
    of_oven = [n for n, each in enumerate(once) if each.topic.endswith("/oven") and "values" in each.payload]
    hours = sorted({json.loads(each.payload)["hour"] for each in once if each.topic.endswith("/_receipt")})
    withheld, altered = of_oven[5], of_oven[-5]
    body = json.loads(once[altered].payload)
    other = Received(once[altered].topic, json.dumps({**body, "values": {"t": body["values"]["t"] + 1}}), False)
    spoiled = [*once[:withheld], *once[withheld + 1 : altered], other, *once[altered + 1 :]]
    (tmp_path / "second").mkdir()
    with Broker(tmp_path) as broker, consumer(broker, tmp_path / "second") as subject:
        await asyncio.to_thread(publish, broker, spoiled)
        await kept(lambda: len(subject.messages) == len(spoiled))
        (short,) = [body["message"] for body in final_receipts(subject) if "oven, " + hours[0] in body["message"]]
        await eventually(lambda: f"mismatch {short} 19 here" in subject.told, 60)
        assert not any("oven" not in line for line in subject.mismatches)
        code, words = await asyncio.to_thread(subject.inspected)
        assert code == 1
        assert {line.split("; ")[0] for line in words} == {
            f"MISMATCH: 19 of 20 readings are here: oven, {hours[0]}: 20 readings accepted",
            f"MISMATCH: what is here is not what was accepted: oven, {hours[1]}: 20 readings accepted",
            f"in order: d, {hours[0]}: 60 readings accepted",
            f"in order: d, {hours[1]}: 60 readings accepted",
        }
