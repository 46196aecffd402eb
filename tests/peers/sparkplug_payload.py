"""Eclipse Tahu's own decoder of Sparkplug payloads, in JavaScript: npm's sparkplug-payload."""

import fcntl
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "sparkplug"


@functools.cache
def _missing() -> str:
    if not shutil.which("node") or not shutil.which("npm"):
        return "node or npm is missing; apt install nodejs npm"
    here = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(here, fcntl.LOCK_EX)  # other processes of this run need it too
        if (FOLDER / "node_modules/sparkplug-payload").is_dir():
            return ""
        done = subprocess.run(["npm", "ci", "--no-progress"], cwd=FOLDER, capture_output=True, text=True, check=False)
        return f"npm ci failed in {FOLDER}: {done.stderr.strip()[-300:]}" if done.returncode else ""
    finally:
        os.close(here)


def decoded(payloads: Sequence[bytes]) -> list[dict[str, Any]]:
    """Each as {"whole": as the library gives it, "raw": the fields that are set}. Skips the test, saying why, where that
    cannot be had."""
    if missing := _missing():
        pytest.skip(f"Sparkplug payloads are not judged by Eclipse Tahu's decoder: {missing}")
    lines = "".join(f"{payload.hex()}\n" for payload in payloads)
    done = subprocess.run(
        ["node", "decode.js"], cwd=FOLDER, input=lines, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(payloads)
    return found
