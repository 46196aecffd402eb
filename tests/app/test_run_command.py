"""`edge-gateway run` as a process: how it ends."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers.broker import wait_until

STUCK = """
import asyncio, time
from gateway.plugin import DeviceConfig, Driver, TagConfig

class Stuck(Driver[DeviceConfig, TagConfig]):
    async def connect(self):
        self.task = asyncio.ensure_future(self.in_thread(time.sleep, 3600))

    async def read(self, tags):
        return [1.0] * len(tags)

    async def close(self):
        await asyncio.sleep(3600)
"""
CONFIG = """
[gateway]
name = "g1"
state_dir = "state"
plugin_dirs = ["plugins"]
[[device]]
name = "oven"
driver = "{driver}"
scan = "100ms"
[device.tags]
temp = {{}}
"""
BUG = """
import sys
import time
from gateway.outbox import Outbox
def broken(self): raise ZeroDivisionError("in the core")
Outbox._tick = broken
"""
MAIN = """
from gateway.cli import main
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def gateway(path: Path, driver: str, *python: str) -> Iterator[subprocess.Popen[str]]:
    """The command; its stderr goes to a file."""
    (path / "plugins").mkdir()
    (path / "plugins" / "stuck.py").write_text(STUCK)
    (path / "config.toml").write_text(CONFIG.format(driver=driver))
    run = ["run", "--config", str(path / "config.toml"), "--socket", str(path / "control.sock")]
    with (path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, *(python or ("-m", "gateway")), *run], stderr=log, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def log_of(path: Path) -> str:
    return (path / "log").read_text()


def test_it_stops_soon_though_a_driver_hangs_and_a_second_signal_comes(tmp_path: Path) -> None:
    with gateway(tmp_path, "stuck") as process:
        wait_until(lambda: "up device=oven" in log_of(tmp_path), "the device is up", 60)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)  # in the midst of the stop
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    told = log_of(tmp_path)
    assert re.search(r"closing took too long.*seconds=3\.0", told)
    assert "stopped" in told
    assert "threads do not end, they are left" in told


def test_the_hang_up_signal_reloads(tmp_path: Path) -> None:
    with gateway(tmp_path, "simulated") as process:
        wait_until(lambda: "up device=oven" in log_of(tmp_path), "the device is up", 60)
        path = tmp_path / "config.toml"
        path.write_text(path.read_text().replace("oven", "press"))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "device press added" in log_of(tmp_path), "the reload", 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_signals_while_it_stops_do_not_end_it_as_killed(tmp_path: Path, loop: str) -> None:
    python = () if loop == "uvloop" else ("-c", f"import sys; sys.modules['uvloop'] = None\n{MAIN}")
    with gateway(tmp_path, "simulated", *python) as process:
        wait_until(lambda: "up device=oven" in log_of(tmp_path), "the device is up", 60)
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                process.send_signal(signum)
            time.sleep(0.001)
        assert process.returncode == 0
    assert "Traceback" not in log_of(tmp_path)


def test_a_bug_of_the_gateway_ends_it_with_1_a_traceback_and_a_plain_word(tmp_path: Path) -> None:
    with gateway(tmp_path, "simulated", "-c", BUG + MAIN) as process:
        assert process.wait(60) == 1
    told = log_of(tmp_path)
    assert "Traceback" in told
    assert told.splitlines()[-1] == (
        "edge-gateway: ZeroDivisionError: in the core (a bug of the gateway; please report it with the traceback above)"
    )


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with gateway(tmp_path, "simulated") as process:
        assert process.wait(60) == 1
    assert "state directory" in log_of(tmp_path)
    assert "Traceback" not in log_of(tmp_path)


LARGE_BLOCKS = """
import re
from gateway.cli import run
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
run._keep_large_blocks_apart()
answer = bytearray(16 << 20)
del answer
before = resident()
blocks = [(bytearray(1 << 20), bytearray(3000)) for _ in range(60)]
among = resident()
blocks = [small for _, small in blocks]
print(among - before, resident() - before)
"""


def test_large_blocks_go_back_to_the_system_though_small_ones_between_them_stay() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE_BLOCKS], capture_output=True, text=True, timeout=60, check=True)
    among, after = map(int, done.stdout.split())
    assert among >= 55
    assert after <= 8, "MiB that stay"
