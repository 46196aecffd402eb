"""Which requests read a set of tags, in the least time on the line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from gateway.kit.registers import registers_of
from gateway.plugin import Device, Tag

from ..address import AREAS, Area, printed
from ..config import ModbusDevice, ModbusTag
from ..line.times import request_time, worth_reading_over
from ..requests import payload


@dataclass(frozen=True, slots=True)
class Span:
    """Registers or bits that belong together: those of one value, or of several tags with the same ones."""

    area: Area
    start: int
    end: int
    """One past the last."""

    rows: tuple[int, ...]
    """Which tags, as positions in the scan's tags."""


@dataclass(frozen=True, slots=True)
class Block:
    """Spans that one request reads."""

    spans: tuple[Span, ...]
    end: int = field(init=False, compare=False)
    """One past the last register or bit."""

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
        return payload(self.area.single_bits, self.end - self.start)

    def __str__(self) -> str:
        return address_range(self.area, self.start, self.end)

    def halves(self) -> tuple["Block", "Block"]:
        """Two smaller blocks in place of one of several spans."""
        middle = len(self.spans) // 2
        return Block(self.spans[:middle]), Block(self.spans[middle:])


def spans_of(tags: Iterable[Tag]) -> tuple[Span, ...]:
    """What has to be read for these Modbus tags, in the order of areas and addresses. Devices whose tags share their options
    share the answer."""
    configs = [tag.config for tag in tags]
    key = tuple(map(id, configs))
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = configs, _spans(configs)
    return _known[key][1]


_MOST_KNOWN = 64
_known: dict[tuple[int, ...], tuple[list[ModbusTag], tuple[Span, ...]]] = {}
"""By the identities of tags' options, which are kept here so that they stay theirs."""


def _spans(configs: Sequence[ModbusTag]) -> tuple[Span, ...]:
    rows: dict[tuple[int, int, int], list[int]] = {}
    for row, config in enumerate(configs):
        at = config.at()
        rows.setdefault((AREAS.index(at.area), at.offset, at.offset + _width(config)), []).append(row)
    return tuple(Span(AREAS[area], start, end, tuple(rows[area, start, end])) for area, start, end in sorted(rows))


def blocks_of(spans: Sequence[Span], device: ModbusDevice, max_gap: int | None = None) -> list[Block]:
    """The requests for these spans, which come in order, that take the least time within the device's limits."""
    if device.request_per_tag:
        return [Block((Span(span.area, span.start, span.end, (row,)),)) for span in spans for row in span.rows]
    gap = allowed_gap(device) if max_gap is None else max_gap
    blocks: list[Block] = []
    for area, group in groupby(spans, key=lambda span: span.area):
        limit = device.max_bits if area.single_bits else device.max_registers
        pieces = list(_pieces(list(group), limit))
        plans = (_greedy(pieces, limit, gap), _cheapest(pieces, limit, gap, device))
        blocks += min(plans, key=partial(_cost, device=device))
    return blocks


def time_of(blocks: Sequence[Block], device: ModbusDevice) -> float:
    """Seconds on the line."""
    return sum(request_time(device, block.size) for block in blocks)


def _cost(blocks: Sequence[Block], device: ModbusDevice) -> tuple[float, int]:
    return time_of(blocks, device), len(blocks)


def allowed_gap(device: ModbusDevice) -> int:
    """Unused addresses that are read over."""
    return worth_reading_over(device) if device.max_gap is None else device.max_gap


def address_range(area: Area, start: int, end: int) -> str:
    """Addresses as a manual prints them: "40001-40010"."""
    return printed(area, start) if end - start == 1 else f"{printed(area, start)}-{printed(area, end - 1)}"


def by_scan(device: Device) -> Mapping[float, list[Tag]]:
    """Period in seconds → the tags that are read together, the shortest first."""
    scans: dict[float, list[Tag]] = {}
    for tag in device.tags:
        scans.setdefault(tag.config.scan or device.config.scan, []).append(tag)
    return dict(sorted(scans.items()))


def _pieces(spans: Sequence[Span], limit: int) -> Iterator[Block]:
    """Spans without a gap between them, as far as one request holds them."""
    open_: list[Span] = []
    end = 0
    for span in spans:
        if open_ and (span.start > end or max(end, span.end) - open_[0].start > limit):
            yield Block(tuple(open_))
            open_, end = [], 0
        open_.append(span)
        end = max(end, span.end)
    if open_:
        yield Block(tuple(open_))


def _greedy(pieces: Sequence[Block], limit: int, gap: int) -> list[Block]:
    """The fewest requests: each as long as may be."""
    groups: list[list[Block]] = []
    start = end = 0
    for piece in pieces:
        if groups and piece.start - end <= gap and max(end, piece.end) - start <= limit:
            groups[-1].append(piece)
            end = max(end, piece.end)
        else:
            groups.append([piece])
            start, end = piece.start, piece.end
    return [_joined(group) for group in groups]


def _cheapest(pieces: Sequence[Block], limit: int, gap: int, device: ModbusDevice) -> list[Block]:
    """The division that takes the least time: the best one of the first n pieces, for each n in turn."""
    extents = [(piece.start, piece.end) for piece in pieces]
    single_bits = pieces[0].area.single_bits
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
            choices.append((best[first][0] + request_time(device, payload(single_bits, end - start)), first))
        best.append(min(choices))
    return _divided(pieces, [first for _, first in best[1:]])


def _divided(pieces: Sequence[Block], begins: Sequence[int]) -> list[Block]:
    """Blocks, given for each piece where the block that ends with it begins."""
    blocks = []
    last = len(pieces)
    while last:
        first = begins[last - 1]
        blocks.append(_joined(pieces[first:last]))
        last = first
    return blocks[::-1]


def _joined(pieces: Sequence[Block]) -> Block:
    return pieces[0] if len(pieces) == 1 else Block(tuple(span for piece in pieces for span in piece.spans))


def _width(tag: ModbusTag) -> int:
    at = tag.at()
    if at.area.single_bits or at.bit is not None:
        return 1
    return registers_of(tag.type or "", tag.length, tag.order or "")
