"""What every driver promises, as tests."""

import asyncio
import contextlib
import gc
import warnings
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, cast

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from gateway.acquire.values import as_readings
from gateway.core.errors import DeviceError
from gateway.core.quality import is_bad
from gateway.core.readings import Exact, Readings
from gateway.core.tag import VALUE_TYPES, Device, Tag, Tags
from gateway.isolation import Isolated
from gateway.plugin.driver import Driver, Found, option_types, subscribes
from gateway.plugin.finding import Discovered, Finding, Search
from gateway.testing.attack import ATTACKS, Attack
from gateway.testing.contract import LINK_LOST, Contract
from gateway.testing.host import FakeLineHost
from gateway.testing.link import Link, TcpLink
from gateway.testing.signatures import outdated
from gateway.testing.waiting import eventually

Value = Exact | float | None


class DriverContract(Contract):
    """Derive from it, name the class Test…, set `driver` and `good`, and give `server` and `device`:

        class TestScale(DriverContract):
            driver = load_plugin(Path(__file__).parents[1])
            good = {"left": 12.5, "right": 7.0}
            bad = ("missing",)

            @pytest_asyncio.fixture
            async def server(self): ...yield its port

            def device(self, port): return build_device(self.driver, {...}, {...})

    The suite puts a link with a switch between driver and server. A driver that does not speak TCP overrides `link`.
    """

    driver: type[Driver[Any, Any]]
    good: Mapping[str, Value]
    """Tags of the device, at least two, and the values that the server holds in them."""
    bad: Sequence[str] = ()
    """Tags of the device for which the server has no value."""
    writes: Mapping[str, float | bool | int | str] = {}
    """For a driver that writes: values other than the present ones, that the device takes."""
    notices_idle_close: bool = True
    """False for a library that blocks, which notices only at its next question that the device has closed the connection:
    then the gateway dials anew."""
    refused_writes: Mapping[str, float | bool | int | str] = {}
    """For a driver that writes: values that the device refuses."""

    def device(self, port: int) -> Device:
        """A device at 127.0.0.1:port with all tags of `good` and `bad`; called once per test."""
        raise NotImplementedError("give your test class a method `device`")

    # What a driver declares

    def test_every_option_is_explained(self) -> None:
        for options in option_types(self.driver):
            silent = [name for name, field in options.model_fields.items() if not field.description]
            assert not silent, f"write a docstring under {', '.join(silent)} of {options.__name__}"

    def test_the_plan_needs_no_connection(self) -> None:
        plan = self.driver.plan(self.device(1))
        assert all(isinstance(line, str) for line in plan)

    def test_it_hands_its_host_on(self) -> None:
        host = FakeLineHost()
        line = self.driver([self.device(1)], host)
        assert line.host is host, "hand it on, or nobody hears what the driver says: super().__init__(devices, host)"

    def test_what_goes_with_the_next_version_is_told(self) -> None:
        """As warnings: it works today."""
        for told in outdated(self.driver):
            warnings.warn(told, DeprecationWarning, stacklevel=1)

    def test_a_default_is_what_the_option_would_be_if_it_were_written(self) -> None:
        """Defaults are not checked, so that "10s" stays a text where a Duration, which is a number of seconds, is used."""
        for options in option_types(self.driver):
            for name, field in options.model_fields.items():
                told = _as_read(field)
                assert told == field.default, (
                    f"the default of {name} in {options.__name__} is {field.default!r}, which is {told!r} when it is read "
                    f"from a configuration: write {name} = {told!r}"
                )

    # Reading

    @pytest.mark.asyncio
    async def test_values_belong_to_their_tags(self, link: Link) -> None:
        async with self._line(link) as line:
            for tags in _orders(line, self.good):
                found = await self._values(line, tags)
                assert {name: found[name] for name in self.good} == _about(self.good)

    @pytest.mark.asyncio
    async def test_scan_after_scan_answers(self, link: Link) -> None:
        async with self._line(link) as line:
            for _ in range(3):
                found = await self._values(line, line.devices[0].tags)
                assert {name: found[name] for name in self.good} == _about(self.good)

    @pytest.mark.asyncio
    async def test_a_bad_tag_is_a_bad_row_and_its_neighbours_are_good(self, link: Link) -> None:
        if not self.bad:
            pytest.skip("the test class names no bad tags")
        async with self._line(link) as line:
            found = await self._values(line, line.devices[0].tags)
            assert {name: found[name] for name in self.bad} == dict.fromkeys(self.bad)
            assert {name: found[name] for name in self.good} == _about(self.good)

    @pytest.mark.asyncio
    async def test_what_the_device_tells_of_tags_is_well_formed(self, link: Link) -> None:
        async with self._line(link) as line:
            told = await self._in_time(line.describe())
            for tag, found in told.items():
                assert tag in list(line.devices[0].tags)
                assert found.type in VALUE_TYPES

    @pytest.mark.asyncio
    async def test_values_are_of_the_types_that_are_told(self, link: Link) -> None:
        async with self._line(link) as line:
            device = line.devices[0]
            told = await self._in_time(line.describe())
            found = await self._values(line, device.tags)
            for tag in device.tags:
                type_ = tag.config.value_type() or (told[tag].type if tag in told else "")
                assert _fits(found[tag.name], type_), f'tag "{tag.name}" is {type_}, and {found[tag.name]!r} was read'

    # The link

    @pytest.mark.asyncio
    async def test_a_line_leaves_nothing_behind(self, link: Link) -> None:
        async with self._nothing_left(link), self._line(link) as line:
            await self._values(line, line.devices[0].tags)

    @pytest.mark.asyncio
    async def test_a_device_that_is_replaced_is_let_go(self, link: Link) -> None:
        """A reload makes all objects of a device anew. What was learned, and is kept for the next connection, must not hold
        the old ones: a value of a WeakKeyDictionary that leads back to its key stays for ever."""
        gone = await self._read_once(link)
        await eventually(lambda: gc.collect() >= 0 and gone() is None, 30.0, what="nothing holds the device any more")

    async def _read_once(self, link: Link) -> "weakref.ref[Device]":
        device = self.device(link.port)
        async with self._line(link, device) as line:
            await self._values(line, device.tags)
        return weakref.ref(device)

    @pytest.mark.asyncio
    async def test_a_second_line_works_after_the_first(self, link: Link) -> None:
        device = self.device(link.port)
        for _ in range(2):
            async with self._line(link, device) as line:
                assert await self._values(line, device.tags)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
    async def test_a_link_cut_while_reading_ends_the_line(self, link: Link, reset: bool) -> None:
        self._needs_link()
        async with self._nothing_left(link), self._line(link) as line:
            await self._values(line, line.devices[0].tags)
            await link.hold()
            # Where there is no connection, nothing is cut, and it is the gateway's time-out that ends the line.
            silent = None if isinstance(link, TcpLink) else line.config.timeout
            reading = asyncio.create_task(self._read_on(line, silent))
            await asyncio.sleep(0.05)
            await link.cut(reset=reset)
            with pytest.raises(LINK_LOST):
                await self._in_time(reading)

    @pytest.mark.asyncio
    async def test_a_cancelled_read_leaves_the_line_closable(self, link: Link) -> None:
        async with self._nothing_left(link):
            async with self._line(link) as line:
                await link.hold()
                reading = asyncio.create_task(self._read_on(line))
                await asyncio.sleep(0.05)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await self._in_time(reading)
            await link.resume()

    @pytest.mark.asyncio
    async def test_closing_a_dead_line_does_not_raise(self, link: Link) -> None:
        self._needs_link()
        async with self._nothing_left(link), self._line(link):
            await link.cut()
            await eventually(lambda: link.connections == 0, self.patience)

    @pytest.mark.asyncio
    async def test_connecting_to_nobody_raises_and_leaves_nothing(self, link: Link) -> None:
        self._needs_link()
        async with self._nothing_left(link):
            await link.cut()
            line = self.driver([self.device(link.port)])
            with pytest.raises(LINK_LOST):
                await self._in_time(line.connect())
            line.release()

    @pytest.mark.asyncio
    async def test_connecting_to_silence_can_be_given_up(self, link: Link) -> None:
        self._needs_link()
        async with self._nothing_left(link):
            await link.hold()
            line = self.driver([self.device(link.port)])
            try:
                async with asyncio.timeout(0.3):
                    await line.connect()
            except LINK_LOST:
                pass
            else:
                await self._in_time(line.close())
            line.release()
            await link.resume()

    @pytest.mark.asyncio
    async def test_a_connection_that_the_far_side_closes_while_it_is_idle_is_no_loss(self, link: Link) -> None:
        self._needs_link()
        if not isinstance(link, TcpLink) or subscribes(self.driver, self.device(link.port).config):
            pytest.skip("only what is polled over a TcpLink is ever idle")
        if not self.notices_idle_close:
            pytest.skip("the test class says that this driver notices it only when it asks again")
        async with self._nothing_left(link), self._line(link) as line:
            for _ in range(3):
                found = await self._values(line, line.devices[0].tags)
                assert {name: found[name] for name in self.good} == _about(self.good)
                link.drop()
                await eventually(lambda: link.connections == 0, self.patience)

    # What the far side may bring

    @pytest.mark.asyncio
    @pytest.mark.parametrize("trouble", ATTACKS)
    async def test_floods_giants_and_drips_cost_the_link_and_nothing_else(
        self, link: Link, server: int, trouble: str, request: pytest.FixtureRequest
    ) -> None:
        self._needs_link()
        async with self._nothing_left(link), self._harmless(link, trouble, request):
            room = asyncio.Semaphore(self.attacked_at_once)
            await asyncio.gather(*(self._attacked(server, *each, room) for each in self.attacks[trouble].items()))

    async def _attacked(self, server: int, name: str, attack: Attack, room: asyncio.Semaphore) -> None:
        async with room:
            try:
                await self._bears(server, attack)
            except BaseException as error:
                error.add_note(f"the far side's attack was: {name}")
                raise

    async def _bears(self, server: int, attack: Attack) -> None:
        """The far side attacks a line that reads, and one that is dialled meanwhile; afterwards a new one reads."""
        async with TcpLink(server) as link:
            device = self.device(link.port)
            async with self._line(link, device) as line:
                await self._values(line, device.tags)
                dialled = self.driver([device])
                await self._prepared(dialled)
                reading = asyncio.ensure_future(self._read_on(line))
                link.attack(attack)
                await asyncio.gather(self._outlives(reading), self._outlives(self._dial_and_read(dialled)))
            await link.peace()
            async with self._line(link, device) as line:
                found = await self._values(line, device.tags)
                assert {name: found[name] for name in self.good} == _about(self.good)

    # What only some drivers do

    @pytest.mark.asyncio
    async def test_a_write_is_taken_or_refused_with_a_reason(self, link: Link) -> None:
        if "write" not in self.driver.can:
            pytest.skip("this driver does not write")
        assert self.writes, (
            "this driver writes: give in the test class writes = {tag: value}, other values than those of `good`, which "
            "the device takes; and refused_writes, which it refuses by DeviceError"
        )
        async with self._line(link) as line:
            device = line.devices[0]
            for name, value in self.refused_writes.items():
                with pytest.raises(DeviceError, match=r"\S"):
                    await self._in_time(line.write(_tag(device, name), value))
            for name, value in self.writes.items():
                await self._in_time(line.write(_tag(device, name), value))
            found = await self._values(line, device.tags)
            assert {name: found[name] for name in self.writes} == _about(self.writes)

    @pytest.mark.asyncio
    async def test_browsing_yields_addresses_and_can_be_given_up(self, link: Link) -> None:
        if "browse" not in self.driver.can:
            pytest.skip("this driver does not browse")
        async with self._line(link) as line:
            offers = line.browse()
            address, found = await self._in_time(anext(offers))
            assert isinstance(address, str)
            assert isinstance(found, Found)
            await offers.aclose()  # type: ignore[attr-defined]

    @pytest.mark.asyncio
    async def test_what_it_discovers_is_a_device_of_the_configuration(self, link: Link) -> None:
        """Where its own server listens it finds something that the configuration takes, and where nobody does it finds
        nothing and raises nothing."""
        if "discover" not in self.driver.can or not isinstance(link, TcpLink):
            pytest.skip("this driver does not discover, or not over TCP")
        device_type, tag_type = option_types(self.driver)
        async with self._nothing_left(link):
            found = await self._in_time(_discovered(self.driver, link.port))
            assert found, "discover() finds nothing where the server of this test listens"
        for each in found:
            device_type.model_validate({"name": "found", "driver": "found", **each.options})
            for options in each.tags.values():
                tag_type.model_validate(dict(options))
        await link.cut()
        assert not await self._in_time(_discovered(self.driver, link.port))

    # How the suite works

    @contextlib.asynccontextmanager
    async def _line(self, link: Link, device: Device | None = None) -> AsyncIterator[Driver[Any, Any]]:
        """A line as the gateway keeps it: connect, and close once whatever happens."""
        line = self.driver([device or self.device(link.port)])
        try:
            await self._prepared(line)
            await self._in_time(line.connect())
            try:
                yield line
            finally:
                await self._in_time(line.close())
        except BaseException as error:
            if isinstance(link, TcpLink) and not link.dialled:
                error.add_note("nobody has dialled the link: for a device by UDP override `link` with UdpLink")
            raise
        finally:
            line.release()

    async def _prepared(self, line: Driver[Any, Any]) -> None:
        """Of a driver in a process of its own, the process has started."""
        if isinstance(line, Isolated):
            await self._in_time(line.prepare())

    async def _values(self, line: Driver[Any, Any], tags: Tags) -> dict[str, Value]:
        """A value for each tag, None for a bad one."""
        if _streams(line):
            found: dict[str, Value] = {}
            await self._in_time(
                _first_of_each(line, tags, found),
                lambda: (
                    f"stream() yielded no reading of {', '.join(tag.name for tag in tags if tag.name not in found)}; "
                    "each begin of it gives all values anew, also on the same connection"
                ),
            )
            return found
        values = await self._in_time(line.read(tags))
        return _by_name(tags, as_readings(line.devices[0], tags, values, t_ns=1))

    async def _dial_and_read(self, line: Driver[Any, Any]) -> None:
        try:
            await line.connect()
            try:
                await self._read_on(line)
            finally:
                await self._in_time(line.close())
        finally:
            line.release()

    async def _read_on(self, line: Driver[Any, Any], timeout: float | None = None) -> None:
        """Read until something ends it; by `timeout`, as by the gateway's, what is asked for and does not come."""
        if _streams(line):
            async for _ in line.stream():
                pass
        while not _streams(line):
            async with asyncio.timeout(timeout):
                await line.read(line.devices[0].tags)
            await asyncio.sleep(0.01)


