"""Whatever stands in a log's directory: the log opens, tells, and takes new data; and the commands say what they can say."""

import asyncio
import io
import random
from pathlib import Path

import pytest

from gateway.config.model import GatewaySection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.core.live import LiveTable
from gateway.core.record import Kind
from gateway.outbox.deliver.dead_letters import letters
from gateway.outbox.inspect.export import Wanted, export_csv
from gateway.outbox.inspect.log_files import LogFiles
from gateway.outbox.inspect.receipt_hashes import verify_receipts
from gateway.outbox.inspect.verification import verify
from gateway.outbox.receipts.receipt_files import kept
from gateway.publish import JsonEncoder, SinkSurroundings
from gateway.status import rendered
from tests.outbox import wild
from tests.outbox.making import Log, block, spec, take, until

NEW = 4711.0
"""The value that is appended to a log that was found wild."""


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> tuple[Log, wild.Files]:
    """A log that has everything, as it was on disk at an unclean stop."""
    log = Log(tmp_path_factory.mktemp("wild") / "outbox")
    return log, asyncio.run(make(log))


async def make(log: Log) -> wild.Files:
    log.clock.synced = False
    for start in (0, 10):
        async with log.opened(segment_size=64 * 1024) as outbox:
            device, other = outbox.bind(spec(), context()), outbox.bind(spec("texts", 4), context())
            central = outbox.reader("central")
            outbox.reader("behind")
            log.clock.advance(1)
            for number in range(start, start + 10):
                outbox.append(block(device, number))
                exact = {0: "text \ud800", 1: 1 << 70, 2: b"\0\1", 3: [1, [2.5, "x", None]]}
                outbox.append(block(other, number, exact=exact))
            outbox.append_event(Event(f"e{start}", "alarm", "raised", "press-1", log.clock.wall_ns(), "hot"))
            await until(lambda: outbox.status().lanes["data"].queued == 0)
            records = await take(central, 12)
            central.refused(records[2], "not allowed", final=True)
            central.acknowledged(records[3:9])
            log.clock.advance(3600)
            outbox._tick()
            await outbox._issue_receipts()
            log.clock.advance(60)
            outbox.append(block(device, start + 10))
            outbox.append(block(other, start + 11))
            await until(lambda: outbox.status().lanes["data"].queued == 0)
            log.clock.synced = True
            await asyncio.sleep(0.1)
            outbox._tick()
            await outbox.written_out(5)
            await until(
                lambda: all((log.directory / name).exists() for name in ("synced.json", "cursors/central.json"))
            )
            files = [path for path in log.directory.rglob("*") if path.is_file() and path.suffix != ".part"]
            found = {str(path.relative_to(log.directory)): path.read_bytes() for path in files}
    return found


def context() -> Context:
    return Context(site="north", line="coating")


def test_the_log_that_is_made_wild_has_a_file_of_every_kind(real) -> None:
    _, files = real
    kinds = {Path(name).suffix or name for name in files if name != "ballast"}
    assert kinds >= {".seg", ".json", ".pending", ".dead", "tags", "numbers"}
    assert {"cursors/central.json", "log.json", "synced.json", "receipts/open.json"} <= files.keys()


def encoder() -> JsonEncoder:
    return JsonEncoder("{device}", False, SinkSurroundings(GatewaySection(name="gw"), "0", FakeClock(), LiveTable()))


async def flows(log: Log) -> None:
    """Open the log, take all that it has as a sink would, and have something new accepted and handed out."""
    sink = encoder()
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context())
        reader = outbox.reader("central")
        outbox.reader("behind", "strict")
        outbox.append(block(device, NEW))
        outbox.append_event(Event("new", "alarm", "raised", "press-1", log.clock.wall_ns(), "new"))
        news: set[Kind] = set()
        async with asyncio.timeout(30):
            while len(news) < 2:
                await reader.wait()
                records = await reader.take(500)
                for record in records:
                    assert sink.messages(record)
                    if record.body is not None and record.body.get("event") == "new":
                        news.add(Kind.EVENT)
                    if record.readings is not None and NEW in record.readings.value:
                        news.add(Kind.READINGS)
                reader.acknowledged(records)
        outbox._tick()
        await outbox.receipts.so_far(-(2**63), 2**63 - 1)
        for lane in rendered(reader.status())["lanes"].values():
            assert lane["accepted"] == lane["acknowledged"] + lane["pending"] + sum(lane["dropped"].values())
        assert outbox.status().disk == "ok"
    for record in [letter for _, letter in letters(log.directory) if not isinstance(letter, str)]:
        assert sink.messages(record.record) and record.summary()


def looked_at(directory: Path) -> None:
    """What the commands do, while no gateway runs."""
    try:
        files = LogFiles(directory)
    except GatewayError as error:
        assert str(error)
        return
    verify(files)
    export_csv(files, Wanted(), io.StringIO(), lambda _: None)
    verify_receipts(files, kept(directory / "receipts", -(2**63), 2**63 - 1), lambda _: None)


def one(real: tuple[Log, wild.Files], seed: int) -> None:
    log, files = real
    rng = random.Random(seed)
    found = dict(files)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        try:
            rng.choice(wild.CHANGES)(rng, found)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError):
            continue  # it was wild already
    wild.lay(log.directory, found)
    if rng.random() < 0.25:
        wild.odd_things(rng, log.directory, files)
    looked_at(log.directory)
    asyncio.run(flows(log))
    looked_at(log.directory)


def some(start: int, end: int) -> list[range]:
    return [range(first, first + 20) for first in range(start, end, 20)]


@pytest.mark.parametrize(
    "seeds", [*some(0, 60), *(pytest.param(each, marks=pytest.mark.slow) for each in some(60, 260))], ids=str
)
def test_no_content_of_its_directory_keeps_a_log_from_flowing(real, seeds) -> None:
    for seed in seeds:
        try:
            one(real, seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
