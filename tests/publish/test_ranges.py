"""Sinks that commit by range and time, on the real outbox: what is due, what is retried, what breaks them."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config.base import RangeSinkConfig
from gateway.core.errors import LinkError
from gateway.operate import headline
from gateway.plugin.range_sink import Batch, RangeSink
from gateway.publish import publisher, range_session
from gateway.status import rendered
from gateway.testing import eventually

from .test_with_outbox import Running, outbox_into


class Table:
    """What was committed, over all connections."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.attempts = 0
        self.before: Callable[[Batch], Any] = lambda batch: None
        self.hang = False
        self.progressing = False
        self.steps = 0

    @property
    def values(self) -> list[float]:
        return [
            value
            for batch in self.batches
            for record in batch.records
            if record.readings is not None
            for value in record.readings.value.tolist()
        ]

    def sink_type(self) -> type[RangeSink[RangeSinkConfig]]:
        table = self

        class Bound(RangeSink[RangeSinkConfig]):
            async def connect(self) -> None:
                pass

            @property
            def progress(self) -> int:
                table.steps += table.progressing
                return table.steps

            async def commit(self, batch: Batch) -> None:
                table.attempts += 1
                table.before(batch)
                if table.hang:
                    await asyncio.Event().wait()
                table.batches.append(batch)

        return Bound


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(range_session, "LOOK", 0.02)


def into(directory: Path, table: Table, **options: Any) -> Any:
    given = {"plugin": "table", "commit_interval": "100ms", **options}
    return outbox_into(table.sink_type(), directory, given)


async def delivered(running: Running, readings: int) -> None:
    await eventually(lambda: running.balance()["accepted"] == readings and running.delivered)


async def test_what_waits_is_committed_together_when_its_time_has_come(tmp_path: Path) -> None:
    table = Table()
    async with into(tmp_path, table) as running:
        running.read(*range(50))
        await delivered(running, 50)
    assert table.values == list(range(50))
    assert len(table.batches) < 10


async def test_the_thread_of_a_sink_ends_with_it_and_not_before(tmp_path: Path) -> None:
    table = Table()
    threads: set[threading.Thread] = set()

    class Threaded(table.sink_type()):  # type: ignore[misc]
        async def commit(self, batch: Batch) -> None:
            threads.add(await self.in_thread(threading.current_thread))
            await super().commit(batch)
            if len(table.batches) == 1:
                raise LinkError("the next connection has the same thread")

    async with outbox_into(Threaded, tmp_path, {"plugin": "table", "commit_interval": "100ms"}) as running:
        running.read(*range(5))
        await delivered(running, 5)
        assert len(table.batches) > 1
        assert len(threads) == 1
    await eventually(lambda: not any(thread.is_alive() for thread in threads))


async def test_until_then_status_says_what_is_not_committed_and_that_this_is_no_trouble(tmp_path: Path) -> None:
    table = Table()
    async with into(tmp_path, table, commit_interval="1h") as running:
        running.read(*range(50))
        await eventually(lambda: running.balance()["pending"] == 50 and running.publisher.status().state == "up")
        assert not table.batches
        status = rendered(running.publisher.status())
        assert status["commits_every_s"] == 3600
        quiet = {**status, "since_s": 3000.0}
        assert not [trouble for trouble in sink_troubles(quiet) if "acknowledged nothing" in trouble]
        late = {**status, "since_s": 8000.0}
        assert [trouble for trouble in sink_troubles(late) if "acknowledged nothing" in trouble]


def sink_troubles(status: dict[str, Any]) -> list[str]:
    return [trouble.text for trouble in headline._sink(status)]


async def test_a_full_commit_is_made_at_once_and_no_larger_than_allowed(tmp_path: Path) -> None:
    table = Table()
    async with into(tmp_path, table, commit_interval="1h", commit_size="64 KiB") as running:
        running.read(*range(6000))
        await eventually(lambda: len(table.values) >= 3000)
    assert table.values == list(range(len(table.values)))
    sizes = [sum(map(range_session.size_of, batch.records)) for batch in table.batches]
    assert max(sizes) < 3 * 64 * 1024


async def test_the_window_bounds_the_records_of_a_commit(tmp_path: Path) -> None:
    table = Table()
    async with into(tmp_path, table, window=7) as running:
        running.read(*range(20))
        await delivered(running, 20)
    assert {len(batch.records) for batch in table.batches} <= set(range(1, 8))


async def test_a_commit_that_fails_is_made_again_with_all_its_records(tmp_path: Path) -> None:
    table = Table()

    def fails(batch: Batch) -> None:
        if table.attempts < 3:
            raise LinkError("the disk is full")

    table.before = fails
    async with into(tmp_path, table) as running:
        running.read(*range(20))
        await delivered(running, 20)
        assert running.balance()["acknowledged"] == 20
    assert table.values == list(range(20))


async def test_a_record_over_which_the_sink_breaks_is_found_by_halves_and_set_aside(tmp_path: Path) -> None:
    table = Table()

    def breaks(batch: Batch) -> None:
        if any(record.readings is not None and 13.0 in record.readings.value for record in batch.records):
            raise ZeroDivisionError("a bug")

    table.before = breaks
    async with into(tmp_path, table) as running:
        running.read(*range(40))
        await delivered(running, 40)
        balance = running.balance()
        assert (balance["acknowledged"], sum(balance["dropped"].values())) == (39, 1)
        assert "breaks on this record" in str(balance["dropped"])
    assert table.values == [float(n) for n in range(40) if n != 13]
    assert table.attempts < 40


@pytest.mark.parametrize("progressing", [False, True])
async def test_a_commit_that_does_not_get_on_is_given_up_and_one_that_does_is_not(
    tmp_path: Path, progressing: bool
) -> None:
    table = Table()
    table.hang, table.progressing = True, progressing
    async with into(tmp_path, table, ack_timeout="100ms") as running:
        running.read(*range(5))
        await eventually(lambda: table.attempts >= 1)
        if progressing:
            looks = table.steps
            await eventually(lambda: table.steps > looks + 8)
            assert table.attempts == 1
        else:
            await eventually(lambda: table.attempts >= 2)
        table.hang = False
        if not progressing:
            await delivered(running, 5)
            assert table.values == list(range(5))


async def test_what_waited_for_its_commit_is_not_marked_as_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.outbox.deliver.reader.LATE_NS", 0)
    table = Table()
    async with into(tmp_path, table) as running:
        running.read(*range(20))
        await delivered(running, 20)
    qualities = {
        int(q) for batch in table.batches for r in batch.records if r.readings is not None for q in r.readings.quality
    }
    assert qualities == {0}
