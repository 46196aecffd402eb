"""Brokers that plants and their software have, beside mosquitto: each in a process of its own, and none of it is ours.

with running("aedes", tmp_path) as broker, Ear(broker.port, "#") as ear:
    publish_to(broker.port)
    ear.wait_for(10)
"""

import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from tests.peers.broker import WITHIN, Broker, Received, end, wait_until
from tests.peers.nats_server import NatsServer
from tests.peers.ports import free_port

HERE = Path(__file__).parent
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Served(NamedTuple):
    """A broker that listens."""

    name: str
    port: int


@contextmanager
def running(name: str, directory: Path) -> Iterator[Served]:
    """Start it on a free port of 127.0.0.1, with nothing kept from before; skip the test where it is not to be had."""
    directory.mkdir()
    with ExitStack() as stack:
        if name == "mosquitto":
            yield Served(name, stack.enter_context(Broker(directory)).port)
            return
        port = free_port()
        if name == "nats":
            lines = ['server_name: "plant"', f'mqtt {{ host: "127.0.0.1", port: {port} }}']
            stack.enter_context(NatsServer(directory, lines))
        else:
            stack.enter_context(_process(directory, *_COMMANDS[name](directory, port)))
        wait_until(lambda: _listens(port), f"{name} listens", 2 * WITHIN)
        yield Served(name, port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _process(directory: Path, command: Sequence[str], more: Mapping[str, str]) -> Iterator[None]:
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **more}, start_new_session=True, cwd=directory
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(WITHIN)
        if "ERL_EPMD_PORT" in more:  # Erlang leaves that one behind
            subprocess.run(
                ["epmd", "-kill"], env={**os.environ, **more}, check=False, capture_output=True, timeout=WITHIN
            )


def _aedes(directory: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
    if not shutil.which("node") or not (HERE / "aedes/node_modules/aedes").is_dir():
        pytest.skip("aedes is not installed: sh .ci/tools.sh (needs nodejs and npm)")
    return ["node", str(HERE / "aedes/server.js"), str(port)], {}


def _mochi(directory: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
    return [_mochi_program(), str(port)], {}


@functools.cache
def _mochi_program() -> str:
    program = HERE / "mochi/mochi"
    if not program.exists():
        pytest.skip("mochi-mqtt is not built: sh .ci/tools.sh (needs Go 1.21 or later)")
    return str(program)


def _amqtt(directory: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
    pytest.importorskip("amqtt", reason="pip install amqtt")
    return [sys.executable, "-m", "gateway.demo.serve_broker", "--port", str(port)], {
        "PYTHONPATH": str(HERE.parents[1])
    }


def _rabbitmq(directory: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
    if not Path(RABBITMQ).exists():
        pytest.skip("RabbitMQ is not installed (with Erlang, 90 MB): apt-get install rabbitmq-server")
    config, plugins = directory / "rabbitmq.conf", directory / "plugins"
    config.write_text(
        f"mqtt.listeners.tcp.1 = 127.0.0.1:{port}\nmqtt.allow_anonymous = true\nmqtt.default_user = guest\n"
        f"mqtt.default_pass = guest\nlisteners.tcp.1 = 127.0.0.1:{free_port()}\n"
    )
    plugins.write_text("[rabbitmq_mqtt].\n")
    return [RABBITMQ], {
        "HOME": str(directory),
        "RABBITMQ_NODENAME": f"plant{port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_MNESIA_BASE": str(directory),
        "RABBITMQ_LOG_BASE": str(directory),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }


_COMMANDS: Mapping[str, Callable[[Path, int], tuple[Sequence[str], Mapping[str, str]]]] = {
    "aedes": _aedes,
    "mochi": _mochi,
    "amqtt": _amqtt,
    "rabbitmq": _rabbitmq,
}
NAMES = ("mosquitto", "nats", *_COMMANDS)


class Ear:
    """mosquitto_sub in a process of its own, for a broker whose log says nothing to us. Without wildcards in `topic`, what
    comes on other topics is left out: amqtt hands out retained messages that were not asked for."""

    def __init__(self, port: int, topic: str, directory: Path, version: str = "311", qos: int = 1) -> None:
        path = shutil.which("mosquitto_sub")
        if path is None:
            pytest.skip("mosquitto_sub is not installed: apt-get install mosquitto-clients")
        self._topic = topic
        self._out = directory / f"ear-{time.monotonic_ns()}.txt"
        where = ["-h", "127.0.0.1", "-p", str(port), "-V", version, "-t", topic, "-q", str(qos)]
        self._command = ["stdbuf", "-oL", path, "-d", *where, "-F", "\t%r\t%t\t%p"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._out.open("wb") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out)
        wait_until(lambda: b"Subscribed (mid" in self._out.read_bytes(), "mosquitto_sub has subscribed")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        end(self._process)

    @property
    def received(self) -> list[Received]:
        """All whole messages so far, in the order of arrival."""
        lines = self._out.read_bytes().rpartition(b"\n")[0].decode().split("\n")
        parts = (line.split("\t", 3)[1:] for line in lines if line.startswith("\t"))
        received = [Received(topic, payload, retained == "1") for retained, topic, payload in parts]
        return [each for each in received if "#" in self._topic or each.topic == self._topic]

    def wait_for(self, count: int, timeout: float = WITHIN) -> list[Received]:
        """Wait until that many messages came, and return all."""
        wait_until(lambda: len(self.received) >= count, f"{count} messages received", timeout)
        return self.received