def _as_read(field: FieldInfo) -> object:
    """The default as it would be if the configuration had it; itself where it could not stand there, as "" for none."""
    if isinstance(field.default, str):
        type_: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        with contextlib.suppress(ValidationError):
            return TypeAdapter(type_).validate_python(field.default)
    return field.default


async def _discovered(driver: type[Driver[Any, Any]], port: int) -> list[Discovered]:
    async def turn() -> None:
        """Go on at once."""

    finding = cast(type[Finding], driver)
    return [
        each async for each in finding.discover(Search(turn, host="127.0.0.1", ports=(port,), units=(1,), timeout=5))
    ]


def _streams(line: Driver[Any, Any]) -> bool:
    return subscribes(type(line), line.config)


def _orders(line: Driver[Any, Any], names: Mapping[str, Value]) -> list[Tags]:
    """The device's tags, and the good ones in reverse, as of a scan of its own."""
    device = line.devices[0]
    if _streams(line):
        return [device.tags]
    backwards = [tag for tag in reversed(device.tags) if tag.name in names]
    return [device.tags, Tags(device.name, backwards)]


async def _first_of_each(line: Driver[Any, Any], tags: Tags, found: dict[str, Value]) -> None:
    async with contextlib.aclosing(line.stream()) as stream:  # type: ignore[type-var]
        async for readings in stream:
            found |= _by_name(tags, readings)
            if len(found) == len(tags):
                return
    raise AssertionError("stream() ended without raising")


