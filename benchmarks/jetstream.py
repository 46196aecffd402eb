"""CPU time of one message of 1 KB that a stream has acknowledged: nats-py in its two plain ways, and our session.

    python benchmarks/jetstream.py [--count 20000] [--runs 3]

Times are CPU time of this process, all threads, in µs per message for which nats-server (in a process of its own) has sent
its PubAck; the best of interleaved runs. Every message has an id by which the server drops repeats, and is counted.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count as numbers
from pathlib import Path
from typing import Any

import nats

from plugins.nats.session import NatsSession, Outgoing
from tests.peers.nats_server import NatsServer

WINDOWS = (20, 200)
PAYLOAD = b"x" * 1024
SUBJECTS = [f"edge.plant.solids.coating.coater-{number}" for number in range(50)]
Run = Callable[[int, int, int], Awaitable[tuple[float, float]]]

_ids = numbers()
"""Each message of all runs has another one."""


async def nats_py(port: int, window: int, count: int) -> tuple[float, float]:
    """CPU and wall seconds of nats-py as its documentation shows it: `window` tasks that each wait for their answer."""
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = client.jetstream()
    left = iter(range(count))

    async def publish() -> None:
        for number in left:
            await stream.publish(SUBJECTS[number % 50], PAYLOAD, headers={"Nats-Msg-Id": str(next(_ids))})

    started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(publish() for _ in range(window)))
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    await client.close()
    return spent


async def nats_py_futures(port: int, window: int, count: int) -> tuple[float, float]:
    """The same by its publish_async, which gives a future."""
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = client.jetstream(publish_async_max_pending=window)
    started = time.process_time(), time.perf_counter()
    for number in range(count):
        await stream.publish_async(SUBJECTS[number % 50], PAYLOAD, headers={"Nats-Msg-Id": str(next(_ids))})
    await stream.publish_async_completed()
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    await client.close()
    return spent


async def our_session(port: int, window: int, count: int) -> tuple[float, float]:
    """The same through a session of plugins/nats."""
    answered = sent = 0
    done = asyncio.Event()

    def taken(tokens: list[Any]) -> None:
        nonlocal answered
        answered += len(tokens)
        feed()

    def feed() -> None:
        nonlocal sent
        room = min(answered + window, count) - sent
        sent += room
        session.publish([_outgoing(number) for number in range(sent - room, sent)])
        if answered == count:
            done.set()

    session = NatsSession("127.0.0.1", port, "_INBOX", taken, lambda _, refusal: print(refusal))
    await session.begin(tls=False, first=False, login=lambda _: {}, name="bench")
    started = time.process_time(), time.perf_counter()
    feed()
    await done.wait()
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    await session.abort()
    return spent


def _outgoing(number: int) -> Outgoing:
    headers = f"NATS/1.0\r\nNats-Msg-Id: {next(_ids)}\r\n\r\n".encode()
    return Outgoing(SUBJECTS[number % 50].encode(), headers, PAYLOAD, number)


WAYS: dict[str, Run] = {
    "nats-py, publish": nats_py,
    "nats-py, publish_async": nats_py_futures,
    "plugins/nats": our_session,
}


async def measured(port: int, count: int, runs: int) -> dict[tuple[str, int], tuple[float, float]]:
    """The best run of each way with each window: CPU and wall seconds."""
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = client.jetstream()
    await stream.add_stream(name="BENCH", subjects=["edge.>"])
    best: dict[tuple[str, int], tuple[float, float]] = {}
    for window in WINDOWS:
        for _ in range(runs):
            for way, run in WAYS.items():
                spent = await run(port, window, count)
                best[way, window] = min(best.get((way, window), spent), spent)
    kept = (await stream.stream_info("BENCH")).state.messages
    assert kept == len(WINDOWS) * runs * len(WAYS) * count, f"the stream has {kept} messages"
    await client.close()
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=20_000, help="messages per run")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way; the best counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, NatsServer(Path(directory)) as server:
        best = asyncio.run(measured(server.port, arguments.count, arguments.runs))
    print(
        f"{'µs CPU per acknowledged message / 1000 per s':<46}" + "".join(f"window {window:<9}" for window in WINDOWS)
    )
    for way in WAYS:
        cells = [best[way, window] for window in WINDOWS]
        rates = [f"{cpu / arguments.count * 1e6:.1f} / {arguments.count / wall / 1e3:.0f}" for cpu, wall in cells]
        print(f"{way:<46}" + "".join(f"{rate:<16}" for rate in rates))


if __name__ == "__main__":
    main()
