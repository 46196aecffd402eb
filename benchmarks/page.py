"""What the page costs: a gateway that reads 1,000 tags five times a second, without viewers and with three of them in turn.

    python -m benchmarks.page [SECONDS]

Each viewer does what the page's own script does: a stream of all values, and `/parts` every two seconds. Prints the CPU time
that the gateway's process takes, in per cent of a core, and the difference.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEVICES, TAGS, VIEWERS = 5, 200, 3
TURNS = 4


def configuration(folder: Path) -> Path:
    """A gateway with a page, and nothing to send to."""
    tables = [f'[gateway]\nname = "bench"\nstate_dir = "{folder / "state"}"\n[outbox]\nmax_size = "64 MiB"\n']
    tables.append('[[service]]\nname = "page"\nplugin = "web"\nport = 0\n')
    for device in range(DEVICES):
        tags = "".join(f'tag-{number} = {{ period = "{number + 1}s" }}\n' for number in range(TAGS))
        tables.append(
            f'[[device]]\nname = "device-{device}"\ndriver = "simulated"\nscan = "200ms"\n[device.tags]\n{tags}'
        )
    path = folder / "config.toml"
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


async def viewer(port: int, counts: list[int]) -> None:
    """Reads until cancelled; counts the bytes."""
    head = b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n"

    async def stream() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head % b"/api/v1/stream/values")
        while data := await reader.read(65_536):
            counts[0] += len(data)

    async def parts() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            writer.write(head % b"/parts")
            said = await reader.readuntil(b"\r\n\r\n")
            length = int(said.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            counts[1] += len(await reader.readexactly(length))
            await asyncio.sleep(2)

    await asyncio.gather(stream(), parts())


def cpu(pid: int) -> float:
    """Seconds of CPU time of a process so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def turn(pid: int, seconds: float, port: int, viewers: int) -> tuple[float, list[int]]:
    """Per cent of a core, and what the viewers have read."""
    counts = [0, 0]
    tasks = [asyncio.create_task(viewer(port, counts)) for _ in range(viewers)]
    await asyncio.sleep(2)
    before, began = cpu(pid), time.monotonic()
    await asyncio.sleep(seconds)
    used = 100 * (cpu(pid) - before) / (time.monotonic() - began)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return used, counts


async def measure(seconds: float, pid: int, port: int) -> None:
    """Without and with viewers in turn."""
    quiet, watched = [], []
    for _ in range(TURNS):
        quiet.append((await turn(pid, seconds, port, 0))[0])
        used, counts = await turn(pid, seconds, port, VIEWERS)
        watched.append(used)
        stream, parts = counts[0] / 1000 / VIEWERS / (seconds + 2), counts[1] / 1000
        print(f"quiet {quiet[-1]:5.2f} %   {VIEWERS} viewers {used:5.2f} %", end="   ")
        print(f"a viewer's stream {stream:.0f} kB/s, parts {parts:.0f} kB in all")
    differences = sorted(after - before for before, after in zip(quiet, watched, strict=True))
    print(f"the page costs {differences[len(differences) // 2]:.2f} % of a core (median of {TURNS}; target 2 %)")


def main(seconds: float, folder: Path) -> None:
    """Start the gateway, measure, end it."""
    socket = folder / "control.sock"
    command = [sys.executable, "-m", "gateway"]
    run = [*command, "run", "--config", str(configuration(folder)), "--socket", str(socket)]
    gateway = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        said = ""
        while not said:
            time.sleep(1)
            where = [*command, "open", "--json", "--socket", str(socket)]
            said = subprocess.run(where, capture_output=True, text=True, check=False).stdout
        time.sleep(3)
        asyncio.run(measure(seconds, gateway.pid, int(json.loads(said)[0].rstrip("/").rpartition(":")[2])))
    finally:
        gateway.terminate()
        gateway.wait(30)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, Path(made))
