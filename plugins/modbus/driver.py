"""The driver: connects, reads by plan, reports what the device refuses."""

import asyncio
import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NoReturn
from weakref import WeakKeyDictionary, WeakSet

from gateway.plugin import Device, DeviceError, Driver, Guess, LinkError, Tag, Tags, Values

from .address import parse_address
from .config import ModbusDevice, ModbusTag
from .exceptions import heard, words_of
from .guessing import guesses_of
from .line.exchange import Pace
from .line.transports import open_line
from .plan.describe import describe, doubts
from .plan.planner import Span, address_range
from .plan.read_plan import ReadPlan
from .requests import MISFIT, NO_ANSWER, UNSENT, Answer, Request, read
from .writing import read_before, write_into, write_of

_WITHIN = 0.95
"""Of the gateway's time-out: what a scan has got until then is still delivered."""

_TRIES = 3
"""Silent requests of one scan before a unit that says nothing at all is given up."""

_plans: WeakKeyDictionary[Tags, ReadPlan] = WeakKeyDictionary()
"""What was learned of devices outlives a connection."""
_numbered: WeakSet[Device] = WeakSet()
"""First devices of lines whose far side has given transaction ids back: without one of ours nothing is believed there any
more."""
_last_numbers: WeakKeyDictionary[Device, int] = WeakKeyDictionary()
"""By the first device of a line, the transaction id that its last connection gave last."""

EXTRA_REQUESTS = 32
"""Requests that one scan may spend on finding missing addresses; the next scan goes on from there."""


