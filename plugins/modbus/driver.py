"""The driver: connects, reads by plan, reports what the device refuses."""

import asyncio
import os
import time
from collections.abc import Hashable, Mapping, Sequence
from itertools import groupby
from weakref import WeakKeyDictionary

from gateway.plugin import Device, DeviceError, Driver, LinkError, Tags, Values

from .config import ModbusDevice, ModbusTag
from .connection import UNREACHABLE, Connection
from .exceptions import words_of
from .frames import Answer
from .plan import ReadPlan
from .planner import Span, address_range, describe

EXTRA_REQUESTS = 32
"""Requests that one scan may spend on finding missing addresses; the next scan goes on from there."""


class Modbus(Driver[ModbusDevice, ModbusTag]):
    """One TCP connection, shared by all devices with the same host and port."""

    @classmethod
    def line_key(cls, config: ModbusDevice) -> Hashable:
        return config.host, config.port

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        return describe(device)

    async def connect(self) -> None:
        peer = f"{self.config.host}:{self.config.port}"
        self._plans: WeakKeyDictionary[Tags, ReadPlan] = WeakKeyDictionary()
        try:
            _, self._connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(peer, self.config.max_in_flight), self.config.host, self.config.port
            )
        except OSError as error:
            raise LinkError(f"cannot connect to {peer}: {_reason(error)}") from error

    async def read(self, tags: Tags) -> Values:
        plan = self._plans.get(tags) or self._new_plan(tags)
        plan.prepare(time.monotonic())
        answers = await self._connection.exchange(plan.requests)
        values = plan.quick(answers, time.time_ns())
        if values is not None:
            return values
        answers = await self._ask(plan, answers)
        if any(answer in UNREACHABLE for answer in answers) and all(type(answer) is int for answer in answers):
            code = next(answer for answer in answers if answer in UNREACHABLE)
            raise DeviceError(f"unit {plan.requests[0].unit}: {words_of(int(code))}")
        before = plan.refused
        values = plan.values(answers, time.monotonic(), time.time_ns())
        if plan.refused != before:
            self._log_refusals(plan, tags.device, before)
        return values

    async def close(self) -> None:
        await self._connection.close()

    def _new_plan(self, tags: Tags) -> ReadPlan:
        device = next(device for device in self.devices if device.name == tags.device)
        plan = self._plans[tags] = ReadPlan(device, tags, time.monotonic())
        return plan

    async def _ask(self, plan: ReadPlan, answers: list[Answer]) -> list[Answer]:
        """All answers of a scan, given the first; refused blocks are halved and asked again as far as one scan may."""
        spend = EXTRA_REQUESTS
        while spend > 0 and any(type(answer) is int for answer in answers):
            halved = plan.halve(answers, spend // 2)
            asked = [at for at, answer in enumerate(halved) if answer is None]
            if not asked:
                break
            spend -= len(asked)
            new = await self._connection.exchange([plan.requests[at] for at in asked])
            for at, answer in zip(asked, new, strict=True):
                halved[at] = answer
            answers = [answer for answer in halved if answer is not None]
        return answers

    def _log_refusals(self, plan: ReadPlan, device: str, before: Mapping[Span, int]) -> None:
        """Say once what begins and what ends to be refused."""
        log = self.log.bind(device=device)
        new = sorted(plan.refused.keys() - before.keys(), key=lambda span: (plan.refused[span], *_place(span)))
        for code, spans in groupby(new, key=lambda span: plan.refused[span]):
            log.warning("the device refuses addresses", reason=words_of(code), **_named(plan, list(spans)))
        if ended := sorted(before.keys() - plan.refused.keys(), key=_place):
            log.info("the device answers addresses again", **_named(plan, ended))


def _place(span: Span) -> tuple[str, int]:
    return span.area.digit, span.start


def _named(plan: ReadPlan, spans: Sequence[Span]) -> dict[str, str]:
    """Which tags and addresses these are, as log fields; long lists are cut."""
    ranges = [address_range(span.area, span.start, span.end) for span in spans]
    return {"tags": _cut(plan.names(spans)), "addresses": _cut(ranges)}


def _cut(words: Sequence[str]) -> str:
    more = len(words) - 8
    return ", ".join(words) if more <= 0 else ", ".join(words[:8]) + f" and {more} more"


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is the port right, and Modbus TCP switched on in the device?"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
