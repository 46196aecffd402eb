"""The driver: asks for telegrams, or takes those that come, and finds the tags in them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from gateway.kit import Ended, Framing, OvertimeError, Sized, Stream, open_stream, readings_of
from gateway.plugin import Device, DeviceError, Driver, Exact, Readings, Tag, Tags, quality

from .config import TelegramDevice, TelegramFrame, TelegramTag, octets


@dataclass(frozen=True, slots=True)
class _Begun:
    """Telegrams that begin and end with certain bytes."""

    start: bytes
    by: bytes
    longest: int

    def size(self, data: bytes | bytearray, searched: int) -> int:
        end = data.find(self.by, max(0, searched - len(self.by) + 1))
        return 0 if end < 0 else end + len(self.by)


def framing(frame: TelegramFrame) -> Framing:
    """How the telegrams are found in what comes."""
    if frame.end:
        end = octets("end", frame.end)
        return _Begun(octets("start", frame.start), end, frame.longest) if frame.start else Ended(end, 0, frame.longest)
    if frame.size:
        return Sized(1, lambda _: frame.size, max(frame.longest, frame.size))
    length = frame.length
    assert length is not None
    head = length.at + length.bytes
    return Sized(head, lambda data: int.from_bytes(data[length.at : head], length.order) + length.more, frame.longest)


class TcpTelegrams(Driver[TelegramDevice, TelegramTag]):
    @classmethod
    def subscribes(cls, config: TelegramDevice) -> bool:
        return config.pushed

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        return [
            f"{tag}: nothing is asked for it: give the device or the tag an ask, or say pushed = true"
            for device in devices
            if not device.config.pushed
            for tag in device.tags
            if not (tag.config.ask or device.config.ask)
        ]

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        config: TelegramDevice = device.config
        if config.pushed:
            return [f"{len(device.tags)} tags are found in telegrams as they come"]
        return [
            f"asked by {ask!r}: {', '.join(tag.name for tag in tags)}"
            for ask, tags in _asked(config, device.tags).items()
        ]

    async def connect(self) -> None:
        config = self.config
        telegrams = config.telegrams
        self._start = octets("start", telegrams.start)
        self._end = octets("end", telegrams.end)
        self._slow: dict[str, str] = {}
        """Tags whose patterns take too long, and on what."""
        self._stream: Stream = await open_stream(
            config.host, config.port, framing(telegrams), tls=config.tls, greet=self._hello
        )

    async def _hello(self, stream: Stream) -> None:
        if self.config.hello:
            stream.write(octets("hello", self.config.hello))

    async def read(self, tags: Tags) -> Readings:
        found: dict[Tag, tuple[Exact | float | None, int]] = {}
        for ask, asked in _asked(self.config, tags).items():
            telegram = self._inner(await self._stream.ask(octets("ask", ask), self._is_whole))
            found |= await self._values(asked, telegram, answered=True)
        return readings_of(self.devices[0], found)

    async def stream(self) -> AsyncIterator[Readings]:
        (device,) = self.devices
        tags = device.tags
        while True:
            frame = await self._stream.frame()
            self.host.alive()
            if not self._is_whole(frame):
                continue
            telegram = self._inner(frame)
            found = await self._values(tags, telegram, answered=False)
            if about := {tag: value for tag, value in found.items() if value[1] != _ELSE}:
                yield readings_of(self.devices[0], about)

    def _is_whole(self, frame: bytes) -> bool:
        """Whether it has its beginning: of one that was cut into only the end may have come."""
        return self._start in frame

    def _inner(self, frame: bytes) -> bytes:
        """A telegram without what it begins and ends with."""
        if self._start:
            frame = frame[frame.rindex(self._start) + len(self._start) :]
        return frame.removesuffix(self._end) if self._end else frame

    async def _values(
        self, tags: Iterable[Tag], telegram: bytes, *, answered: bool
    ) -> dict[Tag, tuple[Exact | float | None, int]]:
        found = {}
        for tag in tags:
            try:
                found[tag] = self._value(tag, telegram, answered=answered)
                if tag.name in self._slow:
                    del self._slow[tag.name]
            except OvertimeError as error:
                found[tag] = None, quality.BAD_CONFIGURATION
                if tag.name not in self._slow:
                    self._slow[tag.name] = str(error)
                    self.log.warning("a pattern takes too long", tag=tag.name, reason=str(error))
                await asyncio.sleep(0)  # others had to wait for it
        return found

    @property
    def remarks(self) -> Sequence[str]:
        return [
            f'the pattern of tag "{name}", or bad or uncertain, takes too long on what the machine sends: write it without a '
            f"repetition within a repetition ({why})"
            for name, why in self._slow.items()
        ]

    def _value(self, tag: Tag, telegram: bytes, *, answered: bool) -> tuple[Exact | float | None, int]:
        """The value and its quality, _ELSE where the telegram is about something else."""
        config: TelegramTag = tag.config
        bad, uncertain = self.config.bad_pattern, self.config.uncertain_pattern
        text = telegram.decode(self.config.encoding, "replace")
        if bad is not None and bad.search(text):
            return None, quality.BAD_DEVICE_FAILURE
        try:
            value = config.found(telegram, self.config.encoding)
        except OvertimeError:
            raise
        except ValueError:
            return None, quality.BAD_DECODING
        if value is None:
            return None, quality.BAD_DATA_UNAVAILABLE if answered else _ELSE
        swings = uncertain is not None and uncertain.search(text)
        return value, quality.UNCERTAIN if swings else quality.GOOD

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        config: TelegramTag = tag.config
        try:
            request = octets("send", config.send.format(value=value), self.config.encoding)
        except (LookupError, ValueError, TypeError) as error:
            raise DeviceError(f"{tag}: {error}") from error
        if self.config.pushed and not config.expect:
            self._stream.write(request)
            return
        if self.config.pushed:
            raise DeviceError(
                f"{tag}: a machine that sends by itself gives no answer that could be told from the others"
            )
        answer = self._inner(await self._stream.ask(request, self._is_whole)).decode(self.config.encoding, "replace")
        try:
            right = config.expected is None or config.expected.search(answer)
        except OvertimeError as error:
            raise DeviceError(f"{tag}: it was sent, and expect cannot be looked for: {error}") from error
        if not right:
            raise DeviceError(f"{tag}: the machine answers {answer!r}")

    async def close(self) -> None:
        await self._stream.close()


_ELSE = -1
"""In place of a quality: the telegram says nothing of the tag."""


def _asked(config: TelegramDevice, tags: "Sequence[Tag] | Tags") -> dict[str, list[Tag]]:
    """What is sent → the tags that the answer has."""
    asked: dict[str, list[Tag]] = {}
    for tag in tags:
        asked.setdefault(tag.config.ask or config.ask, []).append(tag)
    return asked
