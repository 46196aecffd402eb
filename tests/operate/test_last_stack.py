"""A call that keeps Python's lock blocks the watching thread too; the next start knows it all the same."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.operate.stalls.last_stack import last_stack
from gateway.operate.stalls.stall_watch import StallWatch
from gateway.testing import eventually

ROOT = Path(__file__).parents[2]
PLUGIN = """
import ctypes

def read():
    ctypes.PyDLL(None).sleep(3600)
"""
GATEWAY = """
import asyncio, importlib.util, sys
from pathlib import Path
from gateway.operate.stalls import last_stack
from gateway.operate.stalls import stall_watch
from tests.operate.test_last_stack import Known
stall_watch.GRAVE = 0.2
last_stack.AGAIN = 0.1
async def main(folder, plugin):
    spec = importlib.util.spec_from_file_location("edge_gateway_plugins.holds", plugin)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    watch = stall_watch.StallWatch(folder, Known(""))
    async with watch.running():
        for _ in range(5):
            await asyncio.sleep(0.1)
            watch.beat()
        module.read()
asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


class Known:
    """One plugin, or none."""

    def __init__(self, hash_: str, file: str = "") -> None:
        self._hash = hash_
        self._file = file

    def hash_of(self, name: str) -> str:
        return self._hash

    def of(self, file: str) -> str:
        return "holds" if file == self._file else ""


def watch(folder: Path, plugin: Path, hash_: str = "1") -> StallWatch:
    return StallWatch(folder, Known(hash_, str(plugin)))


async def test_a_call_that_kept_pythons_lock_until_the_gateway_was_killed_is_left_alone(tmp_path: Path) -> None:
    plugin = tmp_path / "holds.py"
    plugin.write_text(PLUGIN)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", GATEWAY, str(tmp_path), str(plugin), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    await eventually(lambda: any(file == str(plugin) for file, _, _ in last_stack(tmp_path / "blocked.stack")), 60)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    for _ in range(2):  # also at the start after that
        with capture_logs():
            again = watch(tmp_path, plugin)
            again.recall()
        assert f"{plugin}:5" in again.barred("device press-1", "holds")
        assert again.barred("device press-1", "another") == ""
        (tmp_path / "blocked.stack").unlink(missing_ok=True)
    mended = watch(tmp_path, plugin, "2")
    mended.recall()
    assert mended.barred("device press-1", "holds") == ""


async def test_a_loop_that_turns_leaves_no_stack(tmp_path: Path) -> None:
    alive = watch(tmp_path, tmp_path / "holds.py")
    (tmp_path / "blocked.stack").write_text("Thread 0x1 (most recent call first):\n")
    async with alive.running():
        alive.beat()
        assert (tmp_path / "blocked.stack").read_bytes() == b""
    alive.recall()
    assert alive.barred("device press-1", "holds") == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 1000, b'  File "a", line 99999999999999999999 in b\n', b"x" * 1_000_000],
)
def test_a_stack_that_is_none_keeps_nobody_away(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "blocked.stack").write_bytes(content)
    with capture_logs():
        odd = watch(tmp_path, tmp_path / "holds.py")
        odd.recall()
    assert odd.barred("device press-1", "holds") == ""