class Modbus(Driver[ModbusDevice, ModbusTag]):
    """One line, shared by all devices with the same host and port, or on the same serial port."""

    writes_beside_reads = True
    takes_turns = True

    @classmethod
    def line_key(cls, config: ModbusDevice) -> Hashable:
        return config.serial or (config.host, config.tcp_port)

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        return describe(device)

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        return doubts(devices)

    async def connect(self) -> None:
        self._ways: WeakKeyDictionary[Tags, tuple[ReadPlan, Pace]] = WeakKeyDictionary()
        """How tags are read."""
        self._scans = _scans(self.devices)
        self._loop = asyncio.get_running_loop()
        self._dialling = asyncio.Lock()
        self._before: Counter[str] = Counter()
        """What was counted on connections that the device closed while they were idle."""
        await self._dial()

    async def _dial(self) -> None:
        self._connection = await open_line(self.config)
        self._connection.numbers_proven = self.devices[0] in _numbered
        if (last := _last_numbers.get(self.devices[0])) is not None:
            self._connection.last_number = last
        if self.config.pause_after_connect:
            self._connection.rest(self.config.pause_after_connect)

    async def _dial_again(self) -> None:
        """After the device has closed an idle connection, which is its manner and no loss."""
        async with self._dialling:
            if self._connection.closed_idle:
                self._learn()
                self._before += Counter(self._connection.counts)
                self._before["idle_closes"] += 1
                await self._dial()

    @property
    def remarks(self) -> Sequence[str]:
        said = []
        if self._connection.gives_no_numbers:
            said.append("the device gives no transaction ids back; its answers are told apart by their turn")
        if self._before["idle_closes"]:
            said.append(
                "the device closes a connection on which nothing is asked for a while; it is dialled for each scan"
            )
        return said

    @property
    def counts(self) -> Mapping[str, int]:
        """What went wrong on the line and was made good: retries, and damaged, late and stray answers."""
        return self._before + Counter(self._connection.counts) if self._before else self._connection.counts

    async def read(self, tags: Tags) -> Values:
        plan, pace = self._ways.get(tags) or self._new_way(tags)
        dialled = False
        while True:
            until = self._loop.time() + pace.whole
            if not plan.whole:
                plan.prepare(time.monotonic())
            try:
                if plan.whole or not plan.doubtful:
                    answers = await self._connection.exchange(plan.requests, pace, until)
                else:
                    answers = await self._ask_doubtful(plan, pace, until)
                values = plan.quick(answers, time.time_ns())
                return values if values is not None else await self._read_on(tags.device, plan, answers, pace, until)
            except LinkError:
                if dialled or not self._connection.closed_idle:
                    raise
            dialled = True
            await self._dial_again()

    async def _read_on(self, device: str, plan: ReadPlan, answers: list[Answer], pace: Pace, until: float) -> Values:
        """The values of a scan in which something is refused, or was."""
        answers = await self._ask(plan, answers, pace, until)
        if answers and not heard(answers):
            plan.silent(answers)
            self._raise_lost(plan.requests[0].unit, answers, pace)
        before = plan.refused
        values = plan.values(answers, time.monotonic(), time.time_ns())
        if plan.refused != before:
            self._log_refusals(plan, device, before)
        return values

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        options: ModbusDevice = self._device(tag.device).config
        try:
            await self._write(tag.config, options, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error

    async def _write(self, tag: ModbusTag, device: ModbusDevice, value: float | bool | int | str) -> None:
        request = write_of(tag, device, value)
        if before := read_before(tag, device):
            register = await self._ask_first(before, device)
            request = write_into(tag, device, value, register)
        await self._ask_first(request, device)

    async def _ask_first(self, request: Request, device: ModbusDevice) -> bytes:
        """The answer to a request that goes before waiting ones, and is never repeated: it may have been carried out."""
        pace = replace(pace_of(device, self.config.timeout), retries=0)
        if self._connection.closed_idle:
            await self._dial_again()
        (answer,) = await self._connection.exchange([request], pace, urgent=True)
        if answer == NO_ANSWER:
            unsure = "; it may have been written" if request.function > 4 else ""
            raise TimeoutError(f"unit {device.unit}: no answer within {pace.patience:g} s{unsure}")
        if isinstance(answer, int):
            raise DeviceError(f"unit {device.unit}: {words_of(answer)}")
        return answer

    async def guesses(self, device: Device, address: str, count: int) -> list[Guess]:
        try:
            at = parse_address(address)
        except ValueError as error:
            raise DeviceError(str(error)) from error
        if at.area.single_bits or at.bit is not None:
            raise DeviceError(f"{address} is of single bits, which mean on or off")
        options: ModbusDevice = device.config
        if not 1 <= count <= options.max_registers or at.offset + count > 65536:
            raise DeviceError(f"count: from {address} on a request reads 1 to {options.max_registers} registers")
        request = read(options.unit, at.area, at.offset, count, any_unit=options.any_unit)
        return list(guesses_of(at, await self._ask_first(request, options)))

    def _learn(self) -> None:
        if self._connection.numbers_proven:
            _numbered.add(self.devices[0])
        if (last := self._connection.last_number) is not None:
            _last_numbers[self.devices[0]] = last

    async def close(self) -> None:
        self._learn()
        await self._connection.close()

    def _device(self, name: str) -> Device:
        return next(device for device in self.devices if device.name == name)

    def _new_way(self, tags: Tags) -> tuple[ReadPlan, Pace]:
        device = self._device(tags.device)
        plan = _plans.get(tags)
        if plan is None:
            plan = _plans[tags] = ReadPlan(device, tags, time.monotonic())
        way = self._ways[tags] = plan, pace_of(device.config, self.config.timeout, self._scans)
        return way

    async def _ask_doubtful(self, plan: ReadPlan, pace: Pace, until: float) -> list[Answer]:
        """The first answers of a scan, when some blocks were silent before: those come last, each briefly."""
        sure = len(plan.requests) - plan.doubtful
        answers = await self._connection.exchange(plan.requests[:sure], pace, until)
        if answers and not heard(answers):
            return answers + [UNSENT] * plan.doubtful
        brief, tries = self._connection.brief(pace), 0
        for request in plan.requests[sure:]:
            if self._loop.time() + brief.patience > until or (tries >= _TRIES and not heard(answers)):
                answers.append(UNSENT)
            else:
                answers += await self._connection.exchange([request], brief, until)
                tries += 1
        return answers

    async def _ask(self, plan: ReadPlan, answers: list[Answer], pace: Pace, until: float) -> list[Answer]:
        """All answers of a scan, given the first; refused and silent blocks are halved and asked again as far as one scan
        may."""
        brief = self._connection.brief(pace)
        spend = EXTRA_REQUESTS
        while spend > 0 and any(type(answer) is int for answer in answers):
            halved, how = plan.halve(answers, spend // 2), pace
            if None not in halved and heard(answers) and self._loop.time() + 2 * brief.patience < until:
                halved, how = plan.halve_silent(answers), brief
            asked = [at for at, answer in enumerate(halved) if answer is None]
            if not asked:
                break
            spend -= len(asked)
            new = await self._connection.exchange([plan.requests[at] for at in asked], how, until)
            for at, answer in zip(asked, new, strict=True):
                halved[at] = answer
            answers = [answer for answer in halved if answer is not None]
        return answers

    def _raise_lost(self, unit: int, answers: Sequence[Answer], pace: Pace) -> NoReturn:
        """Raise what nothing but lost answers or a gateway's word means for the device."""
        odd = f"; {self._connection.odd}" if self._connection.odd else ""
        code = next((answer for answer in answers if answer not in (NO_ANSWER, UNSENT)), None)
        if code is None or NO_ANSWER in answers:
            raise TimeoutError(f"unit {unit}: no answer within {pace.patience:g} s{odd}")
        raise DeviceError(f"unit {unit}: {words_of(int(code))}")

    def _log_refusals(self, plan: ReadPlan, device: str, before: Mapping[Span, int]) -> None:
        """Say once what begins and what ends to be refused."""
        log = self.log.bind(device=device)
        new = sorted(plan.refused.keys() - before.keys(), key=lambda span: (plan.refused[span], *_place(span)))
        for code, spans in groupby(new, key=lambda span: plan.refused[span]):
            named = list(spans)
            log.warning("the device refuses addresses", reason=words_of(code), **_named(plan, named))
            if code == MISFIT:
                log.debug(
                    "of another length than was asked for", raw=self._connection.misfit.hex(" "), **_named(plan, named)
                )
        if ended := sorted(before.keys() - plan.refused.keys(), key=_place):
            log.info("the device answers addresses again", **_named(plan, ended))


def pace_of(config: ModbusDevice, timeout: float, scans: int = 1) -> Pace:
    """How the device is asked, on a line where a read that needs not wait for others may take `timeout` seconds, and so many
    scans take turns."""
    whole = _WITHIN * timeout
    own = config.request_timeout or (min(1.0, whole) if config.serial else whole)
    retries = int(config.lossy) if config.retries is None else config.retries
    return Pace(min(own, whole), whole * scans, retries, config.pause)


def _scans(devices: Sequence[Device]) -> int:
    """How many scans the gateway makes of these devices."""
    return sum(len({tag.config.scan or device.config.scan for tag in device.tags}) for device in devices)


def _place(span: Span) -> tuple[str, int]:
    return span.area.digit, span.start


def _named(plan: ReadPlan, spans: Sequence[Span]) -> dict[str, str]:
    """Which tags and addresses these are, as log fields; long lists are cut."""
    ranges = [address_range(span.area, span.start, span.end) for span in spans]
    return {"tags": _cut(plan.names(spans)), "addresses": _cut(ranges)}


def _cut(words: Sequence[str]) -> str:
    more = len(words) - 8
    return ", ".join(words) if more <= 0 else ", ".join(words[:8]) + f" and {more} more"
