"""What version 0.1 wrote is read by this one, to the byte.

`log-0.1.tar.xz` holds three log directories that 0.1 wrote (see `write_log`), one killed, one that reached its bound, one of
`mode = "spill"`, with losses, skipped numbers, receipts and a dead letter, and beside each what 0.1 itself read in it. It
is never made anew for a change of ours.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gateway.core.clock import FakeClock
from gateway.outbox import Outbox
from gateway.outbox.start import state
from tests.golden import reading

ARCHIVE = Path(__file__).parent / "log-0.1.tar.xz"
NAMES = ("killed", "full", "spilled")


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "boot_number", lambda: reading.BOOT)
    with tarfile.open(ARCHIVE) as archive:
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4 on
        archive.extractall(tmp_path, **safely)
    for name in NAMES:
        reading.settle(tmp_path / name)
    return tmp_path


def due(unpacked: Path, name: str) -> Any:
    return json.loads((unpacked / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_commands_say_of_a_log_of_0_1_what_0_1_said(unpacked: Path, name: str) -> None:
    expected = due(unpacked, name)["looked at"]
    said = reading.looked_at(unpacked / name)
    for command, answer in said.items():
        assert answer == expected[command], command


@pytest.mark.parametrize("name", NAMES)
async def test_what_0_1_accepted_is_delivered_byte_for_byte(unpacked: Path, name: str) -> None:
    expected = due(unpacked, name)
    said = await reading.delivered(unpacked / name)
    for sink, lines in said["messages"].items():
        assert len(lines) > 10
        assert lines == expected["messages"][sink]
    assert json.loads(json.dumps(said)) == {key: expected[key] for key in said}


async def test_a_log_of_0_1_is_gone_on_with(unpacked: Path) -> None:
    log = unpacked / "full"
    before = json.loads((log / "log.json").read_text())["log"]
    outbox = Outbox.open(log, reading.SECTION, clock=FakeClock(reading.LATER), config_hash="0badcafe")
    assert (outbox.log_id, outbox.set_aside) == (before, None)
    await outbox.close()
