"""Changes of values that the device tells between two scans (SubscribeCOV): a hint, which each scan corrects."""

import asyncio
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.plugin import listed

from . import services
from .address import PRESENT_VALUE, shown_object
from .config import BacnetDevice
from .encoding import Datum, Kind
from .frames import Confirmed, Station
from .peer import Found, Peer
from .refusals import AnswerError
from .services import Notification, Place

REFUSED_FOR = 600.0
"""Seconds after which what was refused is asked for again."""
ANEW_AFTER = 30.0
"""Seconds between two suspicions that the device has forgotten us."""
_SLACK = 2.0
"""Seconds by which the device's counting of a subscription's time may differ from ours."""
_SHARE = 0.25
"""Of the time for a scan, what subscribing may take."""

Changed = Callable[[int, Mapping[Place, Found]], None]


@dataclass(slots=True)
class _Subscription:
    object: int
    due: float = 0.0
    """When it is to be made or renewed, by the loop's clock."""
    renewed: float = 0.0
    newest: float = 0.0
    """When the device sent the newest notification, by our clock."""
    heard: float = 0.0
    """When it came."""
    values: dict[Place, list[Datum]] = field(default_factory=dict)
    refused: str = ""


class Subscriptions:
    """Of one device, over one connection."""

    def __init__(self, peer: Peer, options: BacnetDevice, objects: Iterable[int], changed: Changed, log: Any) -> None:
        self._peer = peer
        self._options = options
        self._changed = changed
        self._log = log
        self._clock = asyncio.get_running_loop().time
        self._of = {object_: _Subscription(object_) for object_ in objects}
        self._restarted: Found | None = None
        self._suspected = 0.0
        self._new: list[_Subscription] = []
        """Refused since it was last told."""
        # The same one after a restart of the gateway: then the device renews, and does not tell twice.
        self._process = zlib.crc32(options.name.encode()) % services.ANY_DEVICE + 1
        while self._process in peer.port.changed:
            self._process += 1
        peer.port.changed[self._process] = self._heard

    def close(self) -> None:
        """Nothing is heard any more. The device stops telling when the subscriptions' time is over."""
        self._peer.port.changed.pop(self._process, None)

    @property
    def remarks(self) -> list[str]:
        """What the device does not tell."""
        said = [
            (listed([shown_object(each.object) for each in those]) if len(those) < len(self._of) else "anything", why)
            for why, those in _by_reason(self._of.values()).items()
        ]
        return [
            f"the device does not tell changes of {which} ({why}); each scan reads all the same" for which, why in said
        ]

    async def keep(self) -> None:
        """Make or renew what is due, as far as a scan has time for it. Raises TimeoutError."""
        now = self._clock()
        until = now + _SHARE * self._options.timeout
        try:
            for each in self._of.values():
                if each.due <= now and self._clock() <= until:
                    await self._subscribe(each)
        finally:
            self._tell()

    async def _subscribe(self, each: _Subscription) -> None:
        options = self._options
        body = services.subscribe(
            self._process, each.object, confirmed=options.cov == "confirmed", lifetime=int(options.cov_lifetime)
        )
        each.renewed, each.newest = self._clock(), 0.0
        try:
            await self._peer.ask(Confirmed.SUBSCRIBE_COV, body)
        except AnswerError as error:
            for refused in self._of.values() if error.no_service else [each]:
                if not refused.refused:
                    self._new.append(refused)
                refused.refused, refused.due = str(error), self._clock() + REFUSED_FOR
            return
        if each.refused:
            self._log.info("the device tells changes again", object=shown_object(each.object))
        each.refused = ""
        each.due = self._clock() + options.cov_lifetime / 2

    def _tell(self) -> None:
        """Say once what the device refuses."""
        new, self._new = self._new, []
        for why, those in _by_reason(new).items():
            self._log.warning(
                "the device does not tell changes; each scan reads all the same",
                objects=listed([shown_object(each.object) for each in those]),
                reason=why,
            )

    def _heard(self, source: Station, said: Notification) -> bool:
        each = self._of.get(said.object)
        if each is None or source != self._peer.station or said.device != self._peer.instance:
            return False
        now = self._clock()
        if said.left:
            sent = each.renewed + self._options.cov_lifetime - said.left
            slack = _SLACK + self._peer.asking.patience * (self._peer.asking.retries + 1)
            if sent > now + slack or sent < each.newest - _SLACK:
                self._peer.port.counts["late_notifications"] += 1
                return True
            each.newest = max(each.newest, sent)
        each.heard = now
        each.values = {place: found for place, found in said.values if isinstance(found, list)}
        self._changed(said.object, each.values)
        return True

    def since(self, begun: float) -> dict[Place, Found]:
        """What was told since then: newer than what a scan that began then has read."""
        return {
            place: found for each in self._of.values() if each.heard >= begun for place, found in each.values.items()
        }

    def compare(self, found: Mapping[Place, Found], restarted: Place, begun: float) -> None:
        """With what a scan has read: has the device been restarted, or not told a change that it should have?"""
        now, before = self._clock(), self._restarted
        self._restarted = found.get(restarted)
        forgotten = isinstance(before, list) and isinstance(self._restarted, list) and before != self._restarted
        for each in self._of.values():
            place = Place(each.object, PRESENT_VALUE)
            told, read = each.values.get(place), found.get(place)
            if told is None or not isinstance(read, list) or each.heard >= begun or told == read:
                continue
            each.values[place] = read
            forgotten |= all(kind not in (Kind.REAL, Kind.DOUBLE) for kind, _ in read)  # which may change a little
        if forgotten and now - self._suspected > ANEW_AFTER:
            self._suspected = now
            self._peer.port.counts["subscribed_anew"] += 1
            for each in self._of.values():
                each.due = 0.0 if not each.refused else each.due


def _by_reason(those: Iterable[_Subscription]) -> dict[str, list[_Subscription]]:
    found: dict[str, list[_Subscription]] = {}
    for each in those:
        if each.refused:
            found.setdefault(each.refused, []).append(each)
    return found
