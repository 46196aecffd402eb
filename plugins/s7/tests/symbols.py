"""A CPU that is read by symbols: the library's server in a process of its own, with what `serve_symbols` adds."""

import asyncio
import contextlib
import datetime
import hashlib
import ipaddress
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.plugin import Device
from gateway.testing import build_device
from plugins.s7.driver import S7


@cache
def certificate() -> tuple[Path, Path, str]:
    """Certificate and key of the CPU, and the SHA-256 of the certificate."""
    folder = Path(mkdtemp(prefix="s7-"))
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "PLC-1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=300))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "plc.pem", folder / "plc.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, secret, hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest()


class Cpu:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    async def obey(self, line: str) -> None:
        """Have it do what `serve_symbols.obey` knows."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        assert await self._process.stdout.readline() == b"done\n"


@asynccontextmanager
async def cpu(encrypted: bool = True) -> AsyncIterator[Cpu]:
    """A CPU with the blocks "Mixer 1" and Many and the PLC tag Motor_on."""
    pem, key, _ = certificate()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("serve_symbols.py")),
        str(pem) if encrypted else "-",
        str(key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        said = (await process.stdout.readline()).split()
        assert said[:1] == [b"ready"]
        yield Cpu(process, int(said[1]))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def make_device(tags: dict[str, Any], port: int, **options: Any) -> Device:
    """The CPU on this machine, its certificate pinned, whose tags are given as name → symbol or options."""
    made = {name: {"symbol": given} if isinstance(given, str) else given for name, given in tags.items()}
    common = {"host": "127.0.0.1", "port": port, "transport": "s7commplus", "tls": {"pin": [certificate()[2]]}}
    return build_device(S7, common | {"timeout": "25s"} | options, made)
