"""What the page costs: a gateway that reads 1,000 tags five times a second, without viewers and with three of them in turn.

    python -m benchmarks.page [SECONDS]

Each viewer does what the page's own script does: a stream of all values, and `/parts` every two seconds. Prints the CPU time
that the gateway's process takes, in per cent of a core, and the difference; where Chromium is, when views are first painted;
then its memory and CPU time with a hundred who open a stream and read nothing, and what a viewer beside them hears.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plugins.web.tests.chromium import MISSING, browsing, chromium

DEVICES, TAGS, VIEWERS = 5, 200, 3
TURNS = 4
SLOW = 100


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


def memory(pid: int) -> float:
    """MB that a process has resident."""
    said = Path(f"/proc/{pid}/status").read_text()
    return int(said.partition("VmRSS:")[2].split()[0]) / 1000


async def slow(seconds: float, pid: int, port: int) -> None:
    """As many as there may be who take nothing, and one who does, who comes first."""
    counts, before = [0, 0], memory(pid)
    reads = asyncio.create_task(viewer(port, counts))
    await asyncio.sleep(2)
    alone = await turn(pid, seconds, port, 0)
    opened = []
    for _ in range(SLOW - 1):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)  # of which nothing is read
        writer.write(b"GET /api/v1/stream/values HTTP/1.1\r\nhost: localhost\r\n\r\n")
        opened.append(writer)
    await asyncio.sleep(2)
    heard = counts[0]
    used, _ = await turn(pid, seconds, port, 0)
    rate = (counts[0] - heard) / 1000 / (seconds + 2)
    print(f"one viewer {alone[0]:.2f} %, with {SLOW - 1} who read nothing {used:.2f} %", end="   ")
    print(f"memory {before:.0f} MB, then {memory(pid):.0f} MB; who reads hears {rate:.0f} kB/s")
    for writer in opened:
        writer.transport.abort()
    reads.cancel()
    await asyncio.gather(reads, return_exceptions=True)


async def painted(port: int) -> None:
    """When the browser has painted something, by its own clock: of three loads the median, without its cache."""
    path = chromium()
    if path is None:
        print(MISSING)
        return
    script = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    async with browsing(path) as browser, browser.tab() as tab:
        await tab.looks(1440, 900)
        await tab.call("Network.setCacheDisabled", cacheDisabled=True)
        for view in ("", "device?name=device-0", "trend?device=device-0&tag=tag-1", "receipts", "system"):
            times = []
            for _ in range(3):
                tab.clear()
                await tab.goto(f"http://127.0.0.1:{port}/{view}")
                await tab.until(f"{script} !== undefined")
                times.append(await tab.run(script))
            print(f"/{view}: first paint {sorted(times)[1]:.0f} ms, {tab.size / 1000:.0f} kB (target 300 ms, 200 kB)")


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
        port = int(json.loads(said)[0].rstrip("/").rpartition(":")[2])
        asyncio.run(measure(seconds, gateway.pid, port))
        asyncio.run(painted(port))
        asyncio.run(slow(seconds, gateway.pid, port))
    finally:
        gateway.terminate()
        gateway.wait(30)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, Path(made))
