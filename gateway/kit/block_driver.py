"""The driver of devices whose values stand in blocks of addresses: connects, reads by plan, tells what a device refuses."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, ClassVar, NoReturn, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

from gateway.kit.blocks import AddressSpan, BlockPlan, BlockReading, address_range, describe
from gateway.kit.line import MISFIT, NO_ANSWER, UNSENT, Answer, AskingPace, JointAnswer, LineRequest, RequestLine
from gateway.plugin import Device, DeviceConfig, DeviceError, Driver, LinkError, TagConfig, Tags, Values, listed

D = TypeVar("D", bound=DeviceConfig)
T = TypeVar("T", bound=TagConfig)

WITHIN = 0.95
"""Of the gateway's time-out: what a scan has got until then is still delivered."""

_TRIES = 3
"""Silent requests of one scan before a unit that says nothing at all is given up."""

_plans: WeakKeyDictionary[Tags, BlockPlan] = WeakKeyDictionary()
"""What was learned of devices outlives a connection."""
_gave_ids: WeakSet[Device] = WeakSet()
"""First devices of lines whose far side has given transaction ids back: without one of ours nothing is believed there any
more."""
_last_ids: WeakKeyDictionary[Device, int] = WeakKeyDictionary()
"""By the first device of a line, the transaction id that its last connection gave last."""

EXTRA_REQUESTS = 32
"""Requests that one scan may spend on finding missing addresses; the next scan goes on from there."""