def _by_name(tags: Tags, readings: Readings) -> dict[str, Value]:
    assert readings.t_ns.dtype == np.int64
    assert readings.tag.dtype == np.uint32
    assert readings.quality.dtype == np.uint32
    names = {tag.id: tag.name for tag in tags}
    bad = is_bad(readings.quality)
    return {
        names[int(tag)]: None if bad[row] else readings.exact.get(row, float(readings.value[row]))
        for row, tag in enumerate(readings.tag)
    }


def _fits(value: Value, type_: str) -> bool:
    """Whether a tag of this type can have the value; None is none, and any type of "" is not known."""
    if value is None or not type_:
        return True
    if type_ == "string":
        return isinstance(value, str)
    if type_ == "bytes":
        return isinstance(value, bytes)
    if not isinstance(value, int | float):
        return False
    if type_ == "bool":
        return value in (0, 1)
    if type_ in ("float32", "float64"):
        return isinstance(value, float)
    bounds = np.iinfo(type_)
    return value == int(value) and int(bounds.min) <= value <= int(bounds.max)


def _about(values: Mapping[str, Value]) -> dict[str, object]:
    """The values, floats as nearly as a float32 can hold them."""
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in values.items()}


def _tag(device: Device, name: str) -> Tag:
    return next(tag for tag in device.tags if tag.name == name)
