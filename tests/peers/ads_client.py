"""ads-client, an ADS client in JavaScript: npm's ads-client."""

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "ads"


@functools.cache
def _missing() -> str:
    if not shutil.which("node") or not shutil.which("npm"):
        return "node or npm is missing; apt install nodejs npm"
    here = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(here, fcntl.LOCK_EX)  # other processes of this run need it too
        if (FOLDER / "node_modules/ads-client").is_dir():
            return ""
        done = subprocess.run(["npm", "ci", "--no-progress"], cwd=FOLDER, capture_output=True, text=True, check=False)
        return f"npm ci failed in {FOLDER}: {done.stderr.strip()[-300:]}" if done.returncode else ""
    finally:
        os.close(here)


def asking(port: int, names: list[str]) -> list[str]:
    """The command that prints what it makes of a PLC. Skips the test, saying why, where it cannot be had."""
    if missing := _missing():
        pytest.skip(f"ADS is not judged by ads-client: {missing}")
    return ["node", str(FOLDER / "ask.js"), str(port), *names]