class BlockDriver(Driver[D, T]):
    """One line, shared by all devices with the same `line_key`.

    A subclass says how a device is read (`reading`), how the line is opened (`open`), and, where it writes, turns a value
    into a request for `ask`. Blocks of addresses, finding what a device refuses, late and foreign answers, silence, turns
    between scans and idle connections are dealt with here.
    """

    writes_beside_reads = True
    takes_turns = True

    line_options: ClassVar[Sequence[str]] = ("timeout", "max_in_flight")
    """Options by which the first device of a line speaks for all of them."""

    @classmethod
    def reading(cls, config: D) -> BlockReading[D, T]:
        """How a device with these options is read."""
        raise NotImplementedError

    def reading_here(self, config: D) -> BlockReading[D, T]:
        """The same on this connection, where something was agreed upon. See `BlockReading.limit`."""
        return self.reading(config)

    async def open(self) -> RequestLine[Any]:
        """A new connection by `self.config`. Raises LinkError with what to look at, and then leaves nothing open."""
        raise NotImplementedError

    def pace(self, config: D, scans: int) -> AskingPace:
        """How a device with these options is asked, on a line where so many scans take turns."""
        whole = WITHIN * self.config.timeout
        return AskingPace(whole, whole * scans)

    def named(self, config: D) -> str:
        """Who is asked, in messages: "unit 3"."""
        return config.name

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        first = devices[0]
        return [
            f"{device.name}: its {name} does not count: {first.name}, the first on this line, "
            f"has {getattr(first.config, name)!r}"
            for device in devices[1:]
            for name in cls.line_options
            if getattr(device.config, name) != getattr(first.config, name)
        ]

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        return describe(device, cls.reading(device.config))

    async def connect(self) -> None:
        self._ways: WeakKeyDictionary[Tags, tuple[BlockPlan, AskingPace]] = WeakKeyDictionary()
        """How tags are read."""
        self._scans = _scans(self.devices)
        self._loop = asyncio.get_running_loop()
        self._dialling = asyncio.Lock()
        self._before: Counter[str] = Counter()
        """What was counted on connections that the device closed while they were idle."""
        await self._dial()

    async def _dial(self) -> None:
        self._line = await self.open()
        self._ways.clear()  # another limit may have been agreed upon
        self._line.recall_ids(_last_ids.get(self.devices[0]), self.devices[0] in _gave_ids)

    async def _dial_again(self) -> None:
        """After the device has closed an idle connection, which is its manner and no loss."""
        async with self._dialling:
            if self._line.closed_idle:
                self._learn()
                self._before += Counter(self._line.counts)
                self._before["idle_closes"] += 1
                await self._dial()

    @property
    def remarks(self) -> Sequence[str]:
        said = []
        if self._line.gives_no_ids:
            said.append("the device gives no transaction ids back; its answers are told apart by their turn")
        if self._before["idle_closes"]:
            said.append(
                "the device closes a connection on which nothing is asked for a while; it is dialled for each scan"
            )
        return said

    @property
    def counts(self) -> Mapping[str, int]:
        """What went wrong on the line and was made good: retries, and damaged, late and stray answers."""
        return self._before + Counter(self._line.counts) if self._before else self._line.counts

    async def read(self, tags: Tags) -> Values:
        plan, pace = self._ways.get(tags) or self._new_way(tags)
        dialled = False
        while True:
            until = self._loop.time() + pace.whole
            if not plan.whole:
                plan.prepare(time.monotonic())
            try:
                if plan.whole or not plan.doubtful:
                    joint = await self._line.joint_exchange(plan.sent, pace, until)
                    if (values := plan.quick(joint, time.time_ns())) is not None:
                        return values
                    answers = await self._parted(plan, joint, pace, until)
                else:
                    answers = await self._ask_doubtful(plan, pace, until)
                return await self._read_on(tags.device, plan, answers, pace, until)
            except LinkError:
                if dialled or not self._line.closed_idle:
                    raise
            dialled = True
            await self._dial_again()

    async def _read_on(
        self, device: str, plan: BlockPlan, answers: list[Answer], pace: AskingPace, until: float
    ) -> Values:
        """The values of a scan in which something is refused, or was."""
        answers = await self._ask(plan, answers, pace, until)
        if answers and not plan.refusals.heard(answers):
            plan.silent(answers)
            self._raise_lost(plan, device, answers, pace)
        if not plan.refusals.alive(answers):
            plan.silent(answers)
        before = plan.refused
        values = plan.values(answers, time.monotonic(), time.time_ns())
        if plan.refused != before:
            self._log_refusals(plan, device, before)
        return values

    async def ask(self, request: LineRequest, config: D, if_unanswered: str = "") -> bytes:
        """The answer to a request that goes before waiting ones, and is never repeated: it may have been carried out.
        Raises DeviceError in words when the device refuses, and TimeoutError, to which `if_unanswered` adds what may be so
        then, such as "; it may have been written"."""
        pace = replace(self.pace(config, 1), retries=0, busy_retries=0)
        if self._line.closed_idle:
            await self._dial_again()
        (answer,) = await self._line.exchange([request], pace, urgent=True)
        if answer == NO_ANSWER:
            raise TimeoutError(f"{self.named(config)}: no answer within {pace.patience:g} s{if_unanswered}")
        if isinstance(answer, int):
            raise DeviceError(f"{self.named(config)}: {self.reading(config).refusals.words(answer)}")
        return answer

    def device(self, name: str) -> Device:
        """The device of this name."""
        return next(device for device in self.devices if device.name == name)

    def _learn(self) -> None:
        if self._line.ids_proven:
            _gave_ids.add(self.devices[0])
        if (last := self._line.last_id) is not None:
            _last_ids[self.devices[0]] = last

    async def close(self) -> None:
        self._learn()
        await self._line.close()

    def _new_way(self, tags: Tags) -> tuple[BlockPlan, AskingPace]:
        device = self.device(tags.device)
        plan, reading = _plans.get(tags), self.reading_here(device.config)
        if plan is None or plan.limit != reading.limit:
            plan = _plans[tags] = BlockPlan(device, tags, reading, time.monotonic())
        way = self._ways[tags] = plan, self.pace(device.config, self._scans)
        return way

    async def _parted(
        self, plan: BlockPlan, joint: Sequence[JointAnswer], pace: AskingPace, until: float
    ) -> list[Answer]:
        """The answers to the plan's requests, after some of them went in joined ones."""
        parted = plan.parted(joint)
        alone = [request for request, answer in zip(plan.requests, parted, strict=True) if answer is None]
        if not alone:
            return cast(list[Answer], parted)
        new = iter(await self._line.exchange(alone, pace, until))
        answers = [next(new) if answer is None else answer for answer in parted]
        plan.asked_alone(parted, answers)
        return answers

    async def _ask_doubtful(self, plan: BlockPlan, pace: AskingPace, until: float) -> list[Answer]:
        """The first answers of a scan, when some blocks were silent before: those come last, each briefly."""
        sure = len(plan.requests) - plan.doubtful
        answers = await self._line.exchange(plan.requests[:sure], pace, until)
        if answers and not plan.refusals.heard(answers):
            return answers + [UNSENT] * plan.doubtful
        brief, tries = self._line.brief(pace), 0
        for request in plan.requests[sure:]:
            if self._loop.time() + brief.patience > until or (tries >= _TRIES and not plan.refusals.heard(answers)):
                answers.append(UNSENT)
            else:
                answers += await self._line.exchange([request], brief, until)
                tries += 1
        return answers

    async def _ask(self, plan: BlockPlan, answers: list[Answer], pace: AskingPace, until: float) -> list[Answer]:
        """All answers of a scan, given the first; refused and silent blocks are halved and asked again as far as one scan
        may."""
        brief = self._line.brief(pace)
        spend = EXTRA_REQUESTS
        while spend > 0 and any(type(answer) is int for answer in answers):
            halved, how = plan.halve(answers, spend // 2), pace
            if None not in halved and plan.refusals.alive(answers) and self._loop.time() + 2 * brief.patience < until:
                halved, how = plan.halve_silent(answers), brief
            asked = [at for at, answer in enumerate(halved) if answer is None]
            if not asked:
                break
            spend -= len(asked)
            new = await self._line.exchange([plan.requests[at] for at in asked], how, until)
            for at, answer in zip(asked, new, strict=True):
                halved[at] = answer
            answers = [answer for answer in halved if answer is not None]
        return answers

    def _raise_lost(self, plan: BlockPlan, device: str, answers: Sequence[Answer], pace: AskingPace) -> NoReturn:
        """Raise what nothing but lost answers or a gateway's word means for the device."""
        whom = self.named(self.device(device).config)
        odd = f"; {self._line.odd}" if self._line.odd else ""
        code = next((answer for answer in answers if answer not in (NO_ANSWER, UNSENT)), None)
        if code is None or NO_ANSWER in answers:
            raise TimeoutError(f"{whom}: no answer within {pace.patience:g} s{odd}")
        raise DeviceError(f"{whom}: {plan.refusals.words(int(code))}")

    def _log_refusals(self, plan: BlockPlan, device: str, before: Mapping[AddressSpan, int]) -> None:
        """Say once what begins and what ends to be refused."""
        log = self.log.bind(device=device)
        new = sorted(plan.refused.keys() - before.keys(), key=lambda span: (plan.refused[span], *_place(span)))
        for code, spans in groupby(new, key=lambda span: plan.refused[span]):
            named = list(spans)
            log.warning("the device refuses addresses", reason=plan.refusals.words(code), **_named(plan, named))
            if code == MISFIT:
                log.debug("of another length than was asked for", raw=self._line.misfit.hex(" "), **_named(plan, named))
        if ended := sorted(before.keys() - plan.refused.keys(), key=_place):
            log.info("the device answers addresses again", **_named(plan, ended))


def _scans(devices: Sequence[Device]) -> int:
    """How many scans the gateway makes of these devices."""
    return sum(len({tag.config.scan or device.config.scan for tag in device.tags}) for device in devices)


def _place(span: AddressSpan) -> tuple[int, int]:
    return span.area.rank, span.start


def _named(plan: BlockPlan, spans: Sequence[AddressSpan]) -> dict[str, str]:
    """Which tags and addresses these are, as log fields; long lists are cut."""
    ranges = [address_range(span.area, span.start, span.end) for span in spans]
    return {"tags": listed(plan.names(spans)), "addresses": listed(ranges)}
