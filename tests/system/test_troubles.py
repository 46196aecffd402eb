"""What breaks at devices, plugins, models and brokers, each caused for real: named in one message, and the rest runs on."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import eventually
from tests.peers.broker import Broker, Subscriber
from tests.peers.proxy import FaultProxy, half

from .daemon import Daemon, device, pending, sink
from .plant import modbus, modbus_devices, mqtt

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

BUGGY = """
from gateway.plugin import DeviceConfig, Driver, TagConfig, Tags, Values


class BuggyTag(TagConfig):
    def value_type(self) -> str:
        return "float64"


class Buggy(Driver[DeviceConfig, BuggyTag]):
    async def connect(self) -> None:
        pass

    async def read(self, tags: Tags) -> Values:
        return [1.0 / len(self.nothing) for _ in tags]

    async def close(self) -> None:
        pass
"""
DROPPED_IN = BUGGY.replace("1.0 / len(self.nothing)", "42.0").replace("Buggy", "Answer")
DROPPED = """
[[device]]
name = "{name}"
driver = "{driver}"
scan = "200ms"
[device.tags]
answer = {{}}
"""
OPC_UA = """
[[device]]
name = "no-opcua"
driver = "opcua"
url = "opc.tcp://127.0.0.1:{port}"
security = "none"
[device.tags]
count = {{ address = "ns=1;s=Count" }}
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as broker:
        yield broker


def good_values(subscriber: Subscriber, name: str) -> list[float]:
    """tag_00 of a device as it arrived, stale ones left out."""
    bodies = [json.loads(each.payload) for each in subscriber.received if each.topic == f"plant/{name}"]
    return [body["values"]["tag_00"] for body in bodies if "q" not in body]


def events_of(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(each.payload) for each in subscriber.received if each.topic.endswith("/_event")]


def values(subscriber: Subscriber, name: str) -> int:
    """Readings of a device that arrived, repeats counted once."""
    bodies = [json.loads(each.payload) for each in subscriber.received if each.topic == f"plant/{name}"]
    return sum(len(values) for values in {body["id"]: body["values"] for body in bodies}.values())


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every request with bytes that make no sense."""
    try:
        while await reader.read(300):
            writer.write(os.urandom(40))
    except OSError:
        pass
    finally:
        writer.close()


class Mute:
    """Takes requests and never answers."""

    def __init__(self, beside: FaultProxy) -> None:
        self.beside = beside
        self.answered_meanwhile: list[int] = []
        """How often the device beside it answered while a request of ours was waited for, which ends by hanging up."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(300)
            before = len(self.beside.answers)
            while await reader.read(300):
                pass
            self.answered_meanwhile.append(len(self.beside.answers) - before)
        except OSError:
            pass
        finally:
            writer.close()


