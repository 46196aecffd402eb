"""CPU time of one record of 250 bytes that an HTTP server has taken: clients in their plain way, one and a hundred a request.

    python benchmarks/posting.py [--count 5000] [--runs 3]

Times are CPU time of this process, all threads, in µs per record for which a uvicorn of its own process has answered 200; the
best of interleaved runs. The whole sink encodes its records too. aiohttp is measured where it is installed.
"""

import argparse
import asyncio
import http.client
import importlib
import importlib.util
import multiprocessing
import time
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any

from gateway.kit.http_client import HttpClient
from gateway.plugin import DeviceConfig, TagConfig
from gateway.testing import FakeSinkHost, bind, build_sink_config, eventually, records
from plugins.http_post import HttpPostSink
from tests.peers.http_server import HttpServer

BATCHES = (1, 100)
RECORD = b'{"topic":"north/coating/coater-1","ts":1800000000000,"note":"%s"}' % (b"x" * 190)
Run = Callable[[int, int, int], Coroutine[Any, Any, float]]


def serve(told: Connection) -> None:
    """In a process of its own, until it is ended."""

    async def run() -> None:
        from starlette.responses import Response

        async with HttpServer(lambda *_: Response("{}")) as server:
            told.send(server.port)
            while True:
                server.requests.clear()
                await asyncio.sleep(0.1)

    asyncio.run(run())


def body(batch: int) -> bytes:
    """Of one request."""
    return b"[%b]" % b",".join([RECORD] * batch)


async def stdlib(port: int, batch: int, count: int) -> float:
    """http.client, which blocks, over one connection."""
    client = http.client.HTTPConnection("127.0.0.1", port)
    said = {"Content-Type": "application/json", "Idempotency-Key": "x"}
    started = time.process_time()
    for _ in range(count // batch):
        client.request("POST", "/ingest", body(batch), said)
        assert client.getresponse().read() == b"{}"
    return time.process_time() - started


async def aiohttp_client(port: int, batch: int, count: int) -> float:
    """aiohttp as its documentation shows it."""
    aiohttp: Any = importlib.import_module("aiohttp")
    said = {"Content-Type": "application/json", "Idempotency-Key": "x"}
    async with aiohttp.ClientSession() as session:
        started = time.process_time()
        for _ in range(count // batch):
            async with session.post(f"http://127.0.0.1:{port}/ingest", data=body(batch), headers=said) as answer:
                assert await answer.read() == b"{}"
        return time.process_time() - started


async def our_client(port: int, batch: int, count: int) -> float:
    """gateway.kit.http_client."""
    client = HttpClient(f"http://127.0.0.1:{port}")
    said = {"Content-Type": "application/json", "Idempotency-Key": "x"}
    started = time.process_time()
    for _ in range(count // batch):
        assert (await client.ask("POST", "/ingest", said, body(batch))).body == b"{}"
    spent = time.process_time() - started
    await client.close()
    return spent


async def the_sink(port: int, batch: int, count: int) -> float:
    """plugins/http_post, which is given a window at a time."""
    device = bind(DeviceConfig(name="coater-1", driver="test"), {f"tag-{n}": TagConfig() for n in range(8)})
    host: Any = FakeSinkHost([device])
    options = {"url": f"http://127.0.0.1:{port}/ingest", "batch": batch, "states": False}
    sink = HttpPostSink(build_sink_config(HttpPostSink, options), host)  # type: ignore[arg-type]
    await sink.connect()
    serving = asyncio.ensure_future(sink.serve())
    sent = records(device, count)
    started = time.process_time()
    for at in range(0, count, 200):
        sink.send(sent[at : at + 200])
        await eventually(lambda at=at: len(host.taken) >= min(at + 200, count))  # type: ignore[misc]
    spent = time.process_time() - started
    serving.cancel()
    await asyncio.wait([serving])
    await sink.close()
    return spent


WAYS: dict[str, Run] = {
    "http.client": stdlib,
    **({"aiohttp": aiohttp_client} if importlib.util.find_spec("aiohttp") else {}),
    "gateway.kit.http_client": our_client,
    "plugins/http_post, encoding too": the_sink,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=5000, help="records per run")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way; the best counts")
    arguments = parser.parse_args()
    told, tell = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(tell,), daemon=True)
    server.start()
    port = told.recv()
    best: dict[tuple[str, int], float] = {}
    for _ in range(arguments.runs):
        for batch in BATCHES:
            for way, run in WAYS.items():
                spent = asyncio.run(run(port, batch, arguments.count))
                best[way, batch] = min(best.get((way, batch), spent), spent)
    server.terminate()
    print(f"{'µs CPU per record':<36}" + "".join(f"{f'{batch} a request':<16}" for batch in BATCHES))
    for way in WAYS:
        print(f"{way:<36}" + "".join(f"{best[way, batch] / arguments.count * 1e6:<16.1f}" for batch in BATCHES))


if __name__ == "__main__":
    main()
