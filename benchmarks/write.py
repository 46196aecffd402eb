"""How soon a write reaches the device, while the gateway reads many others.

    python benchmarks/write.py [--writes 300] [--devices 100] [--scan 100ms]

The request comes by the control socket, as from `edge-gateway write`. In between lie the guard, the audit trail's record on
disk, and the line's own reads. The device is a Modbus server in this process that notes when the write arrives; the others
are libmodbus servers in another process, and everything read goes to mosquitto. Target: 20 ms, p99.
"""

import argparse
import asyncio
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.w1 import FLOATS, cpu_seconds, gateway_config, process  # noqa: E402
from gateway.cli.frame.client import call  # noqa: E402
from tests.peers.broker import Broker  # noqa: E402
from tests.peers.ports import free_port  # noqa: E402


class Device:
    """Four holding registers behind Modbus TCP; `arrived` has the times of writes, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.arrived: list[float] = []
        self.port = 0
        self._registers = bytearray(8)
        self._ready = threading.Event()

    def start(self) -> None:
        """Serve in a thread of its own, until the process ends."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.read(7)
            if not head:
                return
            body = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            address, count = struct.unpack(">HH", body[1:5])
            if body[0] == 3:
                data = self._registers[2 * address : 2 * (address + count)]
                answer = bytes([3, len(data)]) + data
            else:
                self.arrived.append(time.monotonic())
                self._registers[2 * address : 2 * (address + count)] = body[6:]
                answer = body[:5]
            writer.write(head[:4] + (len(answer) + 1).to_bytes(2, "big") + head[6:] + answer)


def configured(directory: Path, broker: int, ports: list[int], scan: str, device: int) -> Path:
    """W1's configuration at another scan, with the device that is written."""
    path = gateway_config(directory, broker, ports)
    text = path.read_text().replace('driver = "modbus"', f'driver = "modbus"\nscan = "{scan}"')
    text = text.replace("[gateway]\n", "[gateway]\nwrites = true\n")
    tag = 'speed = { address = "hr:0", type = "float32", write = true, min = 0, max = 1e6, max_rate = "100000/s" }'
    table = f'[[device]]\nname = "press"\ndriver = "modbus"\nhost = "127.0.0.1"\nport = {device}\nscan = "{scan}"\n'
    path.write_text(f"{text}\n{table}[device.tags]\n{tag}\n")
    return path


def write_often(socket: Path, device: Device, count: int) -> tuple[list[float], list[float]]:
    """Seconds until each write arrived, and until it was confirmed."""
    there, confirmed = [], []
    for value in range(count):
        begin = time.monotonic()
        arguments = {"device": "press", "tag": "speed", "value": float(value), "reason": "benchmark"}
        answer = call(socket, "write", **arguments)
        confirmed.append(time.monotonic() - begin)
        assert answer["result"] == "confirmed", answer
        there.append(device.arrived[-1] - begin)
        time.sleep(0.01)
    assert len(device.arrived) == count
    return there, confirmed


def show(what: str, seconds: list[float]) -> None:
    """Percentiles in milliseconds."""
    ordered = sorted(1000 * each for each in seconds)
    middle, high = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    print(f"{what:<24} p50 {middle:6.2f} ms   p99 {high:6.2f} ms   worst {ordered[-1]:6.2f} ms")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=300)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--scan", default="100ms")
    args = parser.parse_args()
    device = Device()
    device.start()
    server = [sys.executable, "tests/peers/modbus_server.py", "--ports", str(args.devices), "--floats", str(FLOATS)]
    with tempfile.TemporaryDirectory(prefix="write-") as folder, process(*server, wait_for="ready") as plant:
        directory = Path(folder)
        ports = [int(port) for port in plant.ready.split()[1:]]  # type: ignore[attr-defined]
        with Broker(directory, ["max_queued_messages 10000000"], port=free_port()) as broker:
            config = configured(directory, broker.port, ports, args.scan, device.port)
            socket = directory / "control.sock"
            run = [sys.executable, "-m", "gateway", "run", "--config", str(config), "--socket", str(socket)]
            with process(*run) as running:
                time.sleep(5)
                begin, cpu = time.monotonic(), cpu_seconds(running.pid)
                there, confirmed = write_often(socket, device, args.writes)
                load = (cpu_seconds(running.pid) - cpu) / (time.monotonic() - begin)
    print(f"{args.devices} devices × {FLOATS} tags every {args.scan}; the gateway takes {load:.0%} of a core")
    show("write at the device", there)
    show("read back, and audited", confirmed)


if __name__ == "__main__":
    main()
