"""What `check` tells of a device: the requests, their time on the line, and what would save some."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from gateway.kit.blocks.areas import AddressBlock, AddressSpan, by_scan
from gateway.kit.blocks.reading import BlockReading
from gateway.plugin import Device

_SHOWN = 20


def describe(device: Device, reading: BlockReading[Any, Any]) -> list[str]:
    """How the device's tags will be read, and what a larger max_gap would save."""
    lines: list[str] = []
    for scan, tags in by_scan(device).items():
        spans = reading.spans(tags)
        blocks = reading.blocks(spans)
        taken = f", {seconds(reading.time_of(blocks))} on the line" if reading.slow else ""
        sent = len(reading.sent([reading.request(each.area, each.start, each.end - each.start) for each in blocks]))
        joined = f" of {counted(len(blocks), 'block')}" if sent < len(blocks) else ""
        lines.append(f"every {scan:g} s: {counted(sent, 'request')}{joined} for {counted(len(tags), 'tag')}{taken}")
        lines += [f"  {_line(block)}" for block in blocks[:_SHOWN]]
        if len(blocks) > _SHOWN:
            lines.append(f"  and {len(blocks) - _SHOWN} more")
        if not reading.apart:
            lines += [f"  {saving}" for saving in _savings(spans, reading, len(blocks))]
    return lines


def _line(block: AddressBlock) -> str:
    unused = block.end - block.start - len({at for span in block.spans for at in range(span.start, span.end)})
    tags = sum(len(span.rows) for span in block.spans)
    what = counted(block.end - block.start, block.area.word)
    return f"{block}: {what}, {counted(tags, 'tag')}" + (f", {unused} of them unused" if unused else "")


def _savings(spans: Sequence[AddressSpan], reading: BlockReading[Any, Any], now: int) -> list[str]:
    """The smallest max_gap that saves a request, and the smallest one that saves the most; for networks, where a request
    costs more than what it reads."""
    if reading.slow:
        return []
    gaps = {right.start - left.end for left, right in pairwise(spans) if right.area is left.area}
    counts = {gap: len(reading.blocks(spans, gap)) for gap in sorted(gaps) if gap > reading.max_gap}
    better = {gap: count for gap, count in counts.items() if count < now}
    if not better:
        return []
    best = min(better, key=lambda gap: (better[gap], gap))
    return [f"max_gap = {gap} would make it {counted(better[gap], 'request')}" for gap in sorted({min(better), best})]


def counted(number: int, word: str) -> str:
    """Such as "2 requests"."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def seconds(time: float) -> str:
    """A time for people, in s or ms."""
    return f"{time:.3g} s" if time >= 1 else f"{time * 1000:.0f} ms"
