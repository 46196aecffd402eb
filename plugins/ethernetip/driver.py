"""The driver: reads by plan, and tells what is refused. Asking in turns, late answers and idle connections are
`gateway.kit.LineDriver`'s, what is agreed upon with a device is `session.py`'s."""

import contextlib
import time
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

from gateway.kit import LineDriver
from gateway.kit.line import NO_ANSWER, Answer, AskingPace, RequestLine
from gateway.plugin import Device, DeviceError, Discovered, Found, LinkError, Readings, Search, Tag, Tags, listed

from .address import TagAddress, parse_address
from .config import EthernetIpDevice, EthernetIpTag
from .finding import found_at
from .frames import REFUSALS, CipRequest, opened_reply, service
from .learning import Knowledge
from .plan import RETYPED, UNKNOWN, Refusal, ScanPlan, unanswered
from .questions import READ_FRAGMENT, Learned, Question, declared, place_of
from .session import Session
from .status_codes import meaning
from .tag_list import UnlistedError
from .writing import refusal, write_message

_LOOK_AGAIN = 5.0
"""Seconds after which a tag that the controller did not have is looked up again."""


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
        scans = [tag.config.scan or device.config.scan for device in self.devices for tag in device.tags]
        self._session = Session(self.config, self.pace(self.config, 1))
        await self._session.open(max(scans, default=1.0))
        return self._session.line

    def opened(self) -> None:
        self._plans: WeakKeyDictionary[Tags, ScanPlan] = WeakKeyDictionary()
        self._knowledge = Knowledge(self._answer, self._session.room)

    async def close(self) -> None:
        await self._session.end()
        await super().close()

    @property
    def facts(self) -> Mapping[str, str | float]:
        who = self._session.identity
        found: dict[str, str | float] = {"product": who.name, "firmware": who.revision} if who else {}
        return found | {"message_size": self._session.room.answer}

    @property
    def remarks(self) -> Sequence[str]:
        said = list(super().remarks)
        if self._session.not_connected:
            said.append(f"asked without a connection, in more and smaller messages: {self._session.not_connected}")
        for plan in self._plans.values():
            said += [f"{reason}: {listed(names)}" for reason, names in _by_reason(plan.told).items()]
        return said

    def words(self, config: EthernetIpDevice, code: int) -> str:
        return REFUSALS.words(code)

    async def _answer(self, message: bytes) -> Answer:
        """What comes to a message that is not one of a scan's."""
        (answer,) = await self._line.exchange([self._session.request(message)], self.pace(self.config, 1))
        if answer == NO_ANSWER:
            raise TimeoutError(f"{self.config.name}: no answer in time")
        return answer

    async def describe(self) -> Mapping[Tag, Found]:
        return await self._redialling(self._describe)

    async def _describe(self) -> Mapping[Tag, Found]:
        found: dict[Tag, Found] = {}
        for device in self.devices:
            await self._knowledge.look_up(device.tags)
            for tag in device.tags:
                at = parse_address(tag.config.address)
                if tag.config.value_type() or not isinstance(at, TagAddress):
                    continue
                what = self._knowledge.known.get(at.whole)
                with contextlib.suppress(ValueError):
                    if isinstance(what, Learned) and (type_ := place_of(at, what, declared(tag.config)).published):
                        found[tag] = Found(type_)
        return found

    # Reading

    async def read(self, tags: Tags) -> Readings:
        return await self._redialling(lambda: self._read(tags))

    async def _read(self, tags: Tags) -> Readings:
        device = self.device(tags.device)
        plan = await self._plan(device, tags)
        pace = self.pace(device.config, self._scans)
        until = self._loop.time() + pace.whole
        request = self._session.request
        answers = await self._line.exchange([request(message) for message in plan.messages], pace, until)
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

    async def _plan(self, device: Device, tags: Tags) -> ScanPlan:
        """How they are read, after what is in doubt was looked up. Raises LinkError, once, where the file leaves types open
        that were changed: then they are to be described anew."""
        plan, now = self._plans.get(tags), self._loop.time()
        if plan is None:
            await self._knowledge.look_up(tags)
            plan = self._plans[tags] = ScanPlan(device, tags, self._knowledge.known, self._session.room)
            plan.looked = now
        elif plan.stale or (plan.told and now >= plan.looked + _LOOK_AGAIN):
            plan.looked = now
            self._knowledge.forget(plan.stale | plan.doubted, structures=bool(plan.stale))
            if await self._knowledge.look_up(tags):
                plan.arrange()
        if plan.retyped and self.host.memory.get("retyped") != plan.retyped:
            self.host.memory["retyped"] = plan.retyped
            names = listed(list(plan.retyped))
            raise LinkError(f"{device.name}: types were changed by a download, and are asked for anew: {names}")
        return plan

    async def _in_fragments(self, question: Question, pace: AskingPace, until: float) -> bytes | Refusal:
        """The data of a tag that is larger than a message."""
        data, type_ = b"", question.head[4:]
        while True:
            part = question.count.to_bytes(2, "little") + len(data).to_bytes(4, "little")
            request = self._session.request(service(READ_FRAGMENT, question.path, part))
            (answer,) = await self._line.exchange([request], pace, until)
            if isinstance(answer, int):
                return unanswered(answer)
            reply = opened_reply(answer)
            if reply.status not in (0, 6):
                return Refusal(*meaning(reply.status, reply.more))
            more = reply.data[len(type_) :]
            if not reply.data.startswith(type_) or (reply.status and not more):
                return RETYPED
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

    # What people ask for

    async def identify(self, device: Device) -> str:
        who = self._session.identity
        return f"{who.name}, firmware {who.revision}" if who else ""

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        what: Learned | Refusal | None = None
        at = parse_address(tag.config.address)
        if isinstance(at, TagAddress):
            await self._redialling(lambda: self._knowledge.look_up([tag]))
            what = self._knowledge.known.get(at.whole, UNKNOWN)
        if isinstance(what, Refusal):
            raise DeviceError(f"{tag}: {what.reason}")
        try:
            message = write_message(tag.config, what, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        config = self.device(tag.device).config
        answer = await self.ask(self._session.request(message), config, "; it may have been written")
        if why := refusal(answer):
            if isinstance(at, TagAddress):
                self._knowledge.forget([at.whole], structures=False)
            raise DeviceError(f"{tag}: {why.reason}")

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        try:
            async for offer in self._knowledge.list.offers():
                yield offer
        except UnlistedError:
            yield "@1/1/7", Found("string", description="SHORT_STRING, the product's name")
            yield (
                "",
                Found(
                    "", description="the device lists no tags, or not all; data files and attributes: see its manual"
                ),
            )

    @classmethod
    async def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        if search.host:
            async for found in found_at(search):
                yield found


def _by_reason(told: Mapping[str, Refusal]) -> dict[str, list[str]]:
    """Reason → names of tags."""
    found: dict[str, list[str]] = {}
    for name, why in told.items():
        found.setdefault(why.reason, []).append(name)
    return found
