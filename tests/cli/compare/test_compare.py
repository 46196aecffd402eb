"""`edge-gateway compare`: two gateways that read the same devices, heard side by side."""

import asyncio
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.compare.differences import Comparison
from gateway.cli.compare.layouts import LAYOUTS, HeardValue, Topic, samples
from gateway.mqtt import MqttOptions, MqttSession
from tests.peers.broker import Broker

T = 1_800_000_000_000


@pytest.mark.parametrize(
    ("layout", "topic", "message", "told"),
    [
        ("edge-gateway", "north/press", {"ts": T, "values": {"a": 1.5, "b": None}, "id": "l:data:1"}, ("press/a", T, 1.5)),
        ("edge-gateway", "press", {"ts": T, "values": {"a": True}, "t": {"a": T - 5}}, ("press/a", T - 5, True)),
        (
            "telegraf", "telegraf/pc/modbus",
            {"fields": {"a": 1.5}, "name": "modbus", "tags": {"name": "press"}, "timestamp": T // 1000}, ("press/a", T, 1.5),
        ),
        (
            "telegraf", "x", {"metrics": [{"fields": {"a": 1}, "name": "press", "tags": {}, "timestamp": T * 10**6}]},
            ("press/a", T, 1),
        ),
        ("thingsboard", "v1/gateway/telemetry", {"press": [{"ts": T, "values": {"a": "on"}}]}, ("press/a", T, "on")),
        ("kepware", "iotgateway", {"timestamp": T, "values": [{"id": "C.press.a", "v": 2, "q": True}]}, ("press/a", T, 2)),
        ("neuron", "/neuron/x", {"node": "press", "group": "g", "timestamp": T, "values": {"a": 3}}, ("press/a", T, 3)),
        ("neuron", "x", {"node": "press", "timestamp": T, "tags": [{"name": "a", "value": 3}]}, ("press/a", T, 3)),
        ("plain", "plant/press/a", 7.5, ("press/a", None, 7.5)),
        ("plain", "plant/press/a", {"value": 7.5, "ts": T / 1000}, ("press/a", T, 7.5)),
        ("plain", "plant/press/_", {"a": 7.5, "ts": T}, ("press/a", T, 7.5)),
    ],
)  # fmt: skip
def test_each_layout_is_read(layout: str, topic: str, message: Any, told: tuple[str, float, Any]) -> None:
    names = Topic("plant/{device}/{tag}" if layout == "plain" else "#").names(topic)
    assert names is not None
    assert samples(LAYOUTS[layout], json.dumps(message).encode(), names) == [HeardValue(*told)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "payload", [b"", b"\xff\x00", b"{", b"[" * 100_000, b"null", b'{"values": 1}', b'{"fields": []}', b"[[1]]"]
)
def test_whatever_comes_is_read_or_refused(layout: str, payload: bytes) -> None:
    try:
        found = samples(LAYOUTS[layout], payload, {"topic": "x"})
    except ValueError:
        return
    assert all(isinstance(each, HeardValue) for each in found)


def test_topics_with_names_become_filters() -> None:
    topic = Topic("plant/{device}/+/{tag}")
    assert topic.filter == "plant/+/+/+"
    assert topic.names("plant/press/x/temp") == {"topic": "plant/press/x/temp", "device": "press", "tag": "temp"}
    assert topic.names("plant/press/temp") is None
    assert Topic("north/#").names("north") is not None
    assert Topic("north/#").names("south/x") is None


def compared(
    ours: list[tuple[float, Any]], theirs: list[tuple[float, Any]], within: float = 1, tolerance: float = 0
) -> Any:
    comparison = Comparison(within, tolerance, {})
    for ms, value in ours:
        comparison.ours(HeardValue("press/a", T + ms, value), T)
    for ms, value in theirs:
        comparison.theirs(HeardValue("Press/A", T + ms, value), T)
    comparison.judge(float("inf"))
    (tag,) = comparison.tags.values()
    return tag


def test_other_times_of_reading_are_no_difference() -> None:
    tag = compared([(n * 1000, n) for n in range(100)], [(n * 1000 + 400, n) for n in range(100)])
    assert (tag.ours.different, tag.theirs.different) == (0, 0)


def test_a_side_that_tells_changes_only_says_the_same() -> None:
    tag = compared([(n * 1000, 5) for n in range(100)] + [(100_000, 6)], [(0, 5), (100_300, 6)])
    assert (tag.ours.different, tag.theirs.different) == (0, 0)


def test_what_differs_is_counted_with_its_times_and_its_largest_distance() -> None:
    theirs = [(n * 1000, n + (50.0 if 40 <= n < 43 else 0)) for n in range(100)]
    tag = compared([(n * 1000, n) for n in range(100)], theirs)
    assert tag.theirs.different == 3
    assert (tag.first, tag.last) == (T + 40_000, T + 42_000)
    assert 49 <= tag.largest <= 50
    assert tag.example[0] == T + 40_000


def test_the_tolerance_is_a_share_of_the_value() -> None:
    assert compared([(0, 100.0)], [(0, 100.05)], tolerance=0.001).theirs.different == 0
    assert compared([(0, 100.0)], [(0, 100.2)], tolerance=0.001).theirs.different == 1


def test_a_day_of_values_is_not_kept() -> None:
    comparison = Comparison(5, 0, {})
    for second in range(20_000):
        comparison.ours(HeardValue("press/a", T + second * 1000, second % 7), T)
        comparison.theirs(HeardValue("press/a", T + second * 1000, second % 7), T)
        comparison.judge(T + second * 1000)
    (tag,) = comparison.tags.values()
    assert max(len(side.recent) + len(side.waiting) for side in (tag.ours, tag.theirs)) < 40


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if shutil.which("mosquitto") is None:
        pytest.skip("needs mosquitto: apt-get install mosquitto")
    with Broker(tmp_path) as broker:
        yield broker


async def publishing(port: int) -> None:
    """Both gateways: one tag that is the same, one that differs, one that the other lacks."""
    session = MqttSession(
        MqttOptions("127.0.0.1", port, "both"), on_acknowledged=lambda _: None, on_refused=lambda *_: None
    )
    await session.connect()
    try:
        for number in range(10**6):
            ours = {"ts": T + number, "values": {"temp": 20.5, "speed": 7, "new": 1}}
            theirs = {"press": [{"ts": T + number, "values": {"Temperature": 20.5, "speed": 8}}]}
            bodies = (("north/press", ours), ("v1/gateway/telemetry", theirs))
            session.publish_many([(topic, json.dumps(body).encode(), False, number) for topic, body in bodies])
            await asyncio.sleep(0.05)
    finally:
        await session.disconnect()


async def compare(port: int, *more: str) -> tuple[int, dict[str, Any], str]:
    words = [
        "--ours",
        "north/#",
        "--theirs",
        "v1/gateway/telemetry",
        "--layout",
        "thingsboard",
        "--for",
        "3s",
        "--json",
    ]
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "compare", "--broker", f"127.0.0.1:{port}", *words, *more,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await command.communicate()
    return command.returncode or 0, json.loads(out or b"{}"), err.decode()


@pytest.mark.servers
async def test_two_gateways_at_one_broker_are_compared(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("theirs,ours\npress/Temperature,press/temp\n")
    publisher = asyncio.create_task(publishing(broker.port))
    told: dict[str, Any] = {"tags": []}
    while len(told["tags"]) < 3:  # a machine that stood still for three seconds has heard nothing
        code, told, err = await compare(broker.port, "--map", str(tmp_path / "names.csv"))
    publisher.cancel()
    await asyncio.gather(publisher, return_exceptions=True)
    tags = {each["tag"]: each for each in told["tags"]}
    assert code == 1, err
    assert tags["press/temp"]["ours_different"] == tags["press/temp"]["theirs_different"] == 0
    assert tags["press/speed"]["theirs_different"] > 0
    assert tags["press/speed"]["largest"] == 1
    assert tags["press/new"]["theirs"] == 0


async def test_a_broker_that_is_not_there_is_told() -> None:
    code, told, err = await compare(1)
    assert (code, told) == (2, {})
    assert "connection refused" in err
