"""The driver: one device, over a UDP port that it shares with others."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np

from gateway.plugin import (
    Device,
    Discovered,
    Driver,
    Exact,
    Found,
    LinkError,
    Readings,
    RefusedError,
    Search,
    Tag,
    Tags,
)

from .address import shown
from .config import BacnetDevice, BacnetTag, subscribed
from .finding import find
from .frames import MOST, Station, shown_mac
from .local_port import leave_port, open_port
from .meaning import Meaning
from .peer import Asking, Peer, meet
from .peer import Found as Answer
from .scan import Scan
from .services import Place
from .subscriptions import Subscriptions
from .texts import browse, describe, state_texts
from .writing import write

WITHIN = 0.9
"""Of the time-out: what a scan has got until then is delivered."""
TOGETHER = 0.05
"""Seconds within which changes that the device tells are one block."""
TOLD = 10
"""Tags of which `status` says what is wrong with them."""

_scans: WeakKeyDictionary[Tags, Scan] = WeakKeyDictionary()
"""What was learned of devices outlives a connection."""


class Bacnet(Driver[BacnetDevice, BacnetTag]):
    _peer: Peer | None = None
    _subscriptions: Subscriptions | None = None

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        config: BacnetDevice = device.config
        where = f"at {config.host}" if config.host else "looked for by Who-Is"
        which = "whichever answers" if config.device is None else f"device {config.device}"
        behind = f", network {config.network}, mac {shown_mac(config.mac_octets)}" if config.mac is not None else ""
        periods: dict[float, list[Tag]] = {}
        for tag in device.tags:
            periods.setdefault(tag.config.scan or config.scan, []).append(tag)
        return [f"{which}, {where}{behind}", *(_planned(config, period, tags) for period, tags in periods.items())]

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        return find(search)

    async def identify(self, device: Device) -> str:
        return ", ".join(self.peer.about)

    @property
    def peer(self) -> Peer:
        """The device. Raises LinkError before it was met."""
        if self._peer is None:
            raise LinkError("not connected")
        return self._peer

    @property
    def counts(self) -> Mapping[str, int]:
        return self._peer.port.counts if self._peer is not None else {}

    @property
    def facts(self) -> Mapping[str, str | float]:
        if self._peer is None:
            return {}
        peer = self._peer
        return {
            "device": float(peer.instance),
            "address": str(peer.station),
            "name": ", ".join(peer.about),
            "octets": float(peer.most),
            "read_by": "ReadPropertyMultiple" if peer.multiple else "ReadProperty",
        }

    @property
    def remarks(self) -> Sequence[str]:
        said = [f"{name}: {reason}" for name, reason in list(self._wrong.items())[:TOLD]]
        if len(self._wrong) > TOLD:
            said.append(f"{len(self._wrong) - TOLD} more tags have a reason not to be good")
        if self._peer is not None and not self._peer.multiple:
            said.append("the device does not have ReadPropertyMultiple: each value costs a request")
        return said + (self._subscriptions.remarks if self._subscriptions is not None else [])

    async def connect(self) -> None:
        config = self.config
        self._wrong: dict[str, str] = {}
        """Tags that are not good, and why."""
        self._reading: WeakKeyDictionary[Tags, Scan] = WeakKeyDictionary()
        """What is read over this connection."""
        self._told: dict[Tag, Meaning] = {}
        """What the device has told of changes, and is not handed up yet."""
        self._bringing: asyncio.TimerHandle | None = None
        self._texts: dict[int, list[str]] = {}
        """Texts of objects' states."""
        patience = config.request_timeout or min(1.5, WITHIN * config.timeout / (config.retries + 1))
        asking = Asking(patience, config.retries, config.max_values)
        self._bbmd = None
        if config.bbmd is not None:
            self._bbmd = Station(await _resolved(config.bbmd.host), config.bbmd.port)
        address = await _resolved(config.host) if config.host else ""
        local = await _resolved(config.local_host) if config.local_host else ""
        self._port = await open_port(local, config.local_port, config.broadcast)
        try:
            await self._register(patience)
            self._peer = await meet(self._port, config, address, asking, self._bbmd)
            self._subscribe(self._peer)
        except BaseException:
            leave_port(self._port)
            raise

    def _subscribe(self, peer: Peer) -> None:
        tags = self.devices[0].tags
        objects = dict.fromkeys(tag.config.at.object for tag in tags if subscribed(self.config, tag.config))
        if objects:
            self._subscriptions = Subscriptions(peer, self.config, objects, self._changed, self.log)

    def _changed(self, object_: int, found: Mapping[Place, Answer]) -> None:
        """The device tells a change; those that come close together go up in one block."""
        said = {
            tags[row]: what
            for tags, scan in self._reading.items()
            for row, what in scan.meanings(object_, found, self._texts).items()
            if subscribed(self.config, tags[row].config)
        }
        if self._told.keys() & said.keys():  # a value that comes and goes is not lost
            self._bring()
        self._told |= said
        if self._told and self._bringing is None:
            self._bringing = asyncio.get_running_loop().call_later(TOGETHER, self._bring)

    def _bring(self) -> None:
        if self._bringing is not None:
            self._bringing.cancel()
            self._bringing = None
        told, self._told = self._told, {}
        if told:
            tags, meanings = Tags(self.devices[0].name, [*told]), [*told.values()]
            self._tell(tags, meanings)
            self.host.bring(_readings(self.devices[0], tags, meanings))

    async def _register(self, patience: float) -> None:
        if self._bbmd is not None and self.config.bbmd is not None:
            await self._port.register(self._bbmd, int(self.config.bbmd.ttl), patience)

    async def describe(self) -> Mapping[Tag, Found]:
        until = asyncio.get_running_loop().time() + max(5.0, WITHIN * self.config.timeout)
        return await describe(self.peer, self.devices[0].tags, until)

    async def read(self, tags: Tags) -> Readings:
        peer, until = self.peer, asyncio.get_running_loop().time() + WITHIN * self.config.timeout
        await self._register(peer.asking.patience)
        scan = _scans.get(tags)
        if scan is None or scan.instance != peer.instance:
            scan = _scans[tags] = Scan(tags, peer.instance, self.config)
        self._reading[tags] = scan
        for object_ in scan.worded - self._texts.keys():
            self._texts[object_] = await state_texts(peer, object_)
        if self._subscriptions is not None:
            await self._subscriptions.keep()
        meanings = await scan.read(peer, self._texts, self._subscriptions, until)
        self._bring()  # what was told before is older than what was read
        self._tell(tags, meanings)
        return _readings(self.devices[0], tags, meanings)

    def _tell(self, tags: Tags, meanings: Sequence[Meaning]) -> None:
        """Say once what begins and what ends to be wrong."""
        for tag, what in zip(tags, meanings, strict=True):
            before = self._wrong.get(tag.name, "")
            if what.reason == before:
                continue
            place = shown(tag.config.at)
            if what.reason:
                self._wrong[tag.name] = what.reason
                self.log.warning("a value is not good", tag=tag.name, address=place, reason=what.reason)
            else:
                del self._wrong[tag.name]
                self.log.info("a value is good again", tag=tag.name, address=place)

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        async for offer in browse(self.peer):
            yield offer

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        await write(self.peer, self.config, tag, value, self._texts)

    async def close(self) -> None:
        if self._subscriptions is not None:
            self._subscriptions.close()
        self._bring()
        if self._peer is not None:
            self._peer = None
            leave_port(self._port)


