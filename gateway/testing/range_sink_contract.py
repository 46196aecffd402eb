"""What every sink promises that commits by range and time, as tests."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.base import DeviceConfig, RangeSinkConfig, TagConfig
from gateway.core.errors import GatewayError
from gateway.core.record import Kind
from gateway.plugin.driver import option_types
from gateway.plugin.range_sink import Batch, RangeSink
from gateway.testing.blocking import Blocking
from gateway.testing.contract import LINK_LOST
from gateway.testing.devices import bind, records
from gateway.testing.host import FakeSinkHost

PATIENCE = 60.0
"""Seconds for what a busy machine does in one."""


class _Amount(TagConfig):
    def value_type(self) -> str:
        return "float64"


class RangeSinkContract:
    """Derive from it, name the class Test…, set `sink`, and give `config`, `ids`, `spoil` and `mend`:

        class TestLake(RangeSinkContract):
            sink = load_plugin(Path(__file__).parents[1])

            def config(self, place): return build_sink_config(self.sink, {"folder": str(place / "lake")})
            def ids(self, place): ...

    `place` is a folder of the test's own.
    """

    sink: type[RangeSink[Any]]

    def config(self, place: Path) -> RangeSinkConfig:
        """The sink's options to write to this place."""
        raise NotImplementedError("give your test class a method `config`")

    def ids(self, place: Path) -> list[str]:
        """The ids of all records that a reader finds there, as often as it finds them, in any order; of one with several
        readings once."""
        raise NotImplementedError("give your test class a method `ids`")

    def spoil(self, place: Path) -> None:
        """Make the place one that nothing can be written to."""
        raise NotImplementedError("give your test class a method `spoil`")

    def mend(self, place: Path) -> None:
        """Make it good again, with all that was there."""
        raise NotImplementedError("give your test class a method `mend`")

    def host(self, place: Path) -> FakeSinkHost:
        """The gateway, with one device of two tags; its folder outlives the sink."""
        folder = place / "state"
        folder.mkdir(exist_ok=True)
        config = DeviceConfig(name="device-1", driver="test", scan="1s", timeout="3s")  # type: ignore[arg-type]
        devices = [bind(config, {"left": _Amount(unit="kg"), "right": _Amount()})]
        return FakeSinkHost(devices, folder=folder)

    # What a sink declares

    def test_every_option_is_explained(self) -> None:
        (options,) = option_types(self.sink)
        silent = [name for name, field in options.model_fields.items() if not field.description]
        assert not silent, f"write a docstring under {', '.join(silent)} of {options.__name__}"

    def test_committing_may_wait(self) -> None:
        assert inspect.iscoroutinefunction(self.sink.commit), (
            "commit() may block: write it with async def, and in_thread"
        )

    # Committing

    async def test_each_record_is_there_once_when_its_commit_returns(self, tmp_path: Path) -> None:
        host = self.host(tmp_path)
        (device,) = host.all_devices
        async with self._connected(tmp_path, host) as sink:
            for first in (1, 41):
                sent = records(device, 40, first=first)
                await sink.commit(Batch(sent))
                assert {record.id for record in sent} <= set(self.ids(tmp_path))
        assert sorted(self.ids(tmp_path)) == sorted(record.id for record in records(device, 80))
        assert not host.refusals

    async def test_events_losses_and_receipts_are_committed_too(self, tmp_path: Path) -> None:
        host = self.host(tmp_path)
        sent = [
            record
            for seq, kind in enumerate((Kind.EVENT, Kind.LOSS, Kind.RECEIPT), 1)
            for record in records(host.all_devices[0], 1, first=seq, kind=kind)
        ]
        async with self._connected(tmp_path, host) as sink:
            await sink.commit(Batch(sent))
        assert sorted(self.ids(tmp_path)) == sorted(record.id for record in sent)

    async def test_what_was_committed_and_comes_again_is_not_written_twice(self, tmp_path: Path) -> None:
        """As after a crash, when the outbox does not know yet what was committed: by the same connection, by the next one,
        and cut otherwise."""
        host = self.host(tmp_path)
        sent = records(host.all_devices[0], 60)
        async with self._connected(tmp_path, host) as sink:
            await sink.commit(Batch(sent[:40]))
            await sink.commit(Batch(sent[:40]))
        async with self._connected(tmp_path, self.host(tmp_path)) as sink:
            await sink.commit(Batch(sent[:10]))
            await sink.commit(Batch(sent[10:60]))
        assert sorted(self.ids(tmp_path)) == sorted(record.id for record in sent)

    async def test_it_is_known_from_the_place_itself_what_is_there(self, tmp_path: Path) -> None:
        """The sink's own folder was lost, as with the machine's disk."""
        sent = records(self.host(tmp_path).all_devices[0], 60)
        async with self._connected(tmp_path, self.host(tmp_path)) as sink:
            await sink.commit(Batch(sent[:40]))
        (tmp_path / "state").rename(tmp_path / "lost")
        async with self._connected(tmp_path, self.host(tmp_path)) as sink:
            await sink.commit(Batch(sent))
        assert sorted(self.ids(tmp_path)) == sorted(record.id for record in sent)

    async def test_a_dead_letter_and_a_replay_add_what_is_missing_and_no_more(self, tmp_path: Path) -> None:
        host = self.host(tmp_path)
        sent = records(host.all_devices[0], 30)
        late = sent.pop(9)
        async with self._connected(tmp_path, host) as sink:
            await sink.commit(Batch(sent))
            for _ in range(2):
                await sink.commit(Batch([late], {late: "dead letter"}))
                await sink.commit(Batch(sent[3:20], dict.fromkeys(sent[3:20], "replay")))
        assert sorted(self.ids(tmp_path)) == sorted(record.id for record in (*sent, late))

    async def test_committing_does_not_hold_up_the_event_loop(self, tmp_path: Path) -> None:
        host = self.host(tmp_path)
        async with self._connected(tmp_path, host) as sink:
            blocking = Blocking("commit")
            committing = asyncio.ensure_future(sink.commit(Batch(records(host.all_devices[0], 50))))
            with blocking.step():
                await asyncio.sleep(0)  # its first step
            blocking.check()
            await self._in_time(committing)

    # A place that is not as it should be

    async def test_a_place_that_takes_nothing_is_told_in_words_and_nothing_is_lost(self, tmp_path: Path) -> None:
        host = self.host(tmp_path)
        sent = records(host.all_devices[0], 40)
        async with self._connected(tmp_path, host) as sink:
            await sink.commit(Batch(sent[:20]))
            self.spoil(tmp_path)
            with pytest.raises(LINK_LOST) as caught:
                await self._in_time(asyncio.ensure_future(sink.commit(Batch(sent[20:]))))
            assert str(caught.value)
        assert not host.taken
        assert not host.refusals, "a place that takes nothing is no refusal of records"
        self.mend(tmp_path)
        async with self._connected(tmp_path, self.host(tmp_path)) as sink:
            await sink.commit(Batch(sent))
        assert sorted(self.ids(tmp_path)) == sorted(record.id for record in sent)

    async def test_a_check_changes_nothing_and_says_what_is_there(self, tmp_path: Path) -> None:
        before = _all_of(tmp_path)
        found = await self.sink(self.config(tmp_path), _OfACheck()).check()
        assert found
        assert isinstance(found, str)
        assert _all_of(tmp_path) == before

    # How the suite works

    @contextlib.asynccontextmanager
    async def _connected(self, place: Path, host: FakeSinkHost) -> AsyncIterator[RangeSink[Any]]:
        sink = self.sink(self.config(place), host)
        await self._in_time(asyncio.ensure_future(sink.connect()))
        try:
            yield sink
        finally:
            await self._in_time(asyncio.ensure_future(sink.close()))

    async def _in_time(self, doing: "asyncio.Future[None]") -> None:
        async with asyncio.timeout(PATIENCE):
            await doing


def _all_of(place: Path) -> list[Path]:
    return sorted(place.rglob("*"))


class _OfACheck(FakeSinkHost):
    @property
    def state_dir(self) -> Path:
        raise GatewayError("no gateway is running here, so nothing is kept")
