"""The driver of devices that are asked on a line: connects, dials again what was closed idle, asks what is written."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from gateway.kit.line import NO_ANSWER, AskingPace, LineRequest, RequestLine
from gateway.plugin import Device, DeviceConfig, DeviceError, Driver, LinkError, TagConfig

D = TypeVar("D", bound=DeviceConfig)
T = TypeVar("T", bound=TagConfig)
V = TypeVar("V")

WITHIN = 0.95
"""Of the gateway's time-out: what a scan has got until then is still delivered."""

_gave_ids: WeakSet[Device] = WeakSet()
"""First devices of lines whose far side has given transaction ids back: without one of ours nothing is believed there any
more."""
_last_ids: WeakKeyDictionary[Device, int] = WeakKeyDictionary()
"""By the first device of a line, the transaction id that its last connection gave last."""


class LineDriver(Driver[D, T]):
    """One line, shared by all devices with the same `line_key`.

    A subclass says how the line is opened (`open`), what the codes of a device mean (`words`), and reads by
    `self._redialling`. Of devices whose values stand in blocks of addresses `BlockDriver` does all that.
    """

    writes_beside_reads = True
    takes_turns = True

    line_options: ClassVar[Sequence[str]] = ("timeout", "max_in_flight")
    """Options by which the first device of a line speaks for all of them."""

    async def open(self) -> RequestLine[Any]:
        """A new connection by `self.config`. Raises LinkError with what to look at, and then leaves nothing open."""
        raise NotImplementedError

    def opened(self) -> None:
        """The line is open, perhaps anew: something else may have been agreed upon."""

    def words(self, config: D, code: int) -> str:
        """What a device means by a code."""
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

    async def connect(self) -> None:
        self._scans = _scans(self.devices)
        self._loop = asyncio.get_running_loop()
        self._dialling = asyncio.Lock()
        self._before: Counter[str] = Counter()
        """What was counted on connections that the device closed while they were idle."""
        await self._dial()

    async def _dial(self) -> None:
        self._line = await self.open()
        self.opened()
        self._line.recall_ids(_last_ids.get(self.devices[0]), self.devices[0] in _gave_ids)

    async def _dial_again(self) -> None:
        """After the device has closed an idle connection, which is its manner and no loss."""
        async with self._dialling:
            if self._line.closed_idle:
                self._learn()
                self._before += Counter(self._line.counts)
                self._before["idle_closes"] += 1
                await self._dial()

    async def _redialling(self, call: Callable[[], Awaitable[V]]) -> V:
        """What the call gives; where the device had closed the idle connection, on a new one."""
        try:
            return await call()
        except LinkError:
            if not self._line.closed_idle:
                raise
        await self._dial_again()
        return await call()

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
            raise DeviceError(f"{self.named(config)}: {self.words(config, answer)}")
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


def _scans(devices: Sequence[Device]) -> int:
    """How many scans the gateway makes of these devices."""
    return sum(len({tag.config.scan or device.config.scan for tag in device.tags}) for device in devices)