async def test_a_device_or_plugin_that_breaks_is_named_and_the_others_are_read(broker: Broker, tmp_path: Path) -> None:
    """Seven troubled devices in one gateway, beside one that works; its counter is the witness."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "buggy.py").write_text(BUGGY)
    (plugins / "answer.py").write_text(DROPPED_IN)
    (plugins / "broken.py").write_text("import a_library_that_nobody_has\n")
    async with AsyncExitStack() as stack:
        port, holed = await stack.enter_async_context(modbus_devices("--ports", "2", "--hole", "hr:6-7"))
        witness = await stack.enter_async_context(FaultProxy("127.0.0.1", port))
        nothing = Mute(witness)
        servers = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (garbage, nothing)]
        wild, mute = (server.sockets[0].getsockname()[1] for server in servers)
        for server in servers:
            stack.callback(server.close)
        halved = await stack.enter_async_context(FaultProxy("127.0.0.1", port))
        config = [
            f'[gateway]\nname = "system-gw"\nstate_dir = "state"\nplugin_dirs = ["{plugins}"]\n',
            mqtt(broker.port),
            modbus("good", witness.port, floats=2),
            modbus("holed", holed, floats=5),
            modbus("garbage", wild, floats=2, timeout='"1s"'),
            modbus("mute", mute, floats=2, timeout='"1s"'),
            modbus("halved", halved.port, floats=2, timeout='"1s"'),
            modbus("nobody", 1, floats=2),
            OPC_UA.format(port=wild),
            DROPPED.format(name="buggy", driver="buggy"),
            DROPPED.format(name="answer", driver="answer"),
        ]
        subscriber = stack.enter_context(Subscriber(broker))
        daemon = await stack.enter_async_context(Daemon(tmp_path / "gateway", "\n".join(config)))
        await daemon.until(
            lambda status: device(status, "halved")["polls"] > 2, "a device is read before its frame is halved"
        )
        drops = device(await daemon.status(), "halved")["line"].get("drops", 0)
        halved.spoil_next(half)
        await daemon.until(
            lambda status: device(status, "halved")["line"].get("drops", 0) > drops, "the half frame is noticed"
        )
        await daemon.logs("device=halved reason=")
        await daemon.until(lambda status: device(status, "halved")["state"] == "up", "a new connection works again")

        status = await daemon.until(
            lambda status: (
                all(device(status, name)["state"] == "down" for name in ("garbage", "mute", "nobody", "no-opcua"))
                and device(status, "buggy")["state"] == "faulted"
                and device(status, "answer")["good"] == 1
                and device(status, "holed")["good"] == 4
            ),
            "every trouble is seen, and what works",
        )
        assert (
            "nothing" in device(status, "nobody")["reason"] or "refused" in device(status, "nobody")["reason"].lower()
        )
        assert "answer" in device(status, "mute")["reason"]
        assert "AttributeError" in device(status, "buggy")["reason"]
        assert device(status, "answer") | {"since_s": 0, "polls": 0} == {
            **device(status, "answer"), "state": "up", "good": 1, "errors": 0, "since_s": 0, "polls": 0,
        }  # fmt: skip
        assert (device(status, "holed")["state"], device(status, "holed")["good"]) == ("up", 4), "only the hole is bad"
        assert "40007-40008" in daemon.log and "tags=tag_03" in daemon.log, "the missing address is named"
        assert "a_library_that_nobody_has" in (listed := (await daemon.ask("plugin", "list")).out), listed

        before = device(status, "good")["polls"]
        seen = len(good_values(subscriber, "good"))
        status = await daemon.until(
            lambda status: device(status, "good")["polls"] - before >= 6, "the good one is polled all the time"
        )
        assert (device(status, "good")["errors"], device(status, "good")["state"]) == (0, "up")
        await eventually(lambda: len(good_values(subscriber, "good")) - seen >= 6, what="its values arrive")
        await eventually(
            lambda: max(nothing.answered_meanwhile, default=0) >= 2,
            what="nobody waits while the mute one is waited for",
        )
        assert daemon.log.count("Traceback") == 1, "one traceback, of the plugin with the bug"
        assert await daemon.stop() == 0


async def test_a_model_with_wrong_inputs_says_so_once_and_readings_flow(broker: Broker, tmp_path: Path) -> None:
    from gateway.demo.scenario import MODELS

    wrong, damaged = tmp_path / "wrong.onnx", tmp_path / "damaged.onnx"
    wrong.write_bytes((MODELS / "coater.onnx").read_bytes())
    damaged.write_bytes((MODELS / "coater.onnx").read_bytes()[:5000])
    async with AsyncExitStack() as stack:
        (port,) = await stack.enter_async_context(modbus_devices())
        models = "".join(f'[[model]]\nfile = "{file}"\ndevices = ["press-*"]\n' for file in (wrong, damaged))
        subscriber = stack.enter_context(Subscriber(broker))
        config = f"{mqtt(broker.port)}{modbus('press-1', port)}{models}"
        daemon = await stack.enter_async_context(Daemon(tmp_path / "gateway", config))
        await daemon.until(
            lambda status: [each["state"] for each in status["models"]] == ["faulted"] * 2, "both have failed"
        )
        await eventually(lambda: len(good_values(subscriber, "press-1")) >= 8, what="readings flow")
        await eventually(lambda: len(events_of(subscriber)) >= 2, what="both are told")
        events = events_of(subscriber)
        assert [(each["kind"], each["state"]) for each in events] == [("model", "failed")] * 2, "one event each"
        assert any("tag" in each["message"] for each in events), events
        assert "Traceback" not in daemon.log
        assert await daemon.stop() == 0


async def test_a_broker_that_refuses_or_goes_silent_is_named_and_costs_nothing(tmp_path: Path) -> None:
    """Wrong password, then the right one; a black hole. How soon that is noticed: tests/publish/test_silence.py."""
    users = tmp_path / "users"
    users.write_text("gw:$7$101$")  # replaced below by mosquitto's own tool
    password = tmp_path / "password"
    password.write_text("wrong")
    password.chmod(0o600)
    tool = await asyncio.create_subprocess_exec("mosquitto_passwd", "-b", "-c", str(users), "gw", "right")
    assert await tool.wait() == 0
    async with AsyncExitStack() as stack:
        (port,) = await stack.enter_async_context(modbus_devices())
        broker = stack.enter_context(Broker(tmp_path, ["allow_anonymous false", f"password_file {users}"]))
        subscriber = stack.enter_context(Subscriber(broker, arguments=["-u", "gw", "-P", "right"]))
        link = await stack.enter_async_context(FaultProxy("127.0.0.1", broker.port))
        options = mqtt(link.port, ack_timeout='"2s"', user='"gw"', password=f'{{ file = "{password}" }}')
        daemon = await stack.enter_async_context(Daemon(tmp_path / "gateway", options + modbus("press-1", port)))
        status = await daemon.until(lambda status: sink(status)["state"] == "down", "the refusal is noticed")
        reason = sink(status)["reason"]
        assert "gw" in reason and "password" in reason and str(link.port) in reason
        assert "wrong" not in reason.replace("wrong user", ""), "the password itself is never printed"
        await daemon.until(lambda status: pending(status) > 4, "readings wait")
        password.write_text("right")
        await daemon.until(
            lambda status: sink(status)["state"] == "up" and not pending(status), "the right password works"
        )

        link.freeze()
        await daemon.until(lambda status: sink(status)["state"] == "down", "the black hole is noticed")
        await daemon.logs("swallows")
        await link.restore()
        status = await daemon.until(
            lambda status: sink(status)["state"] == "up" and not pending(status), "all is delivered"
        )
        ups = sum("up again" in line for line in daemon.log.splitlines() if "sink central" in line)
        assert daemon.log.count("swallows") == ups - 1, "said once each time; the first time it was the password"
        accepted = status["outbox"]["lanes"]["data"]["accepted"]
        await eventually(lambda: values(subscriber, "press-1") >= accepted, what="every accepted reading came")
        assert await daemon.stop() == 0


async def test_two_gateways_with_one_client_id_are_told_so(broker: Broker, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        (port,) = await stack.enter_async_context(modbus_devices())
        config = mqtt(broker.port, client_id='"twin"') + modbus("press-1", port)
        first = await stack.enter_async_context(Daemon(tmp_path / "first", config))
        second = await stack.enter_async_context(Daemon(tmp_path / "second", config))
        said = "client id"
        await eventually(
            lambda: said in first.log or said in second.log,
            what="the cause is named",
            timeout=120,
            explain=lambda: first.log,
        )
        assert "Traceback" not in first.log + second.log
