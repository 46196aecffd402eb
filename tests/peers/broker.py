"""A real mosquitto in a process of its own, and a subscriber that shares no code with the gateway.

with Broker(tmp_path) as broker, Subscriber(broker) as subscriber:
    publish_to(broker.port)
    subscriber.wait_for(10)
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from tests.peers.frozen import freeze
from tests.peers.ports import free_port

WITHIN = 30.0
"""Seconds that a busy machine may take for what takes a moment."""


def _program(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install mosquitto mosquitto-clients")
    return path


def wait_until(condition: Callable[[], bool], what: str, timeout: float = WITHIN) -> None:
    """Poll until the condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.01)


class Broker:
    """mosquitto on a free port of 127.0.0.1; queues ten million messages, so that its drops are not taken for ours. (Without
    any limit, mosquitto 2.0.11 ends the connection after each message that it refuses.)

    `lines` are added to its configuration; those before the first listener line of theirs belong to the default one.
    """

    def __init__(self, directory: Path, lines: Sequence[str] = (), *, port: int = 0) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.log = directory / f"mosquitto-{self.port}.log"
        self._lines = lines
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, on the same port as before, and wait until it listens."""
        config = self.directory / f"mosquitto-{self.port}.conf"
        anonymous = [] if any("allow_anonymous" in line for line in self._lines) else ["allow_anonymous true"]
        user = [f"user {getpass.getuser()}"]  # else a mosquitto of root's gives up the right to read our files
        common = [
            *user,
            "persistence false",
            "max_queued_messages 10000000",
            "log_dest stderr",
            "log_type all",
            *anonymous,
        ]
        config.write_text("\n".join([*common, f"listener {self.port} 127.0.0.1", *self._lines, ""]))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([_program("mosquitto"), "-c", str(config)], stdout=log, stderr=log)
        wait_until(self._listens, "mosquitto listens")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"mosquitto ended:\n{self.log.read_text()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # a frozen one must thaw to end in good order
            self._process.wait(WITHIN)
            self._process = None

    def freeze(self) -> None:
        """Let it live, but do nothing."""
        freeze(self.pid)

    def thaw(self) -> None:
        """Undo freeze."""
        os.kill(self.pid, signal.SIGCONT)


def end(subscriber: "subprocess.Popen[bytes]") -> None:
    """End a mosquitto_sub. What its handler of signals does may lock it up for ever, when a message comes at that moment."""
    subscriber.terminate()
    try:
        subscriber.wait(2)
    except subprocess.TimeoutExpired:
        subscriber.kill()
        subscriber.wait(WITHIN)


class Received(NamedTuple):
    """One message as mosquitto_sub printed it."""

    topic: str
    payload: str
    retained: bool


class Subscriber:
    """mosquitto_sub in a process of its own, writing what it receives to a file."""

    def __init__(self, broker: Broker, topic: str = "#", arguments: Sequence[str] = ()) -> None:
        self.broker = broker
        self.topic = topic
        self.arguments = arguments
        self._out = broker.directory / f"sub-{broker.port}-{time.monotonic_ns()}.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        topics = ["-t", self.topic, "-q", "1", "-F", "%r\t%t\t%p"]
        command = [_program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(self.broker.port), "-V", "5", *topics]
        before = self._subscriptions()
        with self._out.open("wb") as out:
            self._process = subprocess.Popen([*command, *self.arguments], stdout=out)
        wait_until(lambda: self._subscriptions() > before, "mosquitto_sub has subscribed")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        end(self._process)

    def _subscriptions(self) -> int:
        return self.broker.log.read_text(errors="replace").count("Sending SUBACK")

    @property
    def received(self) -> list[Received]:
        """All whole lines so far, in the order of arrival."""
        whole = self._out.read_bytes().rpartition(b"\n")[0]
        lines = whole.decode().split("\n") if whole else []
        parts = (line.split("\t", 2) for line in lines)
        return [Received(topic, payload, retained == "1") for retained, topic, payload in parts]

    def wait_for(self, count: int, timeout: float = WITHIN) -> list[Received]:
        """Wait until that many messages came, and return all."""
        wait_until(lambda: self._out.read_bytes().count(b"\n") >= count, f"{count} messages received", timeout)
        return self.received

    def catch_up(self) -> None:
        """Wait until all has come that the broker has taken so far; a message that is sent to it now comes after that.
        What a broker has not yet brought to us when it is killed is gone, though its publisher has an answer."""
        mark = f'{{"mark": {time.monotonic_ns()}}}'
        where = ["-h", "127.0.0.1", "-p", str(self.broker.port), "-t", "mark"]
        subprocess.run([_program("mosquitto_pub"), *where, "-q", "1", "-m", mark], check=True, timeout=WITHIN)
        wait_until(lambda: mark.encode() in self._out.read_bytes(), "the subscriber has caught up")
