"""A certified OpenID provider in another process: npm's oidc-provider."""

import asyncio
import fcntl
import functools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "oidc"
CLIENT, SECRET = "edge-gateway", "a secret of the house"
MACHINE, MACHINE_SECRET = "edge machine", "its own: secret/+%"


def require_oidc_provider() -> None:
    """Install it once; skip the test, saying why, where that is not possible."""
    if missing := _missing():
        pytest.skip(f"the login by a certified provider is not tested: {missing}")


@functools.cache
def _missing() -> str:
    if not shutil.which("node") or not shutil.which("npm"):
        return "node or npm is missing; apt install nodejs npm"
    here = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(here, fcntl.LOCK_EX)  # other processes of this run need it too
        if (FOLDER / "node_modules/oidc-provider").is_dir():
            return ""
        done = subprocess.run(["npm", "ci", "--no-progress"], cwd=FOLDER, capture_output=True, text=True, check=False)
        return f"npm ci failed in {FOLDER}: {done.stderr.strip()[-300:]}" if done.returncode else ""
    finally:
        os.close(here)


class OidcProvider:
    """The process; its issuer is known before its client's address has to be."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.issuer = ""

    async def said(self, beginning: str) -> str:
        """The next line that begins so; it warns on its standard output, too."""
        assert self._process.stdout is not None
        line = ""
        while not line.startswith(beginning):
            line = (await self._process.stdout.readline()).decode()
            assert line, "oidc-provider has ended"
        return line.strip()

    async def serve(self, redirect: str) -> None:
        """For a client to which browsers are sent back there."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{redirect}\n".encode())
        await self.said("serving")


@asynccontextmanager
async def oidc_provider(
    groups: Mapping[str, Sequence[str]], *, in_userinfo: bool = False, life: int = 600
) -> AsyncIterator[OidcProvider]:
    """`groups` of each person; `in_userinfo`: the ID token does not tell them; `life`: seconds of a machine's token."""
    process = await asyncio.create_subprocess_exec(
        "node", "server.js", cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "GROUPS": json.dumps(groups), "IN_USERINFO": "1" if in_userinfo else "0",
             "LIFE": str(life)},
    )  # fmt: skip
    try:
        provider = OidcProvider(process)
        provider.issuer = await provider.said("http")
        yield provider
    finally:
        process.kill()
        await process.wait()
