"""What a log directory says when it is looked at, and when its sinks get the rest of it.

python -m tests.golden.reading DIR wrote what 0.1 read in each log of the archive, beside it.
"""

import asyncio
import contextlib
import io
import json
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import orjson

from gateway.cli import main
from gateway.config.model import GatewaySection, OutboxSection
from gateway.core.clock import FakeClock
from gateway.core.live import LiveTable
from gateway.core.record import Record
from gateway.outbox import Outbox, Reader
from gateway.outbox.start import state
from gateway.publish import JsonEncoder, SinkSurroundings
from gateway.status import rendered

LATER = 1_800_100_000_000_000_000
"""When the logs are read; a day after they were written, in another boot."""
BOOT = 0x5EC0_2D00
GATEWAY = GatewaySection(name="line3-gw1", site="north", area="solids", line="coating")
SECTION = OutboxSection(ballast="0 B")
COMMANDS = {
    "verify": ("outbox", "verify"),
    "peek": ("outbox", "peek", "-n", "20"),
    "peek alarm": ("outbox", "peek", "-n", "20", "--lane", "alarm"),
    "dead": ("outbox", "dead", "list"),
    "receipts": ("receipts", "--verify"),
    "export": ("outbox", "export"),
}


def settle(log: Path) -> None:
    """A log is bound to its directory: have it say that this is it."""
    identity = log / "log.json"
    said = orjson.loads(identity.read_bytes())
    said["place"] = {"inode": str(log.stat().st_ino)}
    said["check"] = f"{zlib.crc32(orjson.dumps([said['log'], said['place']])):08x}"
    identity.write_bytes(orjson.dumps(said))


def looked_at(log: Path) -> dict[str, Any]:
    """What the commands that look at a log say of it: exit code and answer."""
    said = {}
    for name, (command, *rest) in COMMANDS.items():
        out = io.StringIO()
        out_bytes = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with (
            contextlib.redirect_stdout(out_bytes if name == "export" else out),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            code = main([command, *rest, "--dir", str(log), "--json"])
        text = out_bytes.buffer.getvalue().decode() if name == "export" else out.getvalue()
        said[name] = [code, text.replace(str(log), "LOG").splitlines()]
    return said


async def delivered(log: Path) -> dict[str, Any]:
    """What a start finds, the messages that each sink still gets, and the balances when it has them."""
    outbox = Outbox.open(log, SECTION, clock=FakeClock(LATER), config_hash="0badcafe")
    said: dict[str, Any] = {"recovered": rendered(outbox.status())["recovered"], "messages": {}, "balance": {}}
    said["recovered"]["skipped"] = {lane: list(numbers) for lane, numbers in said["recovered"]["skipped"].items()}
    for sink in ("central", "lake"):
        reader = outbox.reader(sink)
        said["messages"][sink] = [line async for record in drained(reader) for line in messages(record)]
        said["balance"][sink] = rendered(reader.status())["lanes"]
    await outbox.close()
    return said


async def drained(reader: Reader) -> AsyncIterator[Record]:
    while sum(reader.pending.values()):
        async with asyncio.timeout(60):
            records = await reader.take(100)
        for record in records:
            yield record
        reader.acknowledged(records)


def messages(record: Record) -> Iterator[str]:
    devices = [record.readings.device] if record.readings is not None else []
    encoder = JsonEncoder(
        "{site}/{device}",
        False,
        SinkSurroundings(GATEWAY, "0.1.0", FakeClock(LATER), LiveTable(), lambda: devices),
    )
    for message in encoder.messages(record):
        yield f"{message.topic} {message.payload.decode()}"


def said_of(log: Path) -> dict[str, Any]:
    """All of it; the log is changed by the second half."""
    settle(log)
    return {"looked at": looked_at(log), **asyncio.run(delivered(log))}


if __name__ == "__main__":
    state.boot_number = lambda: BOOT
    for written in [path for path in Path(sys.argv[1]).iterdir() if path.is_dir()]:
        with tempfile.TemporaryDirectory() as copy:
            told = said_of(copytree(written, Path(copy) / written.name))
        written.with_suffix(".json").write_text(json.dumps(told, indent=1, ensure_ascii=False))
