"""Spans of addresses, and which blocks read them in the least time on the line."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from gateway.plugin import Device, Tag


class Area(Hashable, Protocol):
    """One of the address spaces of a device, such as its holding registers or a data block."""

    @property
    def rank(self) -> int:
        """Areas are read in this order."""
        ...

    @property
    def word(self) -> str:
        """What one address is, for people: "holding register"."""
        ...

    def size(self, count: int) -> int:
        """Bytes of data in the answer to a read of so many addresses."""
        ...

    def printed(self, offset: int) -> str:
        """An address as the protocol's manuals write it."""
        ...


@dataclass(frozen=True, slots=True)
class AddressSpan:
    """Addresses that belong together: those of one value, or of several tags with the same ones."""

    area: Area
    start: int
    end: int
    """One past the last."""

    rows: tuple[int, ...]
    """Which tags, as positions in the scan's tags."""


@dataclass(frozen=True, slots=True)
class AddressBlock:
    """Spans that one request reads."""

    spans: tuple[AddressSpan, ...]
    end: int = field(init=False, compare=False)
    """One past the last address."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "end", max(span.end for span in self.spans))

    @property
    def area(self) -> Area:
        return self.spans[0].area

    @property
    def start(self) -> int:
        return self.spans[0].start

    @property
    def size(self) -> int:
        """Bytes of data in the answer."""
        return self.area.size(self.end - self.start)

    def __str__(self) -> str:
        return address_range(self.area, self.start, self.end)

    def halves(self) -> tuple["AddressBlock", "AddressBlock"]:
        """Two smaller blocks in place of one of several spans."""
        middle = len(self.spans) // 2
        return AddressBlock(self.spans[:middle]), AddressBlock(self.spans[middle:])


def spans_of(configs: Sequence[Any], where: Callable[[Any], tuple[Area, int, int]]) -> tuple[AddressSpan, ...]:
    """What has to be read for tags with these options, in the order of areas and addresses. `where` tells of each its area,
    first address and one past the last. Devices whose tags share their options share the answer."""
    key = (where, *map(id, configs))
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = configs, _spans(configs, where)
    return _known[key][1]


_MOST_KNOWN = 64
_known: dict[tuple[object, ...], tuple[Sequence[Any], tuple[AddressSpan, ...]]] = {}
"""By the identities of tags' options, which are kept here so that they stay theirs."""


def _spans(configs: Sequence[Any], where: Callable[[Any], tuple[Area, int, int]]) -> tuple[AddressSpan, ...]:
    rows: dict[tuple[Area, int, int], list[int]] = {}
    for row, config in enumerate(configs):
        rows.setdefault(where(config), []).append(row)
    places = sorted(rows, key=lambda place: (place[0].rank, *place[1:]))
    return tuple(AddressSpan(*place, tuple(rows[place])) for place in places)


def cheapest(
    spans: Sequence[AddressSpan], most: Callable[[Area], int], max_gap: int, time: Callable[[int], float]
) -> list[AddressBlock]:
    """The blocks for these spans, which come in order, that take the least time: each of at most `most` addresses, unless
    a single span has more, and reading over at most `max_gap` unused ones. `time` is what a request takes whose answer
    holds so many bytes, in seconds."""
    blocks: list[AddressBlock] = []
    for area, group in groupby(spans, key=lambda span: span.area):
        limit = most(area)
        pieces = list(_pieces(list(group), limit))
        few, quick = _greedy(pieces, limit, max_gap), _least(pieces, limit, max_gap, time)
        blocks += few if _cost(few, time) <= _cost(quick, time) else quick
    return blocks


def _cost(blocks: Sequence[AddressBlock], time: Callable[[int], float]) -> tuple[float, int]:
    return sum(time(block.size) for block in blocks), len(blocks)


def address_range(area: Area, start: int, end: int) -> str:
    """Addresses as a manual prints them: "40001-40010"."""
    return area.printed(start) if end - start == 1 else f"{area.printed(start)}-{area.printed(end - 1)}"


def by_scan(device: Device) -> Mapping[float, list[Tag]]:
    """Period in seconds → the tags that are read together, the shortest first."""
    scans: dict[float, list[Tag]] = {}
    for tag in device.tags:
        scans.setdefault(tag.config.scan or device.config.scan, []).append(tag)
    return dict(sorted(scans.items()))


def _pieces(spans: Sequence[AddressSpan], limit: int) -> Iterator[AddressBlock]:
    """Spans without a gap between them, as far as one request holds them."""
    open_: list[AddressSpan] = []
    end = 0
    for span in spans:
        if open_ and (span.start > end or max(end, span.end) - open_[0].start > limit):
            yield AddressBlock(tuple(open_))
            open_, end = [], 0
        open_.append(span)
        end = max(end, span.end)
    if open_:
        yield AddressBlock(tuple(open_))


def _greedy(pieces: Sequence[AddressBlock], limit: int, gap: int) -> list[AddressBlock]:
    """The fewest requests: each as long as may be."""
    groups: list[list[AddressBlock]] = []
    start = end = 0
    for piece in pieces:
        if groups and piece.start - end <= gap and max(end, piece.end) - start <= limit:
            groups[-1].append(piece)
            end = max(end, piece.end)
        else:
            groups.append([piece])
            start, end = piece.start, piece.end
    return [_joined(group) for group in groups]


def _least(pieces: Sequence[AddressBlock], limit: int, gap: int, time: Callable[[int], float]) -> list[AddressBlock]:
    """The division that takes the least time: the best one of the first n pieces, for each n in turn."""
    extents = [(piece.start, piece.end) for piece in pieces]
    size = pieces[0].area.size
    best: list[tuple[float, int]] = [(0.0, 0)]
    for last, (_, end) in enumerate(extents):
        choices = []
        for first in range(last, -1, -1):
            start = extents[first][0]
            if first < last:
                if extents[first + 1][0] - extents[first][1] > gap:
                    break
                end = max(end, extents[first][1])
                if end - start > limit:
                    break
            choices.append((best[first][0] + time(size(end - start)), first))
        best.append(min(choices))
    return _divided(pieces, [first for _, first in best[1:]])


def _divided(pieces: Sequence[AddressBlock], begins: Sequence[int]) -> list[AddressBlock]:
    """Blocks, given for each piece where the block that ends with it begins."""
    blocks = []
    last = len(pieces)
    while last:
        first = begins[last - 1]
        blocks.append(_joined(pieces[first:last]))
        last = first
    return blocks[::-1]


def _joined(pieces: Sequence[AddressBlock]) -> AddressBlock:
    return pieces[0] if len(pieces) == 1 else AddressBlock(tuple(span for piece in pieces for span in piece.spans))
