"""What every sink promises, as tests."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from gateway.config.base import DeviceConfig, SinkConfig, TagConfig
from gateway.core.record import Kind, Record
from gateway.core.tag import Device
from gateway.plugin.driver import option_types
from gateway.plugin.sink import Sink
from gateway.testing.attack import ATTACKS, Attack
from gateway.testing.blocking import Blocking
from gateway.testing.contract import LINK_LOST, Contract
from gateway.testing.devices import bind, records
from gateway.testing.host import FakeSinkHost
from gateway.testing.link import Link, TcpLink
from gateway.testing.waiting import eventually


class _Point(TagConfig):
    def value_type(self) -> str:
        return "float64"


class SinkContract(Contract):
    """Derive from it, name the class Test…, set `sink`, and give `server` and `config`:

        class TestLines(SinkContract):
            sink = load_plugin(Path(__file__).parents[1])

            @pytest_asyncio.fixture
            async def server(self): ...yield its port

            def config(self, port): return build_sink_config(self.sink, {"port": port})

    The suite puts a link with a switch between sink and server. A sink that does not speak TCP overrides `link`; one that
    reaches nothing by a connection, such as a file, says `has_link = False`.
    """

    sink: type[Sink[Any]]

    def config(self, port: int) -> SinkConfig:
        """The sink's options to reach 127.0.0.1:port."""
        raise NotImplementedError("give your test class a method `config`")

    def refusable(self, device: Device) -> Record | None:
        """A record that the far side refuses for good, or None where that cannot happen."""
        return None

    def host(self) -> FakeSinkHost:
        """The gateway, with one device of two tags."""
        config = DeviceConfig(name="device-1", driver="test", scan="1s", timeout="3s")  # type: ignore[arg-type]
        return FakeSinkHost([bind(config, {"left": _Point(unit="kg"), "right": _Point()})])

    # What a sink declares

    def test_every_option_is_explained(self) -> None:
        (options,) = option_types(self.sink)
        silent = [name for name, field in options.model_fields.items() if not field.description]
        assert not silent, f"write a docstring under {', '.join(silent)} of {options.__name__}"

    def test_sending_does_not_wait(self) -> None:
        assert not inspect.iscoroutinefunction(self.sink.send), "send() hands over: write it with def, not async def"

    # Delivery

    @pytest.mark.asyncio
    async def test_all_that_is_sent_is_acknowledged_once(self, link: Link) -> None:
        host = self.host()
        async with self._session(link, host) as sink:
            sent = records(host.all_devices[0], 3 * sink.window)
            await self._deliver(sink, host, sent)
            assert sorted(host.taken) == sorted(record.id for record in sent)

    @pytest.mark.asyncio
    async def test_events_and_losses_are_delivered_too(self, link: Link) -> None:
        host = self.host()
        async with self._session(link, host) as sink:
            for seq, kind in enumerate((Kind.EVENT, Kind.LOSS, Kind.RECEIPT), 1):
                sink.send(records(host.all_devices[0], 1, first=seq, kind=kind))
            await self._answered(host, 3)
        assert not host.refusals

    @pytest.mark.asyncio
    async def test_changes_of_devices_are_taken_beside_records(self, link: Link) -> None:
        host = self.host()
        (device,) = host.all_devices
        async with self._session(link, host) as sink:
            sink.device_changed(device, True, "")
            sink.send(records(device, 1))
            sink.device_changed(device, False, "unplugged by a test")
            await self._answered(host, 1)

    @pytest.mark.asyncio
    async def test_a_refusal_is_reported_with_its_reason_and_the_rest_goes_on(self, link: Link) -> None:
        host = self.host()
        (device,) = host.all_devices
        refusable = self.refusable(device)
        if refusable is None:
            pytest.skip("the test class names no refusable record")
        async with self._session(link, host) as sink:
            sink.send([refusable, *records(device, 2, first=1000)])
            await self._answered(host, 3)
        ((refused, reason, final),) = host.refusals
        assert refused == refusable.id
        assert reason
        assert final

    # The link

    @pytest.mark.asyncio
    async def test_nothing_is_acknowledged_before_the_far_side_did(self, link: Link) -> None:
        self._needs_link()
        host = self.host()
        async with self._session(link, host) as sink:
            await link.hold()
            sink.send(records(host.all_devices[0], 2))
            await asyncio.sleep(0.2)
            assert not host.taken
            await link.resume()
            await self._answered(host, 2)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
    async def test_a_link_cut_while_sending_ends_serving_and_the_next_one_delivers(
        self, link: Link, reset: bool
    ) -> None:
        self._needs_link()
        host = self.host()
        sent = records(host.all_devices[0], 2)
        async with self._nothing_left(link):
            async with self._connected(link, host) as sink:
                serving = asyncio.create_task(sink.serve())
                await link.hold()
                sink.send(sent)
                await asyncio.sleep(0.05)
                await link.cut(reset=reset)
                with pytest.raises(LINK_LOST):
                    await self._in_time(serving)
            assert not host.taken, "acknowledged what the far side cannot have taken"
            assert not host.refusals, "a lost link is no refusal"
            await link.mend()
            await link.resume()
            async with self._session(link, host) as sink:
                await self._deliver(sink, host, sent)

    @pytest.mark.asyncio
    async def test_closing_leaves_nothing_behind(self, link: Link) -> None:
        host = self.host()
        async with self._nothing_left(link), self._session(link, host) as sink:
            await self._deliver(sink, host, records(host.all_devices[0], 1))

    @pytest.mark.asyncio
    async def test_a_sink_that_hangs_can_be_closed(self, link: Link) -> None:
        self._needs_link()
        host = self.host()
        async with self._nothing_left(link):
            async with self._session(link, host) as sink:
                await link.hold()
                sink.send(records(host.all_devices[0], 1))
            await link.resume()

    @pytest.mark.asyncio
    async def test_connecting_to_nobody_raises_and_leaves_nothing(self, link: Link) -> None:
        self._needs_link()
        async with self._nothing_left(link):
            await link.cut()
            with pytest.raises(LINK_LOST):
                await self._in_time(self.sink(self.config(link.port), self.host()).connect())

    @pytest.mark.asyncio
    async def test_connecting_to_silence_can_be_given_up(self, link: Link) -> None:
        self._needs_link()
        async with self._nothing_left(link):
            await link.hold()
            sink = self.sink(self.config(link.port), self.host())
            try:
                async with asyncio.timeout(0.3):
                    await sink.connect()
            except LINK_LOST:
                pass
            else:
                await self._in_time(sink.close())
            await link.resume()

    @pytest.mark.asyncio
    async def test_a_check_finds_the_far_side_or_says_why_not_and_leaves_nothing(self, link: Link) -> None:
        async with self._nothing_left(link):
            found = await self._in_time(self.sink(self.config(link.port), self.host()).check())
            assert isinstance(found, str), "check() says in words what it found"
            if self.has_link:
                await link.cut()
                with pytest.raises(LINK_LOST):
                    await self._in_time(self.sink(self.config(link.port), self.host()).check())

    # What the far side may bring

    @pytest.mark.asyncio
    @pytest.mark.parametrize("trouble", ATTACKS)
    async def test_floods_giants_and_drips_cost_the_link_and_nothing_else(
        self, link: Link, server: int, trouble: str, request: pytest.FixtureRequest
    ) -> None:
        self._needs_link()
        async with self._nothing_left(link), self._harmless(link, trouble, request):
            for attack in self.attacks[trouble].values():
                await self._attacked(server, attack)

    async def _attacked(self, server: int, attack: Attack) -> None:
        """The far side attacks a session that has sent, and then one that is dialled; afterwards a new one delivers."""
        host, again = self.host(), self.host()
        sent = records(host.all_devices[0], 4)
        async with TcpLink(server) as link:
            async with self._connected(link, host) as sink:
                serving = asyncio.ensure_future(sink.serve())
                link.attack(attack)
                with contextlib.suppress(*LINK_LOST):
                    sink.send(sent)
                await self._outlives(serving)
            await self._outlives(self._dial_and_serve(link, sent))
            await link.peace()
            async with self._session(link, again) as sink:
                await self._deliver(sink, again, sent)

    # How the suite works

    async def _dial_and_serve(self, link: Link, sent: Sequence[Record]) -> None:
        sink = self.sink(self.config(link.port), self.host())
        await sink.connect()
        try:
            sink.send(sent)
            await sink.serve()
        finally:
            await self._in_time(sink.close())

    @contextlib.asynccontextmanager
    async def _connected(self, link: Link, host: FakeSinkHost) -> AsyncIterator[Sink[Any]]:
        sink = self.sink(self.config(link.port), host)
        await self._in_time(sink.connect())
        try:
            yield sink
        finally:
            await self._in_time(sink.close())

    @contextlib.asynccontextmanager
    async def _session(self, link: Link, host: FakeSinkHost) -> AsyncIterator[Sink[Any]]:
        """A connection as the publisher keeps it: connect, serve, and close once whatever happens."""
        async with self._connected(link, host) as sink:
            serving = asyncio.create_task(sink.serve())
            try:
                yield sink
            finally:
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._in_time(serving)
                    pytest.fail("serve() ended without raising")

    async def _deliver(self, sink: Sink[Any], host: FakeSinkHost, sent: Sequence[Record]) -> None:
        """Send as the publisher does, with no more than the window open."""
        for start in range(0, len(sent), sink.window):
            part = sent[start : start + sink.window]
            blocking = Blocking("send")
            with blocking.step():
                sink.send(part)
            blocking.check()
            await self._answered(host, start + len(part))
        assert not host.refusals

    async def _answered(self, host: FakeSinkHost, count: int) -> None:
        with contextlib.suppress(AssertionError):
            await eventually(lambda: len(host.taken) + len(host.refusals) >= count, self.patience)
        assert len(host.taken) + len(host.refusals) == count, f"acknowledged {host.taken}, refused {host.refusals}"
