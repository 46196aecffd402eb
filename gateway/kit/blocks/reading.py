"""What a protocol says of itself, so that its devices are read in blocks."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from gateway.kit.blocks.areas import AddressBlock, AddressSpan, Area, cheapest, spans_of
from gateway.kit.blocks.decoder import ValuePlace
from gateway.kit.line.answers import LineRequest, RefusalCodes
from gateway.plugin import DeviceConfig, Tag, TagConfig

D = TypeVar("D", bound=DeviceConfig)
T = TypeVar("T", bound=TagConfig)


class BlockReading(Generic[D, T]):
    """How one device is read. A subclass for each protocol, an object for each device."""

    refusals: ClassVar[RefusalCodes]
    """What the codes mean by which a device refuses."""

    max_gap = 16
    """Unused addresses that are read over to save a request, at most."""

    apart = False
    """Whether every tag is read by a request of its own."""

    slow = False
    """Whether bytes take time on the line, as on a serial one; then `check` tells the time of each scan."""

    limit = 0
    """What this connection allows, such as the bytes of a frame that the device has granted; when it is another than before,
    the blocks are made anew."""

    def __init__(self, options: D) -> None:
        self.options = options

    @staticmethod
    def span(tag: Any) -> tuple[Area, int, int]:
        """Where a tag's value stands, from its options alone: area, first address, one past the last."""
        raise NotImplementedError

    def place(self, row: int, tag: T, byte: int, offset: int) -> ValuePlace:
        """What its value is, and where it stands in the data of a block that begin at `byte`; its span begins `offset`
        addresses behind the block's."""
        raise NotImplementedError

    def most(self, area: Area) -> int:
        """Addresses that one request may read there. Where the protocol bounds bytes, as many as they hold."""
        raise NotImplementedError

    def request(self, area: Area, start: int, count: int) -> LineRequest:
        """The request for so many addresses."""
        raise NotImplementedError

    def joined(self, requests: Sequence[LineRequest]) -> LineRequest | None:
        """One request for what these ask, which follow each other, where the protocol can read several places at once; None
        when it would be too long. Its right answer has their data one behind the other; one in which some places are refused
        is a tuple with an answer for each."""
        return None

    def time(self, size: int) -> float:
        """Seconds that a request takes whose answer holds so many bytes of data. Blocks are made such that the sum is least;
        by default, that there are few."""
        return 0.002 + 1e-7 * size

    def spans(self, tags: Iterable[Tag]) -> tuple[AddressSpan, ...]:
        """What has to be read for these tags."""
        return spans_of([tag.config for tag in tags], self.span)

    def blocks(self, spans: Sequence[AddressSpan], max_gap: int | None = None) -> list[AddressBlock]:
        """The requests for these spans, which come in order."""
        if self.apart:
            return [
                AddressBlock((AddressSpan(each.area, each.start, each.end, (row,)),))
                for each in spans
                for row in each.rows
            ]
        return cheapest(spans, self.most, self.max_gap if max_gap is None else max_gap, self.time)

    def sent(self, requests: Sequence[LineRequest]) -> list[tuple[LineRequest, int]]:
        """What goes over the line for these requests: each time as many of them as go into one, and how many they are."""
        sent: list[tuple[LineRequest, int]] = []
        first = 0
        while first < len(requests):
            whole, end = requests[first], first + 1
            while end < len(requests) and (longer := self.joined(requests[first : end + 1])) is not None:
                whole, end = longer, end + 1
            sent.append((whole, end - first))
            first = end
        return sent

    def time_of(self, blocks: Iterable[AddressBlock]) -> float:
        """Seconds on the line."""
        return sum(self.time(block.size) for block in blocks)
