"""The bioreactor as an OPC UA server, in a process of its own: `python -m gateway.demo.serve_bioreactor --port 4840`.

One object `Bioreactor` in namespace `urn:edge-gateway:demo`, one variable per tag. Unencrypted and open to all on this
machine: a demonstration, no pattern for a plant.
"""

import argparse
import asyncio
import logging

from asyncua import Server, ua

from gateway.demo.bioreactor import TAGS, Bioreactor
from gateway.demo.pace import Pace, commands

NAMESPACE = "urn:edge-gateway:demo"
SEED = 3
STEP = 0.25


async def serve(host: str, port: int) -> None:
    """Serve until standard input ends."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://{host}:{port}/")
    server.set_server_name("Simulated bioreactor")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    reactor = Bioreactor(SEED)
    plant = await server.nodes.objects.add_object(ua.NodeId("Bioreactor", index), "Bioreactor")
    nodes = {
        tag: await plant.add_variable(ua.NodeId(f"Bioreactor.{tag}", index), tag, value)
        for tag, value in reactor.state().items()
    }
    assert set(nodes) == set(TAGS)
    async with server:
        moving = asyncio.create_task(_move(reactor, nodes))
        async for _ in commands():
            pass
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)


async def _move(reactor: Bioreactor, nodes: dict[str, object]) -> None:
    pace = Pace(STEP)
    while True:
        await asyncio.sleep(1.0)
        pace.catch_up(reactor.step)
        for tag, value in reactor.state().items():
            await nodes[tag].write_value(value)  # type: ignore[attr-defined]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4840)
    args = parser.parse_args()
    asyncio.run(serve(args.host, args.port))


if __name__ == "__main__":
    main()
