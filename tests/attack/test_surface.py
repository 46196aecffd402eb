"""What others can reach of the gateway, and that the page about security names only tests that exist."""

import contextlib
import re
from pathlib import Path

import pytest

from tests.system.daemon import Daemon

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "1": [*range(1, 13), 13, 14],
    "2": [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13],
    "3": [*range(1, 15)],
    "4": [1, 2, 3],
    "5": [1, 2, 3, 4],
    "6": [1, 2],
    "7": [*range(1, 9)],
}
"""Requirements of IEC 62443-4-2 that have a row; 2.7 begins at level 3."""


def sockets(pid: int) -> set[str]:
    """The sockets that a process has open, such as "socket:[4711]"."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found.add(path.readlink().name)
    return {each for each in found if each.startswith("socket:")}


@pytest.mark.system
async def test_nothing_listens_but_the_control_socket(tmp_path: Path) -> None:
    config = '[[device]]\nname = "d"\ndriver = "simulated"\n[device.tags]\na = {}\n'
    async with Daemon(tmp_path, config) as daemon:
        held = sockets(daemon.pid)
        rows = [
            line.split()
            for name in ("tcp", "tcp6", "udp", "udp6")
            for line in Path(f"/proc/{daemon.pid}/net/{name}").read_text().splitlines()[1:]
        ]
        unix = [line.split() for line in Path(f"/proc/{daemon.pid}/net/unix").read_text().splitlines()[1:]]
    inet = [row for row in rows if f"socket:[{row[9]}]" in held]
    listening = [row for row in unix if f"socket:[{row[6]}]" in held and row[5] == "01" and len(row) > 7]
    assert inet == []
    assert [row[7] for row in listening] == [str(daemon.socket)]


def test_the_page_about_security_has_a_row_for_each_requirement() -> None:
    page = (ROOT / "docs/security.md").read_text()
    rows = re.findall(r"^\| (?:CR|SAR|HDR|NDR) (\d)\.(\d+)(?: \(\d\))* [^|]*\| (\w+|–) \|(.*)\|$", page, re.MULTILINE)
    assert [(family, int(number)) for family, number, _, _ in rows] == [
        (family, number) for family, numbers in REQUIRED.items() for number in numbers
    ]
    unproven = [
        f"{family}.{number}" for family, number, met, how in rows if met in ("yes", "partly") and "::" not in how
    ]
    assert unproven == []


def test_each_test_that_the_page_about_security_names_exists() -> None:
    page = (ROOT / "docs/security.md").read_text()
    named = set(re.findall(r"`((?:tests|plugins)/[\w/]+\.py)::(\w+)`", page))
    assert len(named) > 30
    missing = [f"{file}::{name}" for file, name in sorted(named) if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []
