"""A driver in a process of its own against whoever listens at a port, kept alive as the gateway does it: prints the cost.

    python besieged.py PORT SECONDS '{"acquisition": "poll"}'

gives {"memory": MiB beyond the quiet process, "gap": most seconds of CPU time for which nothing else had its turn, "stop": s
from the cancellation to the end, "errors": what ended the connections}.
"""

import asyncio
import json
import resource
import sys
import time
from contextlib import aclosing, suppress

import structlog

from gateway.core.errors import GatewayError
from gateway.plugin import Device, Tag, Tags
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig, OpcUaConfig


def device(port: int) -> Device:
    options = {
        "name": "plc",
        "driver": "opcua",
        "url": f"opc.tcp://127.0.0.1:{port}",
        "security": "none",
        "scan": "100ms",
    }
    more = json.loads(sys.argv[3])
    count = more.pop("tags", 2)
    config = OpcUaConfig.model_validate({**options, "timeout": "2s", "events": True, **more})
    nodes = [NodeConfig(address=f"nsu=http://peer.example/plant;s=T{number}") for number in range(count)]
    return Device(
        "plc",
        "opcua",
        Tags("plc", [Tag(n, "plc", f"T{n}", config=each) for n, each in enumerate(nodes)]),
        config=config,
    )


async def one_connection(driver: OpcUa) -> None:
    try:
        async with asyncio.timeout(5):
            await driver.connect()
        try:
            async with asyncio.timeout(10):
                await driver.describe()
            async with aclosing(driver.stream()) as stream:
                async for _ in stream:
                    pass
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(3):
                    await driver.close()
    finally:
        driver.release()


async def keep_alive(port: int, errors: dict[str, int]) -> None:
    while True:
        try:
            await one_connection(OpcUa([device(port)]))
        except (OSError, GatewayError, TimeoutError) as error:
            errors[str(error)] = errors.get(str(error), 0) + 1
        except Exception as error:
            errors[f"BUG {error!r}"] = errors.get(f"BUG {error!r}", 0) + 1
        await asyncio.sleep(0.2)


async def tick(gaps: list[float]) -> None:
    """CPU time, since a machine may have other things to do than to run this."""
    last = time.process_time()
    while True:
        await asyncio.sleep(0.01)
        now = time.process_time()
        gaps.append(now - last)
        last = now


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def main() -> None:
    errors: dict[str, int] = {}
    await asyncio.to_thread(__import__, "plugins.opcua.session.session")
    quiet = memory()
    gaps: list[float] = []
    tasks = [asyncio.create_task(tick(gaps)), asyncio.create_task(keep_alive(int(sys.argv[1]), errors))]
    await asyncio.sleep(float(sys.argv[2]))
    loop = asyncio.get_running_loop()
    before = loop.time()
    alive = not tasks[1].done()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    stop = loop.time() - before
    told = {"memory": memory() - quiet, "gap": max(gaps), "stop": stop, "alive": alive, "errors": errors}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
