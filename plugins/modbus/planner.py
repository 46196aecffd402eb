"""Which requests read a set of tags: neighbours share one, up to the device's limit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.plugin import Device, Tag

from .address import AREAS, Area, printed
from .codec import size_of
from .config import ModbusDevice, ModbusTag
from .frames import Request

_SHOWN = 20


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

    @property
    def area(self) -> Area:
        return self.spans[0].area

    @property
    def start(self) -> int:
        return self.spans[0].start

    @property
    def end(self) -> int:
        return max(span.end for span in self.spans)

    def __str__(self) -> str:
        return address_range(self.area, self.start, self.end)

    def request(self, unit: int) -> Request:
        return Request(unit, self.area, self.start, self.end - self.start)

    def halves(self) -> tuple["Block", "Block"]:
        """Two smaller blocks in place of one of several spans."""
        middle = len(self.spans) // 2
        return Block(self.spans[:middle]), Block(self.spans[middle:])


def spans_of(tags: Iterable[Tag]) -> list[Span]:
    """What has to be read for these Modbus tags, in the order of areas and addresses."""
    rows: dict[tuple[int, int, int], list[int]] = {}
    for row, tag in enumerate(tags):
        at = tag.config.at()
        rows.setdefault((AREAS.index(at.area), at.offset, at.offset + _width(tag.config)), []).append(row)
    return [Span(AREAS[area], start, end, tuple(rows[area, start, end])) for area, start, end in sorted(rows)]


def blocks_of(spans: Sequence[Span], device: ModbusDevice, max_gap: int | None = None) -> list[Block]:
    """The fewest requests for these spans, which come in order, within the device's limits and gap."""
    gap = device.max_gap if max_gap is None else max_gap
    blocks: list[Block] = []
    open_: list[Span] = []
    end = 0
    for span in spans:
        limit = device.max_bits if span.area.single_bits else device.max_registers
        joins = open_ and span.area is open_[0].area and span.start <= end + gap
        if not joins or max(end, span.end) - open_[0].start > limit:
            if open_:
                blocks.append(Block(tuple(open_)))
            open_, end = [], 0
        open_.append(span)
        end = max(end, span.end)
    return [*blocks, Block(tuple(open_))] if open_ else blocks


def address_range(area: Area, start: int, end: int) -> str:
    """Addresses as a manual prints them: "40001-40010"."""
    return printed(area, start) if end - start == 1 else f"{printed(area, start)}-{printed(area, end - 1)}"


def describe(device: Device) -> list[str]:
    """How the device's tags will be read, and what a larger max_gap would save."""
    options: ModbusDevice = device.config
    lines: list[str] = []
    for scan, tags in sorted(_scans(device).items()):
        spans = spans_of(tags)
        blocks = blocks_of(spans, options)
        lines.append(f"every {scan:g} s: {_count(len(blocks), 'request')} for {_count(len(tags), 'tag')}")
        lines += [f"  {_line(block)}" for block in blocks[:_SHOWN]]
        if len(blocks) > _SHOWN:
            lines.append(f"  and {len(blocks) - _SHOWN} more")
        lines += [f"  {saving}" for saving in _savings(spans, options, len(blocks))]
    return lines


def _width(tag: ModbusTag) -> int:
    return 1 if tag.value_type() == "bool" else size_of(tag.value_type()) // 2


def _scans(device: Device) -> Mapping[float, list[Tag]]:
    scans: dict[float, list[Tag]] = {}
    for tag in device.tags:
        scans.setdefault(tag.config.scan or device.config.scan, []).append(tag)
    return scans


def _line(block: Block) -> str:
    unused = block.end - block.start - len({at for span in block.spans for at in range(span.start, span.end)})
    tags = sum(len(span.rows) for span in block.spans)
    what = _count(block.end - block.start, block.area.word)
    return f"{block}: {what}, {_count(tags, 'tag')}" + (f", {unused} of them unused" if unused else "")


def _savings(spans: Sequence[Span], device: ModbusDevice, now: int) -> list[str]:
    """The smallest max_gap that saves a request, and the smallest one that saves the most."""
    gaps = {right.start - left.end for left, right in pairwise(spans) if right.area is left.area}
    counts = {gap: len(blocks_of(spans, device, gap)) for gap in sorted(gaps) if gap > device.max_gap}
    better = {gap: count for gap, count in counts.items() if count < now}
    if not better:
        return []
    best = min(better, key=lambda gap: (better[gap], gap))
    return [f"max_gap = {gap} would make it {_count(better[gap], 'request')}" for gap in sorted({min(better), best})]


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
