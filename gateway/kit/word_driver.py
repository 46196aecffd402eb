"""The driver of PLCs whose values stand in 16-bit words: its options, how it reads and paces, and what a write becomes.

A driver on it says what its areas and addresses are (`WordTag`), how requests and answers look (`gateway.kit.line`), and how
a connection is opened.
"""

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from gateway.kit.block_driver import BlockDriver
from gateway.kit.blocks import Area, BlockReading, ValuePlace
from gateway.kit.line import AskingPace, LineRequest
from gateway.kit.word_tag import NotAvailable, WordTag, WordValue
from gateway.plugin import DeviceConfig, DeviceError, Field, Period, Tag


class WordDevice(DeviceConfig):
    """What can be said of each such PLC. A subclass adds `host`, `port`, and what the protocol needs beside."""

    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "CDAB"
    """Byte order of 32- and 64-bit values whose tag names none. CDAB: the lower word comes first."""

    not_available: NotAvailable | None = None
    """What the PLC's program puts in the place of a value that it has not, for all tags that say nothing else."""

    request_timeout: Period | None = None
    """How long one request may take. Default: by UDP 1 s, or half of `timeout`; by TCP as long as `timeout`."""

    retries: int | None = Field(default=None, ge=0, le=10)
    """How often a request without an answer is repeated in the same scan. Default: 1 by UDP, else 0."""

    max_gap: int = Field(default=16, ge=0, le=999)
    """Read over up to so many unused words to save a request, or a place in one."""

    max_words: int = Field(default=100, ge=1)
    """Words that the PLC gives in one request, at most. A single value is never cut."""

    @property
    def lossy(self) -> bool:
        """Whether single frames get lost on the way, as by UDP."""
        return getattr(self, "transport", "") == "udp"


D = TypeVar("D", bound=WordDevice)
T = TypeVar("T", bound=WordTag)


class WordReading(BlockReading[D, T]):
    """One PLC: its words, two bytes each, and bits with the word that they stand in. A subclass has `refusals` and
    `request`."""

    def __init__(self, options: D) -> None:
        super().__init__(options)
        self.max_gap = options.max_gap

    @staticmethod
    def span(tag: WordTag) -> tuple[Area, int, int]:
        at = tag.at()
        return at.area, at.offset, at.offset + tag.words()

    def place(self, row: int, tag: T, byte: int, offset: int) -> ValuePlace:
        return tag.place(row, byte + 2 * offset, self.options.order, self.options.not_available)

    def most(self, area: Area) -> int:
        return self.options.max_words


class WordDriver(BlockDriver[D, T]):
    """One line, shared by all devices with the same host, port and transport."""

    most_written: ClassVar[int]
    """Words that one request can write."""

    @classmethod
    def reading(cls, config: D) -> WordReading[D, T]:
        raise NotImplementedError

    @classmethod
    def line_key(cls, config: Any) -> Hashable:
        return config.lossy, config.host, config.port

    def pace(self, config: D, scans: int) -> AskingPace:
        pace = super().pace(config, scans)
        own = config.request_timeout or (min(1.0, pace.patience / 2) if config.lossy else pace.patience)
        retries = int(config.lossy) if config.retries is None else config.retries
        return AskingPace(min(own, pace.patience), pace.whole, retries)

    def named(self, config: D) -> str:
        return "the PLC"

    @classmethod
    def write_words(cls, tag: T, config: D, wire: bytes) -> LineRequest:
        """The request that writes these words, high byte first, at the tag's address."""
        raise NotImplementedError

    @classmethod
    def write_bits(cls, tag: T, config: D, bits: Sequence[int]) -> LineRequest:
        """The one that writes the bits of the tag's address, the lowest first, and no others. Raises ValueError, with the
        reason, where the protocol cannot."""
        raise NotImplementedError

    @classmethod
    def writing(cls, tag: T, config: D, value: WordValue) -> LineRequest:
        """The request that writes the value. Raises ValueError, with the reason, for what cannot be written."""
        at = tag.at()
        if at.bit is not None:
            bits = tag.masked(value)[1] >> at.bit
            return cls.write_bits(tag, config, [bits >> n & 1 for n in range(at.width)])
        wire = tag.wire(value, config.order)
        if len(wire) > 2 * cls.most_written:
            raise ValueError(f"{len(wire) // 2} words are more than one request can write, {cls.most_written}")
        return cls.write_words(tag, config, wire)

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        config = self.device(tag.device).config
        try:
            request = self.writing(tag.config, config, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        await self.ask(request, config, "; it may have been written")
