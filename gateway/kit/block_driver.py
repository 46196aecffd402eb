"""The driver of devices whose values stand in blocks of addresses: connects, reads by plan, tells what a device refuses."""

import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NoReturn, TypeVar, cast
from weakref import WeakKeyDictionary

from gateway.kit.blocks import AddressSpan, BlockPlan, BlockReading, address_range, describe
from gateway.kit.line import MISFIT, NO_ANSWER, UNSENT, Answer, AskingPace, JointAnswer
from gateway.kit.line_driver import LineDriver
from gateway.plugin import Device, DeviceConfig, DeviceError, TagConfig, Tags, Values, listed

D = TypeVar("D", bound=DeviceConfig)
T = TypeVar("T", bound=TagConfig)

_TRIES = 3
"""Silent requests of one scan before a unit that says nothing at all is given up."""

_plans: WeakKeyDictionary[Tags, BlockPlan] = WeakKeyDictionary()
"""What was learned of devices outlives a connection."""

EXTRA_REQUESTS = 32
"""Requests that one scan may spend on finding missing addresses; the next scan goes on from there."""


class BlockDriver(LineDriver[D, T]):
    """A line to devices whose values stand in blocks of addresses.

    A subclass says how a device is read (`reading`), how the line is opened (`open`), and, where it writes, turns a value
    into a request for `ask`. Blocks of addresses, finding what a device refuses, late and foreign answers, silence, turns
    between scans and idle connections are dealt with here.
    """

    @classmethod
    def reading(cls, config: D) -> BlockReading[D, T]:
        """How a device with these options is read."""
        raise NotImplementedError

    def reading_here(self, config: D) -> BlockReading[D, T]:
        """The same on this connection, where something was agreed upon. See `BlockReading.limit`."""
        return self.reading(config)

    def words(self, config: D, code: int) -> str:
        return self.reading(config).refusals.words(code)

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        return describe(device, cls.reading(device.config))

    def opened(self) -> None:
        self._ways: WeakKeyDictionary[Tags, tuple[BlockPlan, AskingPace]] = WeakKeyDictionary()
        """How tags are read."""

    @property
    def remarks(self) -> Sequence[str]:
        return [*super().remarks, *(said for plan, _ in self._ways.values() for said in _refusals(plan))]

    async def read(self, tags: Tags) -> Values:
        return await self._redialling(lambda: self._read(tags))

    async def _read(self, tags: Tags) -> Values:
        plan, pace = self._ways.get(tags) or self._new_way(tags)
        until = self._loop.time() + pace.whole
        if not plan.whole:
            plan.prepare(time.monotonic())
        if plan.whole or not plan.doubtful:
            joint = await self._line.joint_exchange(plan.sent, pace, until)
            if (values := plan.quick(joint, time.time_ns())) is not None:
                return values
            answers = await self._parted(plan, joint, pace, until)
        else:
            answers = await self._ask_doubtful(plan, pace, until)
        return await self._read_on(tags.device, plan, answers, pace, until)

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


def _refusals(plan: BlockPlan) -> list[str]:
    """What the device refused at the last scan, one sentence for each reason."""
    by_code: dict[int, list[AddressSpan]] = {}
    for span, code in plan.refused.items():
        by_code.setdefault(code, []).append(span)
    return [f"{plan.refusals.words(code)}: {listed(plan.names(spans))}" for code, spans in by_code.items()]


def _place(span: AddressSpan) -> tuple[int, int]:
    return span.area.rank, span.start


def _named(plan: BlockPlan, spans: Sequence[AddressSpan]) -> dict[str, str]:
    """Which tags and addresses these are, as log fields; long lists are cut."""
    ranges = [address_range(span.area, span.start, span.end) for span in spans]
    return {"tags": listed(plan.names(spans)), "addresses": listed(ranges)}
