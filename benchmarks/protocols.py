"""The PLC drivers: CPU seconds for a million values at the broker, beside the library's plain way in the same run.

    python benchmarks/protocols.py [--seconds 30] [--scan 1] [--only s7]

Ten devices of 100 scattered values (16-bit, ten pieces of ten), polled once a second and published with QoS 1 to
mosquitto. The servers run in processes of their own: snap7's C++ server for S7, the library's for S7CommPlus, aslmp's
simulator for MELSEC, those of our tests for XGT, FINS, EtherNet/IP and ADS, rusty-bacnet's for BACnet (bacnet: by
ReadPropertyMultiple; bacnet-cov: by notifications of values that change once a second, with a scan a minute). CPU is user +
system of the gateway's process over the window, its idle share included. The plain way is the library's own call for each
value, as its README shows it, without a broker; of FINS no library may be used.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.w1 import cpu_seconds, process  # noqa: E402
from plugins.s7.tests.symbols import certificate  # noqa: E402
from tests.peers.broker import Broker  # noqa: E402
from tests.peers.ports import free_port  # noqa: E402

DEVICES, PIECES, PER_PIECE = 10, 10, 10
WORDS = [100 * piece + n for piece in range(PIECES) for n in range(PER_PIECE)]
SNAP7 = str(ROOT / ".venv/snap7/bin/python")


@dataclass(frozen=True)
class Protocol:
    """How one is tried."""

    options: str
    """Of a device, beside host and port."""

    tag: Callable[[int], str]
    """The tag of a word."""

    plain: Sequence[str]
    """Command that polls one device the plain way, given port and seconds, and prints values and CPU seconds."""

    driver: str = ""
    """If another than its name."""


def _uint16(address: str) -> str:
    return f'{{ address = "{address}", type = "UINT" }}'


_LOOP = """
import sys, time
port, seconds = int(sys.argv[1]), float(sys.argv[2])
words = [100 * piece + n for piece in range(10) for n in range(10)]
{connect}
until, count, cpu = time.monotonic() + seconds, 0, time.process_time()
while time.monotonic() < until:
    for word in words:
        {read}
    count += len(words)
print(count, time.process_time() - cpu)
"""


def _loop(python: str, connect: str, read: str) -> list[str]:
    return [python, "-c", _LOOP.format(connect=connect, read=read)]


_BACPYPES3 = """
import asyncio, socket, sys, time
from bacpypes3.app import Application
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.pdu import Address
port, seconds = int(sys.argv[1]), float(sys.argv[2])
words = [100 * piece + n for piece in range(10) for n in range(10)]
async def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chosen:
        chosen.bind(("127.0.0.1", 0))
        own = chosen.getsockname()[1]
    client = DeviceObject(objectIdentifier="device,599", objectName="client", vendorIdentifier=999)
    at = NetworkPortObject(
        f"127.0.0.1:{own}", objectIdentifier="network-port,1", objectName="port", networkNumber=0,
        networkNumberQuality="unknown",
    )
    app = Application.from_object_list([client, at])
    where = Address(f"127.0.0.1:{port}")
    until, count, cpu = time.monotonic() + seconds, 0, time.process_time()
    while time.monotonic() < until:
        for word in words:
            await app.read_property(where, f"analog-input,{word}", "present-value")
        count += len(words)
    print(count, time.process_time() - cpu)
