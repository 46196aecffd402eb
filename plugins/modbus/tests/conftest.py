"""A real server of foreign code, in another process."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.modbus_server import load_library

_SERVER = Path(__file__).parents[3] / "tests" / "peers" / "modbus_server.py"


@pytest.fixture
def libmodbus() -> Iterator[Callable[..., list[Any]]]:
    """Starts a libmodbus server with command line options; returns its ports, or the path of its serial line."""
    try:
        load_library()
    except OSError as error:
        pytest.skip(str(error))
    processes: list[subprocess.Popen[str]] = []

    def start(*options: str) -> list[Any]:
        process = subprocess.Popen([sys.executable, _SERVER, *options], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout
        word, *ports = process.stdout.readline().split()
        assert word == "ready"
        return ports if "--serial" in options else [int(port) for port in ports]

    yield start
    for process in processes:
        process.terminate()
        process.wait()
        assert process.stdout
        process.stdout.close()