def _planned(config: BacnetDevice, period: float, tags: Sequence[Tag]) -> str:
    scan = Scan(tags, config.device or 0, config)
    requests, told = scan.requests(MOST), sum(subscribed(config, tag.config) for tag in tags)
    hint = f"; changes of {count(told, 'tag')} are told meanwhile" if told else ""
    read = f"{count(len(tags), 'tag')} by {scan.properties} properties in {count(requests, 'request')}"
    return f"every {period:g} s: {read}, more where the device takes or gives less than {MOST} octets{hint}"


def count(number: int, what: str) -> str:
    """With its plural."""
    return f"{number} {what}" + ("" if number == 1 else "s")


async def _resolved(host: str) -> str:
    """An IPv4 address. Raises LinkError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    except OSError as error:
        if ":" in host:
            raise RefusedError(f"{host}: BACnet/IP needs an IPv4 address") from error
        raise LinkError(f"cannot find {host}: {error.strerror or error}") from error
    except UnicodeError as error:
        raise LinkError(f"cannot find {host}: it is no name") from error
    return str(found[0][4][0])


def _readings(device: Device, tags: Tags, meanings: Sequence[Meaning]) -> Readings:
    column = np.full(len(meanings), np.nan)
    exact: dict[int, Exact] = {}
    for row, what in enumerate(meanings):
        value = what.value
        if (isinstance(value, float | int) and abs(value) <= 1 << 53) or isinstance(value, float):
            column[row] = value
        elif value is not None:
            exact[row] = value
    codes = np.array([what.quality for what in meanings], np.uint32)
    times = np.full(len(meanings), time.time_ns())
    return Readings(device, times, tags.ids, column, codes, exact, own_time=True)