asyncio.run(main())
"""


def _analog_input(word: int) -> str:
    return f'{{ address = "AI:{word}" }}'


PROTOCOLS = {
    "s7": Protocol(
        "",
        lambda word: _uint16(f"DB2.DBW{2 * word}"),
        _loop(
            SNAP7,
            "from snap7.client import Client\nfrom snap7.util import get_uint\n"
            "c = Client(); c.connect('127.0.0.1', 0, 1, port)",
            "get_uint(c.db_read(2, 2 * word, 2), 0)",
        ),
    ),
    "s7commplus": Protocol(
        f'transport = "s7commplus"\ntls = {{ pin = ["{certificate()[2]}"] }}',
        lambda word: f'{{ symbol = "Many.w{word}" }}',
        _loop(
            sys.executable,
            "from s7commplus import Client\nc = Client(); c.connect('127.0.0.1', port, use_tls=True)",
            "c.read_tag(f'Many.w{word}')",
        ),
        "s7",
    ),
    "melsec": Protocol(
        "",
        lambda word: _uint16(f"D{word}"),
        _loop(
            sys.executable,
            "import pymcprotocol\nc = pymcprotocol.Type3E(); c.connect('127.0.0.1', port)",
            "c.batchread_wordunits(headdevice=f'D{word}', readsize=1)",
        ),
    ),
    "xgt": Protocol(
        "",
        lambda word: _uint16(f"D{word}"),
        _loop(
            sys.executable,
            "from pyXGTClient.client import XGTClient\nc = XGTClient(host='127.0.0.1', port=port); c.open()",
            "c.readData([f'%DW{word}'])",
        ),
    ),
    "ads": Protocol(
        'net_id = "5.80.201.232.1.1"',
        lambda word: f'{{ address = "GVL.w{word}" }}',
        _loop(
            sys.executable,
            "import pyads\npyads.open_port(); pyads.set_local_address('127.0.0.1.1.1')\n"
            "c = pyads.Connection('5.80.201.232.1.1', 851, f'127.48.{port >> 8}.{port & 255}'); c.open()",
            "c.read_by_name(f'GVL.w{word}', pyads.PLCTYPE_UINT)",
        ),
    ),
    "ethernetip": Protocol(
        "",
        lambda word: f'{{ address = "W{word}" }}',
        _loop(
            str(ROOT / ".venv/cip/bin/python"),
            "from pylogix import PLC\nc = PLC('127.0.0.1', port=port)",
            "c.Read(f'W{word}').Value",
        ),
    ),
    "fins": Protocol('transport = "tcp"', lambda word: _uint16(f"D{word}"), []),
    "bacnet": Protocol("local_port = 0", _analog_input, [sys.executable, "-c", _BACPYPES3]),
    "bacnet-cov": Protocol(
        'local_port = 0\nscan = "60s"\ncov = "unconfirmed"',
        _analog_input,
        [sys.executable, "-c", _BACPYPES3],
        driver="bacnet",
    ),
}


@contextmanager
def servers(name: str) -> Iterator[list[int]]:
    """Ports of ten devices."""
    with ExitStack() as running:
        if name == "s7":
            ports = [free_port() for _ in range(DEVICES)]
            for port in ports:
                _begun(running, [SNAP7, str(ROOT / "plugins/s7/tests/serve.py"), str(port)])
            yield ports
        elif name == "s7commplus":
            pem, key, _ = certificate()
            command = [sys.executable, str(ROOT / "plugins/s7/tests/serve_symbols.py"), str(pem), str(key)]
            yield [int(_begun(running, command).split()[1]) for _ in range(DEVICES)]
        else:
            server = running.enter_context(process(sys.executable, __file__, "--serve", name, wait_for="["))
            yield json.loads(server.ready)  # type: ignore[attr-defined]


def _begun(running: ExitStack, command: Sequence[str]) -> str:
    """Start a server that serves as long as its standard input is open; returns the line that it says when it is ready."""
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    running.callback(server.wait)
    running.callback(server.kill)
    assert server.stdout
    return server.stdout.readline()


async def serve(name: str) -> None:
    """Be ten devices, and print their ports."""
    ports = []
    async with asyncio.TaskGroup() as group:
        for _ in range(DEVICES):
            ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            group.create_task(_serve_one(name, ready))
            ports.append(await ready)
        print(json.dumps(ports), flush=True)


async def _serve_bacnet(ready: "asyncio.Future[int]", *, changing: bool) -> None:
    """By rusty-bacnet; `changing`: each value once a second."""
    from rusty_bacnet import BACnetServer, ObjectIdentifier, ObjectType, PropertyValue

    from plugins.bacnet.tests.plant import free_udp_port

    port = free_udp_port()
    policy: Any = {"max_subscriptions_per_peer": 1000, "max_subscriptions_global": 2000}
    server = BACnetServer(port, "device", interface="127.0.0.1", port=port, cov_policy=policy)
    for word in WORDS:
        server.add_analog_input(word, f"AI {word}", 62, float(word))
    await server.start()
    ready.set_result(port)
    turn = 0
    while changing:
        turn += 1
        began = time.monotonic()
        for word in WORDS:
            at = ObjectIdentifier(ObjectType.ANALOG_INPUT, word)
            await server.set_present_value_local(at, PropertyValue.real(float(word + turn % 7)))
        await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began)))
    await asyncio.Event().wait()


async def _serve_one(name: str, ready: "asyncio.Future[int]") -> None:
    device: Any
    if name == "melsec":
        from plugins.melsec.tests.simulated import plc

        async with plc() as simulator:
            ready.set_result(simulator.address("tcp-binary-3E")[1])
            await asyncio.Event().wait()
    elif name == "ads":
        from plugins.ads.tests.fakes import UINT, AdsPlc

        device = AdsPlc()
        device.asked = SimpleNamespace(append=lambda _: None)
        for word in WORDS:
            device.add(f"GVL.w{word}", "UINT", UINT, word.to_bytes(2, "little"))
        # pyads dials one port only, so that each has an address of its own for it
        async with device.serve() as port, device.serve(f"127.48.{port >> 8}.{port & 255}", 48898):
            ready.set_result(port)
            await asyncio.Event().wait()
    elif name == "xgt":
        from plugins.xgt.tests.fakes import XgtPlc

        device = XgtPlc()
        device.asked = SimpleNamespace(append=lambda _: None)
        async with device.serve() as port:
            ready.set_result(port)
            await asyncio.Event().wait()
    elif name.startswith("bacnet"):
        await _serve_bacnet(ready, changing=name == "bacnet-cov")
    elif name == "ethernetip":
        from plugins.ethernetip.tests.fakes import FakePlc, tag

        device = FakePlc({f"W{word}": tag(0xC3, word.to_bytes(2, "little")) for word in WORDS})
        device.asked = SimpleNamespace(append=lambda _: None)
        async with device.serve() as port:
            ready.set_result(port)
            await asyncio.Event().wait()
    else:
        from plugins.fins.tests.fakes import FinsPlc

        device = FinsPlc()
        device.asked = SimpleNamespace(append=lambda _: None)
        async with device.tcp() as port:
            ready.set_result(port)
            await asyncio.Event().wait()


def gateway(name: str, ports: Sequence[int], seconds: float, scan: float = 1.0) -> tuple[float, int]:
    """CPU seconds, and how many values came to the broker."""
    protocol = PROTOCOLS[name]
    tags = "\n".join(f"w{word} = {protocol.tag(word)}" for word in WORDS)
    devices = "\n".join(
        f'[[device]]\nname = "d{port}"\ndriver = "{protocol.driver or name}"\nhost = "127.0.0.1"\nport = {port}\n'
        f'scan = "{scan:g}s"\n{protocol.options}\n'
        f"[device.tags]\n{tags}"
        for port in ports
    )
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with Broker(directory, ["max_queued_messages 10000000"], port=free_port()) as broker:
            sink = f'[[sink]]\nname = "central"\nplugin = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\n'
            sink += 'topic = "plant/{device}"\n'
            config = directory / "config.toml"
            config.write_text(f'[gateway]\nname = "p"\nstate_dir = "{directory / "state"}"\n{sink}{devices}\n')
            arrived = directory / "arrived"
            listen = ["mosquitto_sub", "-p", str(broker.port), "-q", "1", "-t", "plant/+", "-F", "%p"]
            run = [
                sys.executable,
                "-m",
                "gateway",
                "run",
                "--config",
                str(config),
                "--socket",
                str(directory / "s.sock"),
            ]
            with process(*listen, out=arrived), process(*run, out=directory / "log") as running:
                time.sleep(6)
                begin, cpu = time.time(), cpu_seconds(running.pid)
                time.sleep(seconds)
                end, cpu = time.time(), cpu_seconds(running.pid) - cpu
                time.sleep(1)
            bodies = [json.loads(line) for line in arrived.read_text().splitlines()]
    return cpu, sum(len(body["values"]) for body in bodies if "values" in body and begin <= body["ts"] / 1000 < end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--scan", type=float, default=1.0, help="seconds between two polls of a device")
    parser.add_argument("--only", choices=PROTOCOLS, action="append")
    parser.add_argument("--serve", choices=PROTOCOLS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.serve))
        return
    print("CPU seconds for a million values: the gateway, to the broker | the library's plain way, read only | ratio")
    for name in args.only or PROTOCOLS:
        with servers(name) as ports:
            cpu, values = gateway(name, ports, args.seconds, args.scan)
            ours = cpu / max(1, values) * 1e6
            expected = DEVICES * len(WORDS) * args.seconds / args.scan
            told = f"{name:10} {ours:8.2f}  ({values / expected:.0%} of the values)"
            if plain := PROTOCOLS[name].plain:
                done = subprocess.run([*plain, str(ports[0]), "5"], capture_output=True, text=True, check=True)
                count, seconds = done.stdout.split()
                theirs = float(seconds) / int(count) * 1e6
                told += f"  {theirs:8.2f}  {theirs / ours:5.1f}"
            print(told, flush=True)


if __name__ == "__main__":
    main()
