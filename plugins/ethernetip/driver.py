"""The driver: sessions and connections of EtherNet/IP, and what is learned of a controller's tags. Asking in turns, late
answers and idle connections are `gateway.kit.LineDriver`'s."""

import contextlib
import random
import struct
import time
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

from gateway.kit import LineDriver
from gateway.kit.line import NO_ANSWER, Answer, AskingPace, LineManners, RequestLine, open_line
from gateway.plugin import (
    Device,
    DeviceError,
    Discovered,
    Found,
    LinkError,
    Readings,
    RefusedError,
    Search,
    Tag,
    Tags,
    listed,
    quality,
)

from .address import TagAddress, parse_address
from .config import EthernetIpDevice, EthernetIpTag
from .finding import found_at
from .frames import (
    CONNECTED,
    LIST_IDENTITY,
    REFUSALS,
    REGISTER,
    CipRequest,
    Connection,
    EthernetIpFraming,
    Identity,
    Reply,
    each,
    identity,
    opened_reply,
    routed,
    service,
    several,
)
from .plan import Refusal, Room, ScanPlan, unanswered, worthwhile
from .questions import LOGIX_STRING, READ_FRAGMENT, READ_TAG, Learned, Question, declared, learned, packs, place_of
from .status_codes import meaning, of_device
from .tag_list import TagList, UnlistedError
from .types import STRUCTURE
from .writing import refusal, write_message

_UNCONNECTED_ROOM = 480
_OWN_HEADERS = 8
"""Bytes of a message of a connection that are not for CIP's."""

_LOOK_AGAIN = 5.0
"""Seconds after which a tag that the controller did not have is looked up again."""

_SMALL = ("2080-", "1761-", "1763-", "1764-", "1766-", "1747-", "1785-")
"""How catalogue numbers of controllers begin that have no chassis with a route into it."""

_IN_CHASSIS = (0x0C, 0x0E)
"""Kinds of devices: communication adapter, programmable controller."""

_WRONG_WAY = frozenset({0x0204, 0x0205, 0x0311, 0x0312, 0x0315})
_FIRST_ANSWER = 40
"""Bytes of the answer to a question for a tag of which nothing is known, about."""


