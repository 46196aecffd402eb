"""Who may use which command on the control socket."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.config.model import AccessSection
from gateway.core.clock import FakeClock
from gateway.core.command import Actor
from gateway.core.errors import GatewayError
from gateway.operate.audit_log import EACH, AuditLog
from gateway.operate.commands import TABLE, Commands
from gateway.operate.socket.control import ControlServer
from gateway.trust.access import ALL

DOCS = Path(__file__).parents[2] / "docs"
ASK = """
import json, os, socket, sys
os.chdir(sys.argv[1])
os.setgroups([int(group) for group in sys.argv[3:]])
os.setgid(65534)
os.setuid(65534)
line = socket.socket(socket.AF_UNIX)
line.connect("control.sock")
line.sendall(json.dumps({"command": sys.argv[2]}).encode() + b"\\n")
print(line.makefile().readline())
"""
GROUP = 54_321


async def done(by: Actor, **_: Any) -> str:
    return "done"


@pytest.mark.parametrize("name", TABLE)
async def test_each_command_is_refused_to_who_has_all_roles_but_the_one_that_it_needs(name: str) -> None:
    commands = Commands(dict.fromkeys(TABLE, done))
    role = TABLE[name].role
    with pytest.raises(GatewayError, match=f"{name} needs the role {role}; kim has: "):
        await commands.call(Actor("kim", roles=ALL - {role}), {"command": name})


def test_the_page_says_which_role_each_command_needs() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (DOCS / "security.md").read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == {name: declared.role for name, declared in TABLE.items()}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to ask as another user")
async def test_the_kernel_says_in_which_groups_the_asker_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.trust.access.grp.getgrnam", lambda name: SimpleNamespace(gr_gid=GROUP))
    tmp_path.chmod(0o755)
    path = tmp_path / "control.sock"
    section = AccessSection(engineer=["@maintenance"], others="viewer")
    async with ControlServer(path, Commands(dict.fromkeys(TABLE, done)), lambda: section):
        path.chmod(0o666)

        async def ask(command: str, *groups: int) -> dict[str, Any]:
            command_line = [sys.executable, "-Ic", ASK, str(tmp_path), command, *map(str, groups)]
            ran = await asyncio.to_thread(subprocess.run, command_line, capture_output=True, text=True, check=True)
            answer: dict[str, Any] = json.loads(ran.stdout)
            return answer

        assert await ask("reload", 7, GROUP) == {"result": "done"}
        assert "reload needs the role engineer" in (await ask("reload", 7))["error"]
        assert await ask("status", 7) == {"result": "done"}


async def test_who_is_refused_stands_in_the_audit_trail_and_cannot_fill_it(tmp_path: Path) -> None:
    told: list[tuple[str, str, dict[str, Any]]] = []

    class Trail(AuditLog):
        async def record(self, action: str, who: str, **fields: Any) -> None:
            told.append((action, who, fields))

    audit = Trail(tmp_path / "audit.jsonl", FakeClock())
    commands = Commands(dict.fromkeys(TABLE, done), audit=audit)
    kim = Actor("kim", roles=frozenset(("viewer",)))

    async def ask(command: str) -> None:
        with pytest.raises(GatewayError, match="needs the role"):
            await commands.call(kim, {"command": command})

    for _ in range(100):
        await ask("reload")
    await ask("write")
    expected = {"roles": ["viewer"], "since_last": 0}
    assert told == [
        ("access.refused", "kim", {"command": "reload", **expected}),
        ("access.refused", "kim", {"command": "write", **expected}),
    ]
    at, times = audit._lately["access.refused", "kim", "reload"]
    audit._lately["access.refused", "kim", "reload"] = at - EACH, times
    await ask("reload")
    assert told[-1] == ("access.refused", "kim", {"command": "reload", "roles": ["viewer"], "since_last": 99})
