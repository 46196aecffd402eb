"""Slow is not dead: what moves is waited for, what does not is given up."""

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.config.base import DeviceConfig
from gateway.config.model import DeviceSpec
from gateway.publish.counts import SinkCounts
from gateway.publish.in_flight import QUIET_LOOKS, InFlight
from gateway.testing import eventually, load_plugin
from tests.peers.broker import Broker, Subscriber

from .blocks import PLACE
from .test_offence import read
from .test_publisher import numbered
from .test_with_outbox import Number, outbox_into

SINK: Any = load_plugin(Path(__file__).parents[2] / "plugins/mqtt")

pytestmark = pytest.mark.timeout(120)


class NarrowLink(threading.Thread):
    """Passes what a client sends at so many bytes per second, and takes no more of it than it passes on."""

    def __init__(self, port: int, rate: int) -> None:
        super().__init__(daemon=True)
        self.rate = rate
        self.connections = 0
        self._server_port = port
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            client, _ = self._listener.accept()
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._server_port))
            threading.Thread(target=self._pass, args=(client, server, self.rate), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, 1 << 30), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, rate: int) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(1024):
                target.sendall(data)
                time.sleep(len(data) / rate)


async def test_a_message_that_takes_many_time_outs_arrives_once_over_one_connection(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, Subscriber(broker) as subscriber:
        link = NarrowLink(broker.port, 10_000)  # bytes per second
        options = {"plugin": "mqtt", "host": "127.0.0.1", "port": link.port, "ack_timeout": "2s", "keep_alive": "2s"}
        async with outbox_into(SINK, tmp_path / "outbox", options) as running:
            spec = DeviceSpec(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": Number() for n in range(5000)})
            read(running, running.outbox.bind(spec, PLACE), 7)
            await eventually(lambda: running.delivered and running.balance()["accepted"] == 5000, 60)
        assert link.connections == 1
        (message,) = [each for each in subscriber.received if each.topic.endswith("/wide")]
        assert len(message.payload) > 6 * link.rate, "it took at least three time-outs"


def test_bytes_that_are_taken_are_progress_and_none_are_not() -> None:
    window = InFlight(10)
    window.handed_over(numbered(1), 0)
    assert [window.look(2.0, progress) for progress in range(1, 2 * QUIET_LOOKS)] == [""] * (2 * QUIET_LOOKS - 1)
    quiet = [window.look(2.0, 2 * QUIET_LOOKS) for _ in range(QUIET_LOOKS + 1)]
    assert "no acknowledgement for 2 s" in quiet[-1]


def test_when_all_will_be_sent_is_told_from_how_the_backlog_shrinks() -> None:
    counts = SinkCounts()
    counts.waiting(1000, 0)
    assert counts.drained_in() is None
    counts.waiting(800, 10**9)
    assert counts.drained_in() == 4.0
    counts.waiting(1200, 2 * 10**9)
    assert counts.drained_in() is None, "it grows"
    counts.new_session()
    assert counts.drained_in() is None
