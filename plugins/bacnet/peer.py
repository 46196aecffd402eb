"""One device: where it is, what it can, and what it answers."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.plugin import DeviceError, LinkError, cleaned

from . import frames, services
from .address import DEVICE, PRESENT_VALUE, STATUS_FLAGS, shown
from .config import BacnetDevice
from .encoding import Datum, Kind, MalformedError
from .frames import Bvlc, Confirmed, Station
from .local_port import LocalPort
from .refusals import UNKNOWN_OBJECT, AnswerError
from .services import ANY_DEVICE, IAm, Place, Refusal

OBJECT_IDENTIFIER, OBJECT_NAME, OBJECT_LIST = 75, 77, 76
MAX_APDU, MODEL, VENDOR, SYSTEM_STATUS, RESTARTED = 62, 70, 121, 112, 203
_SIZES = {STATUS_FLAGS: 10, PRESENT_VALUE: 14, SYSTEM_STATUS: 9, OBJECT_IDENTIFIER: 12, 117: 10, RESTARTED: 20, 103: 9}
"""Octets that a property takes in an answer, with its tags."""
_OF_A_TEXT = 60
_OF_AN_OBJECT = 7
_HEARD = 50
"""I-Ams of one device that wait to be looked at, at most."""

Found = list[Datum] | Refusal
UNREAD = Refusal(-1, -1)
"""What was not asked for in time."""
ODD = Refusal(-1, -2)
"""What was answered so that it cannot be understood."""
TOO_LARGE = Refusal(-1, -3)
"""What the device cannot answer without segments."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a device is asked."""

    patience: float
    """Seconds for each try."""
    retries: int
    most_values: int
    """In one request."""


class Peer:
    """A device that has answered. Made by `meet`."""

    def __init__(self, port: LocalPort, station: Station, instance: int, asking: Asking) -> None:
        self.port = port
        self.station = station
        self.instance = instance
        self.asking = asking
        self.most = 480
        """Octets of an APDU that it takes, and gives where it makes no segments."""
        self.multiple = True
        """Whether it is asked for many properties at once."""
        self.about: list[str] = []

    @property
    def object(self) -> int:
        """Its device object."""
        return DEVICE << 22 | self.instance

    def __str__(self) -> str:
        return f"device {self.instance} at {self.station}"

    async def ask(self, service: int, body: bytes, *, retries: int | None = None) -> bytes:
        """Raises TimeoutError with what to look at, DeviceError where it refuses."""
        asking = self.asking
        tries = asking.retries if retries is None else retries
        try:
            return await self.port.request(self.station, service, body, patience=asking.patience, retries=tries)
        except TimeoutError:
            port, why = self.port, ""
            if port.not_bacnet == self.station[:2]:
                why = "; what comes from there is no BACnet: is the port right?"
            elif port.trouble:
                why = f" ({port.trouble})"
            port.trouble, port.not_bacnet = "", None
            raise TimeoutError(f"{self.station}: no answer within {asking.patience * (tries + 1):g} s{why}") from None

    async def read(self, place: Place) -> list[Datum]:
        """One property. Raises DeviceError, TimeoutError."""
        body = await self.ask(Confirmed.READ_PROPERTY, services.read_property(place))
        try:
            said, found = services.read_property_answer(body)
        except MalformedError as error:
            raise DeviceError(f"{shown(place)}: the answer cannot be understood: {error}") from error
        if said != place and not (place.object == DEVICE << 22 | ANY_DEVICE and said.property == place.property):
            raise DeviceError(f"{shown(place)}: the device answers for {shown(said)}")
        return found

    async def read_text(self, property_: int) -> str:
        """A text of the device object; empty where it has none."""
        try:
            found = await self.read(Place(self.object, property_))
        except DeviceError:
            return ""
        return cleaned(found[0][1], 80) if found and found[0][0] == Kind.TEXT else ""

    async def check_identity(self) -> None:
        """Raises LinkError where another device has its address."""
        try:
            await self.read(Place(self.object, OBJECT_IDENTIFIER))
        except AnswerError as error:
            if error.refusal is None or error.refusal.code != UNKNOWN_OBJECT:
                raise
            raise await self.another() from error

    async def another(self) -> LinkError:
        """The error that says so."""
        instance = await self.asked_who()
        who = "" if instance is None else f", but {instance}"
        return LinkError(
            f"the device at {self.station} is not {self.instance}{who}: compare `device` with the instance that is set in"
            " the device; two devices may have changed addresses"
        )

    async def asked_who(self) -> int | None:
        """The instance that it tells; None where it tells none."""
        try:
            found = await self.read(Place(DEVICE << 22 | ANY_DEVICE, OBJECT_IDENTIFIER))
            if found and found[0][0] == Kind.OBJECT:
                return int(found[0][1] & ANY_DEVICE)
        except (DeviceError, TimeoutError):
            pass  # not all know the instance that stands for whichever is asked
        heard: asyncio.Queue[int] = asyncio.Queue(_HEARD)

        def hear(station: Station, said: IAm) -> None:
            if station == self.station and not heard.full():
                heard.put_nowait(said.instance)

        self.port.present.add(hear)
        try:
            self.port.send(frames.unicast(self.station, services.who_is(), reply=False), self.station)
            async with asyncio.timeout(self.asking.patience):
                return await heard.get()
        except TimeoutError:
            return None
        finally:
            self.port.present.discard(hear)

    async def learn(self) -> None:
        """What it can, and what it calls itself."""
        try:
            found = await self.read(Place(self.object, MAX_APDU))
            if found and found[0][0] == Kind.UNSIGNED:
                self.most = max(50, min(found[0][1], frames.MOST))
        except DeviceError:
            pass
        names = [await self.read_text(property_) for property_ in (VENDOR, MODEL, OBJECT_NAME)]
        self.about = [name for name in names if name]


