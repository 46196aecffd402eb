"""The driver: what the gateway calls, handed on to session, feed and nodes. The protocol library, which costs a second to
import, is imported at the first connect, in a thread: other devices are polled meanwhile."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from gateway.plugin import Device, Discovered, Driver, Found, LinkError, Readings, Retained, Search, Tag, Tags, resolve

from .address import parse_place
from .config import NodeConfig, OpcUaConfig
from .finding import find
from .remarks import Remarks
from .session.profile import profile_of

if TYPE_CHECKING:
    from .session.certificate import ApplicationIdentity
    from .session.session import OpcUaSession
    from .subscribe.events import EventFeed
    from .subscribe.subscription import Left

Look = Callable[["OpcUaSession", Callable[[str], None]], AsyncGenerator[tuple[str, Found], None]]

_left: "WeakKeyDictionary[Device, Left]" = WeakKeyDictionary()
"""Device whose connection was lost → what the server still has of it."""

PKI = Path("pki/opcua")
"""Certificates, within the gateway's folder."""
PROFILES = Path("opcua")
"""What was learned of servers, likewise."""
EXPIRES_SOON = 30
"""Days before its end when a certificate is worth a warning at each connect."""


class OpcUa(Driver[OpcUaConfig, NodeConfig]):
    """One session with an OPC UA server, whose subscriptions report changed values."""

    schemes = frozenset({"opc.tcp"})
    _session: "OpcUaSession | None" = None
    _steps: Mapping[str, int] = {}
    """What was done about silence, by kind; of the feed, which goes on counting."""
    _left: "Left | None" = None
    """What to leave to the next connection."""

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        config: OpcUaConfig = device.config
        scans: dict[float, list[NodeConfig]] = {}
        for tag in device.tags:
            scans.setdefault(tag.config.scan or config.scan, []).append(tag.config)
        say = _poll_plan if config.acquisition == "poll" else _subscription_plan
        return [*(say(config, scan, tags) for scan, tags in sorted(scans.items())), *_beside_values(config)]

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        return find(search)

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        if devices[0].config.security != "none":
            return []
        return ['security = "none": everything crosses the network readable, and anybody there can change it']

    @property
    def facts(self) -> Mapping[str, str | float]:
        return self._session.protection.facts | self._session.profile.facts if self._session is not None else {}

    @property
    def counts(self) -> Mapping[str, int]:
        surplus = self._session.surplus if self._session is not None else 0
        return {**self._steps, **({"surplus_answers": surplus} if surplus else {})}

    @property
    def remarks(self) -> Sequence[str]:
        return self._session.remarks if self._session is not None else []

    async def connect(self) -> None:
        session_type, find_ways, paths_of = await self.in_thread(_of_the_library)
        await self.in_thread(profile_of, self.config.url, self.host.state_dir / PROFILES)
        session = session_type(self.config, await self._identity(), self.host.state_dir / PKI, self.host.memory)
        left = self._worth_a_try()
        password = resolve(self.config.password) if self.config.password else ""
        try:
            await session.open(password, left.ticket if left else None)
        except BaseException:
            if left is not None and session.continuing:
                _left[self.devices[0]] = replace(left, tries=left.tries + 1)
            raise
        self._session = session
        await find_ways(session, paths_of(self.config, [tag.config.address for tag in self.devices[0].tags]))
        self._warn_of_expiry(session.protection.days_left())
        self._left = replace(left, ticket=session.ticket) if left and session.continued else left

    def _worth_a_try(self) -> "Left | None":
        """What the last connection left, unless taking it over has failed too often."""
        from .subscribe.subscription import MOST_TRIES

        left = _left.get(self.devices[0])
        if left is None or left.tries < MOST_TRIES:
            return left
        self.log.warning("what the last connection left on the server cannot be taken over: starting anew")
        del _left[self.devices[0]]
        return None

    def _warn_of_expiry(self, days_left: Mapping[str, int]) -> None:
        from .session.protection import ends_in

        for whose, days in days_left.items():
            if days < EXPIRES_SOON:
                self.log.warning(f"the {whose}'s certificate {ends_in(days)}: renew it")

    async def _identity(self) -> "ApplicationIdentity | None":
        from .session.certificate import own_identity, read_identity

        if self.config.security == "none":
            return None
        if self.config.certificate and self.config.private_key:
            return await self.in_thread(read_identity, self.config.certificate, self.config.private_key)
        return await self.in_thread(own_identity, self.host.state_dir / PKI / "own")

    async def describe(self) -> Mapping[Tag, Found]:
        from .requests.nodes import describe_tags

        session = self._open()
        found = await describe_tags(session, self.devices[0].tags)
        session.described = {tag.name: what for tag, what in found.items()}
        await self._keep_profile(session)
        return found

    async def stream(self) -> AsyncIterator[Readings]:
        blocks = self._poll() if self.config.acquisition == "poll" else self._subscribe()
        async with aclosing(blocks):
            async for readings in blocks:
                yield readings

    async def _poll(self) -> AsyncGenerator[Readings, None]:
        from .requests.polling import poll
        from .subscribe.subscription import Left

        session, device = self._open(), self.devices[0]
        try:
            async with aclosing(poll(session, device, Remarks(device, self.log))) as blocks:
                async for readings in blocks:
                    yield readings
        except LinkError:
            self._left = Left(session.ticket, session.namespaces, [], {}, {}, np.zeros(len(device.tags), np.int64))
            raise

    async def _subscribe(self) -> AsyncGenerator[Readings, None]:
        from .subscribe.feed import Feed

        feed = Feed(self._open(), self.devices[0], self.host.alive, self.log, self._events())
        self._steps = feed.steps
        try:
            await feed.start(self._left)
            self._left = None
            while True:
                readings = await feed.next()
                if readings is not None:
                    yield readings
        except LinkError:
            self._left = None if feed.distrusted else feed.left(self._left)
            raise
        finally:
            if self._left is None:
                await feed.stop()

    def _events(self) -> "EventFeed | None":
        """None for a device that tells none: what it raised when it did, is over."""
        from .subscribe.events import EventFeed

        if self.config.events:
            return EventFeed(self._open(), self.config, self.host.tell, self.log)
        self.host.tell(Retained(self.config.name, frozenset()))
        return None

    async def read(self, tags: Tags) -> Readings:
        from .requests.reading import ReadPlan

        return await ReadPlan(self._open(), self.devices[0], tags).read()

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        from .requests.writing import write_tag

        await write_tag(self._open(), tag, value)

    async def acknowledge(self, device: Device, condition: str, event: str, comment: str) -> None:
        from .requests.methods import acknowledge

        await acknowledge(self._open(), condition, event, comment)

    @classmethod
    def methods(cls, config: OpcUaConfig) -> Mapping[str, Sequence[str]]:
        return {name: each.allow for name, each in config.methods.items()}

    async def call(
        self, device: Device, target: str, method: str, arguments: Sequence[Any]
    ) -> Sequence[tuple[str, Any]]:
        from .requests.methods import call_method

        return await call_method(self._open(), parse_place(self.config.methods[target].object), method, arguments)

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        from .requests.nodes import browse_variables

        async with aclosing(self._offers(browse_variables)) as offers:
            async for offer in offers:
                yield offer

    async def browse_types(self) -> AsyncIterator[tuple[str, Found]]:
        from .companions.recognise import recognised

        async with aclosing(self._offers(recognised)) as offers:
            async for offer in offers:
                yield offer

    async def history(self, tag: Tag, from_ns: int, to_ns: int) -> AsyncGenerator[Readings, None]:
        from .requests.recorded import recorded_readings

        async with aclosing(recorded_readings(self._open(), self.devices[0], tag, from_ns, to_ns)) as blocks:
            async for block in blocks:
                yield block

    async def _offers(self, look: Look) -> AsyncGenerator[tuple[str, Found], None]:
        """What this finds, and at the end what is missing."""
        missing: list[str] = []
        async with aclosing(look(self._open(), missing.append)) as found:
            async for each in found:
                yield each
        if missing:
            self.log.error("this is not all that the server has", missing="; ".join(missing))
            yield "", Found("", description="; ".join(missing))

    async def close(self) -> None:
        device = self.devices[0]
        if self._left is None:
            _left.pop(device, None)
        else:
            _left[device] = self._left
        if self._session is not None:
            await self._session.close(goodbye=self._left is None)
            await self._keep_profile(self._session)

    async def _keep_profile(self, session: "OpcUaSession") -> None:
        await self.in_thread(session.profile.keep, self.config.url, self.host.state_dir / PROFILES)

    def _open(self) -> "OpcUaSession":
        if self._session is None:
            raise LinkError("not connected")
        return self._session


