"""CPU time of one publish of 1 KB: plain paho with its thread, our session by paho's public API, and batched; with QoS 1, and
with QoS 0 and a barrier.

    python benchmarks/mqtt.py [--count 20000] [--runs 3]

Times are CPU time of this process, all threads, in µs per message that mosquitto (in a process of its own) has
acknowledged, itself or by the barrier behind it; the best of interleaved runs. Every message's acknowledgement is counted.
"""

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.mqtt import MqttOptions, MqttSession
from gateway.mqtt.paho_client import BatchedClient, PlainClient
from tests.peers.broker import Broker

WINDOWS = (20, 200)
PAYLOAD = b"x" * 1024
TOPICS = [f"north/solids/coating/coater-{number}" for number in range(50)]
Run = Callable[[int, int, int], tuple[float, float]]


def paho_thread(port: int, window: int, count: int) -> tuple[float, float]:
    """CPU and wall seconds of paho as its documentation shows it, with a window of our own."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="bench", protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(0)
    room = threading.Semaphore(window)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.on_publish = lambda *_: room.release()
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait()
    started = time.process_time(), time.perf_counter()
    for number in range(count):
        room.acquire()
        client.publish(TOPICS[number % len(TOPICS)], PAYLOAD, 1)
    for _ in range(window):
        room.acquire()
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    client.disconnect()
    client.loop_stop()
    return spent


def our_session(client_type: type[PlainClient], qos: Literal[0, 1]) -> Run:
    """The same through a session that uses this client."""
    return lambda port, window, count: asyncio.run(_publish(client_type, qos, port, window, count))


async def _publish(
    client_type: type[PlainClient], qos: Literal[0, 1], port: int, window: int, count: int
) -> tuple[float, float]:
    answered = sent = 0
    done = asyncio.Event()

    def acknowledged(tokens: list[Any]) -> None:
        nonlocal answered
        answered += len(tokens)
        feed()

    def feed() -> None:
        nonlocal sent
        room = min(answered + 2 * window, count) - sent
        if room >= window or sent + room == count:
            numbers = range(sent, sent + room)
            sent += room
            session.publish_many([(TOPICS[number % len(TOPICS)], PAYLOAD, False, number) for number in numbers])
        if answered == count:
            done.set()

    options = MqttOptions("127.0.0.1", port, "bench", max_in_flight=window, qos=qos)
    session = MqttSession(
        options, on_acknowledged=acknowledged, on_refused=lambda *refused: print(*refused), client_type=client_type
    )
    await session.connect()
    assert session.receive_maximum == window
    started = time.process_time(), time.perf_counter()
    feed()
    await done.wait()
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    await session.disconnect()
    return spent


WAYS: dict[str, Run] = {
    "paho, loop_start": paho_thread,
    "session, public API": our_session(PlainClient, 1),
    "session, batched": our_session(BatchedClient, 1),
    "session, public API, QoS 0": our_session(PlainClient, 0),
    "session, batched, QoS 0": our_session(BatchedClient, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=20_000, help="messages per run")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way; the best counts")
    arguments = parser.parse_args()
    best: dict[tuple[str, int], tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for window in WINDOWS:
            with Broker(Path(directory), [f"max_inflight_messages {window}"]) as broker:
                for _ in range(arguments.runs):
                    for way, run in WAYS.items():
                        spent = run(broker.port, window, arguments.count)
                        best[way, window] = min(best.get((way, window), spent), spent)
    print(f"{'µs CPU per publish / 1000 publishes per s':<42}" + "".join(f"window {window:<9}" for window in WINDOWS))
    for way in WAYS:
        cells = [best[way, window] for window in WINDOWS]
        rates = [f"{cpu / arguments.count * 1e6:.1f} / {arguments.count / wall / 1e3:.0f}" for cpu, wall in cells]
        print(f"{way:<42}" + "".join(f"{rate:<16}" for rate in rates))


if __name__ == "__main__":
    main()
