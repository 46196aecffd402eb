"""tinyproxy and microsocks: proxies that nobody here wrote."""

import getpass
import grp
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers.broker import wait_until
from tests.peers.ports import free_port, listens


@contextmanager
def tinyproxy(directory: Path, *lines: str) -> Iterator[int]:
    """An HTTP proxy on a free port, which it gives; `lines` are added to its configuration."""
    port = free_port()
    config = directory / f"tinyproxy-{port}.conf"
    who = [f"User {getpass.getuser()}", f"Group {grp.getgrgid(os.getgid()).gr_name}"]
    common = [f"Port {port}", "Listen 127.0.0.1", "Timeout 600", "MaxClients 50", f'LogFile "{config}.log"']
    config.write_text("\n".join([*who, *common, *lines, ""]))
    with _running(["tinyproxy", "-d", "-c", str(config)], port, "tinyproxy-bin"):
        yield port


@contextmanager
def microsocks(*arguments: str) -> Iterator[int]:
    """A SOCKS 5 proxy on a free port, which it gives."""
    port = free_port()
    with _running(["microsocks", "-i", "127.0.0.1", "-p", str(port), *arguments], port, "microsocks"):
        yield port


@contextmanager
def _running(command: list[str], port: int, package: str) -> Iterator[None]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: apt-get install {package}")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: process.poll() is not None or listens(port), f"{command[0]} listens")
            assert process.poll() is None, f"{command[0]} ended"
            yield
        finally:
            process.kill()