class Batch:
    """Properties that are read again and again, in as few requests as the device bears."""

    def __init__(self, places: Iterable[Place], most_values: int) -> None:
        self.places = list(dict.fromkeys(places))
        self._most_values = most_values
        self._octets = 0
        """For which the requests were made."""
        self._parts: list[list[Place]] = []
        self._first = 0
        """Where the next scan begins, after one that came to no end."""

    def requests(self, octets: int) -> list[list[Place]]:
        """What is asked for together, of a device that takes and gives so many octets."""
        if octets != self._octets:
            self._octets, self._first = octets, 0
            self._parts = list(_packed(self.places, octets - 16, self._most_values))
        return self._parts

    def leave_out(self, place: Place) -> None:
        """It is read no more."""
        self.places.remove(place)
        self._parts = [left for part in self._parts if (left := [each for each in part if each != place])]

    async def read(self, peer: Peer, until: float) -> dict[Place, Found]:
        """By the loop's time `until`; what was not asked for by then is UNREAD, and comes first the next time. Raises
        TimeoutError where there is no answer."""
        found: dict[Place, Found] = dict.fromkeys(self.places, UNREAD)
        if peer.multiple:
            await self._by_requests(peer, until, found)
        if not peer.multiple:
            await self._one_by_one(peer, until, found)
        return found

    async def _by_requests(self, peer: Peer, until: float, found: dict[Place, Found]) -> None:
        parts, clock = self.requests(peer.most), asyncio.get_running_loop().time
        at = self._first if self._first < len(parts) else 0
        left = len(parts)
        while left:
            part = parts[at]
            try:
                body = await peer.ask(Confirmed.READ_PROPERTY_MULTIPLE, services.read_multiple(part))
                found |= _matched(part, body)
            except (AnswerError, MalformedError) as error:
                if isinstance(error, AnswerError) and error.no_service:
                    peer.multiple = False
                    return
                if isinstance(error, MalformedError):
                    peer.port.counts["damaged_answers"] += 1
                if len(part) > 1:
                    parts[at : at + 1] = part[: len(part) // 2], part[len(part) // 2 :]
                    left += 1
                    continue
                found[part[0]] = _refusal(error)
            at, left = (at + 1) % len(parts), left - 1
            if left and clock() > until:
                self._first = at
                return
        self._first = 0

    async def _one_by_one(self, peer: Peer, until: float, found: dict[Place, Found]) -> None:
        """Of a device that does not have ReadPropertyMultiple."""
        clock, places = asyncio.get_running_loop().time, self.places
        first = self._first if self._first < len(places) else 0
        for number, place in enumerate(places[first:] + places[:first], first + 1):
            try:
                found[place] = await peer.read(place)
            except DeviceError as error:
                found[place] = _refusal(error)
            if clock() > until:
                self._first = number % len(places)
                return
        self._first = 0


def _refusal(error: Exception) -> Refusal:
    if not isinstance(error, AnswerError):
        return ODD
    return TOO_LARGE if error.too_large else error.refusal or Refusal(-2 - error.kind, error.reason)


def _packed(places: Sequence[Place], size: int, most_values: int) -> Iterator[list[Place]]:
    """So that neither request nor answer is larger, as far as that is known."""
    part: list[Place] = []
    asked = answered = 0
    for place in places:
        again = bool(part) and part[-1].object == place.object
        ask = (0 if again else _OF_AN_OBJECT) + (4 if place.property < 256 else 6) + (6 if place.item >= 0 else 0)
        answer = (0 if again else _OF_AN_OBJECT) + _SIZES.get(place.property, _OF_A_TEXT)
        if part and (asked + ask > size or answered + answer > size or len(part) >= most_values):
            yield part
            part, asked, answered = [], 0, 0
            ask += _OF_AN_OBJECT if again else 0
            answer += _OF_AN_OBJECT if again else 0
        part.append(place)
        asked += ask
        answered += answer
    if part:
        yield part


def _matched(part: Sequence[Place], body: bytes) -> Mapping[Place, Found]:
    """The answers to these. Raises MalformedError where they are to others."""
    answers = services.read_multiple_answer(body)
    found = dict(answers)
    if len(answers) != len(part) or found.keys() != set(part):
        raise MalformedError("it answers for other properties")
    return found


async def meet(port: LocalPort, config: BacnetDevice, address: str, asking: Asking, bbmd: Station | None) -> Peer:
    """Find the device and ask what it can. `address`: the IP address of `host`; empty to look for it. Raises TimeoutError,
    LinkError or DeviceError in words."""
    station, instance = Station(address, config.port, config.network or 0, config.mac_octets), config.device
    if not address:
        assert instance is not None
        station = await find(port, config, instance, asking.patience * (asking.retries + 1), bbmd)
    peer = Peer(port, station, ANY_DEVICE if instance is None else instance, asking)
    if instance is None:
        told = await peer.asked_who()
        if told is None:
            raise LinkError(
                f"{station}: nothing answers, or the device does not tell its instance: is BACnet/IP on there, is the port"
                " right, and is `device`, its instance, to be named?"
            )
        peer.instance = told
    else:
        try:
            await peer.check_identity()
        except TimeoutError as error:
            look_at = (
                "" if ";" in str(error) else f"; is it on, with BACnet/IP, and does UDP {config.port} get through?"
            )
            raise TimeoutError(f"{error}{look_at}") from None
    await peer.learn()
    return peer


async def find(port: LocalPort, config: BacnetDevice, instance: int, patience: float, bbmd: Station | None) -> Station:
    """Where the device of this instance is, by Who-Is. Raises TimeoutError, or LinkError where two devices have it."""
    heard: asyncio.Queue[Station] = asyncio.Queue(_HEARD)

    def hear(station: Station, said: IAm) -> None:
        if said.instance == instance and not heard.full():
            heard.put_nowait(station)

    port.present.add(hear)
    try:
        for _ in range(2):  # a broadcast may be lost
            ask_who(port, config, services.who_is(instance, instance), bbmd)
            station = await _within(patience / 2, heard)
            if station is not None:
                break
        other = station
        while station is not None and other == station:
            other = await _within(min(0.3, patience / 4), heard)
    finally:
        port.present.discard(hear)
    if station is not None and other is not None:
        raise LinkError(
            f"two devices have the instance {instance}: {station} and {other}; give one of them another, or name the `host`"
            " that is meant"
        )
    if station is not None:
        return station
    raise TimeoutError(
        f"no device {instance} answers Who-Is: is it on this network? Behind a router or in another subnet name its `host`,"
        " or a `bbmd`; answers come to UDP port 47808 alone"
    )


async def _within(seconds: float, heard: "asyncio.Queue[Station]") -> Station | None:
    try:
        async with asyncio.timeout(seconds):
            return await heard.get()
    except TimeoutError:
        return None


def ask_who(port: LocalPort, config: BacnetDevice, who: bytes, bbmd: Station | None) -> None:
    """Broadcast, in the local network or by the distributor of another one."""
    network = 0xFFFF if config.network is None else config.network
    if bbmd is not None:
        port.send(frames.broadcast(who, network=network, function=Bvlc.DISTRIBUTE), bbmd)
    else:
        port.send_to(frames.broadcast(who, network=network), config.broadcast, config.port)
