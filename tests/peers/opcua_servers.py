"""OPC UA servers in other processes: node-opcua, which is not our own code, and asyncua."""

import asyncio
import fcntl
import functools
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from tests.peers.ports import free_port

NAMESPACE = "http://peer.example/plant"
HERE = Path(__file__).parent


def require_node_opcua() -> None:
    """Install node-opcua once; skip the test, saying why, where that is not possible."""
    if missing := _node_opcua_is_missing():
        pytest.skip(f"node-opcua is not tested: {missing}")


@functools.cache
def _node_opcua_is_missing() -> str:
    """Why, after trying to install it."""
    folder = HERE / "opcua"
    if not shutil.which("node") or not shutil.which("npm"):
        return "node or npm is missing; apt install nodejs npm"
    here = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(here, fcntl.LOCK_EX)  # other processes of this run need it too
        if (folder / "node_modules/node-opcua").is_dir():
            return ""
        done = subprocess.run(["npm", "ci", "--no-progress"], cwd=folder, capture_output=True, text=True, check=False)
        return f"npm ci failed in {folder}: {done.stderr.strip()[-300:]}" if done.returncode else ""
    finally:
        os.close(here)


class OpcUaPeer:
    """A server process; `await set(...)` changes a variable of it."""

    def __init__(
        self, kind: str, folder: Path, *options: str, port: int | None = None, within: Sequence[str] = ()
    ) -> None:
        self.kind = kind
        self._within = within
        """A command that runs it elsewhere, such as in another network."""
        self.port = port or free_port()
        self._options = options
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.certificate = Path()

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    @property
    def certificate_der(self) -> bytes:
        """The server's certificate."""
        data = self.certificate.read_bytes()
        if data.startswith(b"-----"):
            end = b"-----END CERTIFICATE-----\n"
            return ssl.PEM_cert_to_DER_cert((data.partition(end)[0] + end).decode())
        return data

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the server's certificate in hex."""
        return hashlib.sha256(self.certificate_der).hexdigest()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    async def start(self, *more: str) -> None:
        """Start, with further options, and wait until it serves."""
        program = {
            "node-opcua": ["node", str(HERE / "opcua/server.js")],
            "asyncua": [sys.executable, str(HERE / "asyncua_server.py")],
        }[self.kind]
        options = ["--port", str(self.port), "--pki", str(self._folder), *self._options, *more]
        self._process = subprocess.Popen(
            [*self._within, *program, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.certificate = Path((await asyncio.to_thread(self._answer))["certificate"])

    async def set(self, name: str, value: Any, **more: Any) -> None:
        """Set a variable: `status` is a status code's name, `time` the source time in ms since 1970."""
        await self._tell({"name": name, "value": value, **more})

    async def add(self, name: str) -> None:
        """Add a variable of type Double with the value 1."""
        await self._tell({"add": name})

    async def order(self, **order: Any) -> None:
        """An order of `opcua/alarms.js`, such as `event="door open"`."""
        await self._tell(order)

    async def sessions(self) -> dict[str, int]:
        """How many sessions and subscriptions are open."""
        counted: dict[str, int] = await self._tell({"sessions": True})
        return counted

    async def has(self, sessions: int, subscriptions: int) -> bool:
        """Whether so many are open."""
        return await self.sessions() == {"sessions": sessions, "subscriptions": subscriptions}

    def kill(self) -> None:
        """End it at once, without a word to its clients."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def rest(self) -> None:
        """Stop it from ticking where nobody uses it: a dozen that tick cost half a core."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def _tell(self, order: dict[str, Any]) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return await asyncio.to_thread(self._answer)

    def _answer(self) -> Any:
        """The next line of JSON; what else the server prints is passed over."""
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"{"):
                return json.loads(line)
        ended = self._process.wait()
        self.kill()  # closes its pipes, which else would be the failure of a later test
        raise RuntimeError(f"the {self.kind} server has ended with {ended}")