def _beside_values(config: OpcUaConfig) -> Iterator[str]:
    if config.events:
        whose = ", ".join(config.notifiers) or "the whole server"
        yield f"events of {whose}, up to {config.event_queue} kept by the server"
    for name, methods in config.methods.items():
        yield f"methods of {name} that may be called: {', '.join(methods.allow)}"


def _poll_plan(config: OpcUaConfig, scan: float, tags: Sequence[NodeConfig]) -> str:
    return f"{len(tags)} tag{'' if len(tags) == 1 else 's'} read every {scan:g} s"


def _subscription_plan(config: OpcUaConfig, scan: float, tags: Sequence[NodeConfig]) -> str:
    looks = [sampling for tag in tags if (sampling := _either(tag.sampling, config.sampling)) is not None] or [scan]
    queues = [tag.queue_size or config.queue_size for tag in tags]
    bridged = min(
        (tag.queue_size or config.queue_size) * (_either(tag.sampling, config.sampling) or scan) for tag in tags
    )
    return (
        f"subscription of {len(tags)} tag{'' if len(tags) == 1 else 's'}: reported every {scan:g} s, "
        f"looked at every {_span(looks)} s, up to {_span(queues)} values of each kept by the server, "
        f"enough for an outage of {min(bridged, config.hold):g} s"
    )


def _either(own: float | None, shared: float | None) -> float | None:
    return shared if own is None else own


def _span(values: Sequence[float]) -> str:
    least, most = min(values), max(values)
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"


def _of_the_library() -> "tuple[type[OpcUaSession], Any, Any]":
    from .requests.ways import find_ways, paths_of
    from .session.session import OpcUaSession

    return OpcUaSession, find_ways, paths_of