class EthernetIp(LineDriver[EthernetIpDevice, EthernetIpTag]):
    """One line, shared by all devices with the same host, port and route."""

    line_options: ClassVar[Sequence[str]] = ("timeout", "max_in_flight", "message_size", "connected")

    @classmethod
    def line_key(cls, config: EthernetIpDevice) -> Hashable:
        return config.host, config.port, config.way()

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        tags = len(device.tags)
        return [f"{tags} {'tag' if tags == 1 else 'tags'}, in messages of up to {device.config.message_size} bytes"]

    async def open(self) -> RequestLine[CipRequest]:
        config = self.config
        framing = EthernetIpFraming()
        manners = LineManners(
            max_in_flight=config.max_in_flight,
            protocol="EtherNet/IP",
            if_silent="is the address right?",
        )
        line = RequestLine(f"{config.host}:{config.port}", framing, manners)
        look_at = f"is this the device's address, and is port {config.port} open on the way?"
        await open_line(line, config.host, config.port, look_at=look_at)
        self._framing, self._not_connected = framing, ""
        self._connection: Connection | None = None
        try:
            await self._hello(line, CipRequest(b"\1\0\0\0", REGISTER), "register a session")
            self._identity = _identity(await self._hello(line, CipRequest(b"", LIST_IDENTITY), "say what it is"))
            way = config.way()
            self._route = way if way is not None else default_route(self._identity)
            if config.connected:
                await self._take_connection(line)
        except BaseException:
            await line.close()
            raise
        size = self._connection.size - _OWN_HEADERS if self._connection else _UNCONNECTED_ROOM - len(self._route)
        self._room = Room(size, size)
        return line

    def opened(self) -> None:
        self._plans: WeakKeyDictionary[Tags, ScanPlan] = WeakKeyDictionary()
        self._known: dict[TagAddress, Learned | Refusal] = {}
        """By the address without its last index."""
        self._list = TagList(self._asked)

    async def _hello(self, line: RequestLine[CipRequest], request: CipRequest, what: str) -> bytes:
        (answer,) = await line.exchange([request], self.pace(self.config, 1))
        if isinstance(answer, bytes):
            return answer
        raise LinkError(f"{self.config.host}: the device does not {what} ({REFUSALS.words(answer)})")

    async def _take_connection(self, line: RequestLine[CipRequest]) -> None:
        """A connection with the largest messages that the device grants. Raises RefusedError for a wrong route; where it has
        none left, or knows none, messages go without."""
        scan = max(
            (tag.config.scan or device.config.scan for device in self.devices for tag in device.tags), default=1.0
        )
        wanted = self.config.message_size
        for size in (wanted, 500) if wanted > 511 else (wanted,):
            ids = random.getrandbits(32) or 1, random.getrandbits(16), random.getrandbits(32)
            connection = Connection(size, self._route, *ids, max(60.0, 8 * scan))
            reply = opened_reply(await self._hello(line, connection.opening(), "open a connection"))
            if reply.status == 0 and len(reply.data) >= 10:
                self._framing.their_id = int.from_bytes(reply.data[:4], "little")
                self._framing.own_id = connection.own_id
                self._connection = connection
                line.lower_in_flight(1)  # a connection of class 3 carries one request at a time
                return
            words, _ = meaning(reply.status, reply.more)
            if reply.status == 1 and reply.more in _WRONG_WAY:
                raise RefusedError(f"{self.config.host}: {words}")
            self._not_connected = words
            if reply.status == 1 and reply.more == 0x0113:
                return

    async def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(LinkError):
                await self._line.exchange([self._connection.closing()], AskingPace(0.3, 0.3), urgent=True)
        await super().close()

    @property
    def facts(self) -> Mapping[str, str | float]:
        found: dict[str, str | float] = {}
        if self._identity is not None:
            found = {"product": self._identity.name, "firmware": self._identity.revision}
        return found | {"message_size": self._room.answer}

    @property
    def remarks(self) -> Sequence[str]:
        said = list(super().remarks)
        if self._not_connected and self._connection is None:
            said.append(f"asked without a connection, in more and smaller messages: {self._not_connected}")
        for plan in self._plans.values():
            said += [f"{reason}: {listed(names)}" for reason, names in _by_reason(plan.told).items()]
        return said

    def words(self, config: EthernetIpDevice, code: int) -> str:
        return REFUSALS.words(code)

    def named(self, config: EthernetIpDevice) -> str:
        return config.name

    def _request(self, message: bytes) -> CipRequest:
        """The message as it goes on this line."""
        if self._connection is not None:
            return CipRequest(message, CONNECTED)
        return routed(message, self._route, self.config.timeout)

    # Learning what stands behind names

    async def describe(self) -> Mapping[Tag, Found]:
        return await self._redialling(self._describe)

    async def _describe(self) -> Mapping[Tag, Found]:
        found: dict[Tag, Found] = {}
        for device in self.devices:
            await self._look_up(device.tags)
            for tag in device.tags:
                at = parse_address(tag.config.address)
                if tag.config.value_type() or not isinstance(at, TagAddress):
                    continue
                what = self._known.get(at.whole)
                if not isinstance(what, Learned):
                    continue
                with contextlib.suppress(ValueError):
                    if published := place_of(at, what, declared(tag.config)).published:
                        found[tag] = Found(published)
        return found

    async def _look_up(self, tags: Iterable[Tag]) -> bool:
        """Look up what is not known yet. Returns whether anything was found out."""
        addresses = (parse_address(tag.config.address) for tag in tags)
        named = [at for at in addresses if isinstance(at, TagAddress)]
        wanted = dict.fromkeys([at.whole for at in named] + [base.whole for base in worthwhile(named)])
        missing = [at for at in wanted if not isinstance(self._known.get(at), Learned)]
        before = dict(self._known)
        questions = [
            Question(service(READ_TAG, at.path(), b"\1\0"), b"", _FIRST_ANSWER, path=at.path()) for at in missing
        ]
        names = dict(zip(map(id, questions), missing, strict=True))
        alone: list[Question] = []
        for pack in packs(questions, *self._room):
            for question, answer in await self._ask_each(pack):
                what = learned(opened_reply(answer)) if isinstance(answer, bytes) else None
                if what is not None:
                    self._known[names[id(question)]] = what
                else:
                    alone.append(question)
        for question in alone:
            ((_, answer),) = await self._ask_each([question])
            self._known[names[id(question)]] = self._told_of(answer)
        await self._look_structures_up(missing)
        return before != self._known

    def _told_of(self, answer: Answer) -> Learned | Refusal:
        """What a controller tells of a tag. Raises DeviceError where it refuses for reasons that are not the tag's."""
        if isinstance(answer, int):
            return unanswered(answer)
        reply = opened_reply(answer)
        why = Refusal(*meaning(reply.status, reply.more))
        if of_device(reply.status):
            raise DeviceError(f"{self.config.host}: {why.reason}")
        return learned(reply) or why

    async def _look_structures_up(self, addresses: Iterable[TagAddress]) -> None:
        """What they are made of, as far as the controller tells."""
        for at in addresses:
            what = self._known[at]
            if isinstance(what, Learned) and what.code == STRUCTURE and what.handle != LOGIX_STRING:
                with contextlib.suppress(UnlistedError):
                    template = await self._list.structure(at.steps)
                    if template is not None and template.handle == what.handle:
                        self._known[at] = what._replace(template=template)

    async def _asked(self, message: bytes) -> Reply:
        return opened_reply(await self.ask(self._request(message), self.config))

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        try:
            async for offer in self._list.offers():
                yield offer
        except UnlistedError:
            yield "@1/1/7", Found("string", description="SHORT_STRING, the product's name")
            yield (
                "",
                Found("", description="the device does not list its tags; data files and attributes are in its manual"),
            )

    @classmethod
    async def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        if search.host:
            async for found in found_at(search):
                yield found

    async def _ask_each(self, questions: Sequence[Question]) -> list[tuple[Question, Answer]]:
        """The answers to these, asked in one message; where that is refused, the refusal."""
        message = questions[0].message if len(questions) == 1 else several([one.message for one in questions])
        (answer,) = await self._line.exchange([self._request(message)], self.pace(self.config, 1))
        if isinstance(answer, bytes) and len(questions) > 1:
            reply = opened_reply(answer)
            with contextlib.suppress(LookupError, ValueError, struct.error):
                if reply.status in (0, 0x1E):
                    return list(zip(questions, each(reply.data, len(questions)), strict=True))
        if answer == NO_ANSWER:
            raise TimeoutError(f"{self.config.host}: no answer in time")
        return [(question, answer) for question in questions]

    # Reading

    async def read(self, tags: Tags) -> Readings:
        return await self._redialling(lambda: self._read(tags))

    async def _read(self, tags: Tags) -> Readings:
        device, plan = self.device(tags.device), self._plans.get(tags)
        now = self._loop.time()
        if plan is None:
            await self._look_up(tags)
            plan = self._plans[tags] = ScanPlan(device, tags, self._known, self._room)
            plan.looked = now
        elif plan.stale or (plan.told and now >= plan.looked + _LOOK_AGAIN):
            plan.looked = now
            if plan.stale:
                self._list = TagList(self._asked)
            for at in plan.stale | plan.doubted:
                self._known.pop(at, None)
            if await self._look_up(tags):
                plan.arrange()
        if plan.retyped and self.host.memory.get("retyped") != plan.retyped:
            self.host.memory["retyped"] = plan.retyped
            raise LinkError(
                f"{device.name}: types were changed by a download, and are asked for anew: {listed(plan.retyped)}"
            )
        pace = self.pace(device.config, self._scans)
        until = now + pace.whole
        answers = await self._line.exchange([self._request(message) for message in plan.messages], pace, until)
        if answers and all(answer == NO_ANSWER for answer in answers):
            raise TimeoutError(f"{device.name}: no answer within {pace.patience:g} s")
        fragments = [await self._in_fragments(question, pace, until) for question in plan.fragmented]
        before = plan.told
        readings = plan.read(answers, fragments, time.time_ns())
        if plan.lost is not None and len(plan.told) == len(tags):
            raise DeviceError(f"{device.name}: {plan.lost.reason}")
        if plan.told != before:
            self._log(device, plan, before)
        return readings

    async def _in_fragments(self, question: Question, pace: AskingPace, until: float) -> bytes | Refusal:
        """The data of a tag that is larger than a message."""
        data = b""
        while True:
            part = question.count.to_bytes(2, "little") + len(data).to_bytes(4, "little")
            request = self._request(service(READ_FRAGMENT, question.path, part))
            (answer,) = await self._line.exchange([request], pace, until)
            if isinstance(answer, int):
                return unanswered(answer)
            reply = opened_reply(answer)
            if reply.status not in (0, 6):
                return Refusal(*meaning(reply.status, reply.more))
            type_ = question.head[4:]
            more = reply.data[len(type_) :]
            if not reply.data.startswith(type_) or (reply.status and not more):
                return Refusal("the controller has another type there by now", quality.BAD_CONFIGURATION)
            data += more
            if not reply.status or len(data) > question.size:
                return data

    def _log(self, device: Device, plan: ScanPlan, before: Mapping[str, Refusal]) -> None:
        """Say once what begins and what ends to be refused."""
        log = self.log.bind(device=device.name)
        new = {name: why for name, why in plan.told.items() if before.get(name) != why}
        for reason, names in _by_reason(new).items():
            log.warning("tags cannot be read", reason=reason, tags=listed(names))
        if ended := sorted(before.keys() - plan.told.keys()):
            log.info("tags can be read again", tags=listed(ended))

    # Writing

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        config = self.device(tag.device).config
        if isinstance(at := parse_address(tag.config.address), TagAddress):
            await self._redialling(lambda: self._look_up([tag]))
            what = self._known[at.whole]
            if isinstance(what, Refusal):
                raise DeviceError(f"{tag}: {what.reason}")
        else:
            what = None
        try:
            message = write_message(tag.config, what, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        answer = await self.ask(self._request(message), config, "; it may have been written")
        if why := refusal(answer):
            raise DeviceError(f"{tag}: {why.reason}")


def _by_reason(told: Mapping[str, Refusal]) -> dict[str, list[str]]:
    """Reason → names of tags."""
    found: dict[str, list[str]] = {}
    for name, why in told.items():
        found.setdefault(why.reason, []).append(name)
    return found


def _identity(data: bytes) -> Identity | None:
    """What the device says itself to be; None where that cannot be understood, which is no reason not to read it."""
    try:
        return identity(data)
    except (ValueError, struct.error):
        return None


def default_route(who: Identity | None) -> bytes:
    """Slot 0 of the backplane behind a controller or module of a chassis; of other devices none."""
    in_chassis = who is not None and who.device_type in _IN_CHASSIS and not who.name.startswith(_SMALL)
    return b"\1\0" if in_chassis else b""
