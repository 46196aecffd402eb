"""What `check` tells of a device and of a line: the requests, their time on the line, and whether it suffices."""

from collections.abc import Sequence
from itertools import pairwise

from gateway.plugin import Device

from ..config import ModbusDevice
from ..line.times import total
from .planner import Block, Span, allowed_gap, blocks_of, by_scan, spans_of, time_of

_SHOWN = 20
_FULL = 0.8
"""Share of the line's time from which a single lost answer makes scans late."""


def describe(device: Device) -> list[str]:
    """How the device's tags will be read, and what a larger max_gap would save."""
    options: ModbusDevice = device.config
    lines: list[str] = []
    for scan, tags in by_scan(device).items():
        spans = spans_of(tags)
        blocks = blocks_of(spans, options)
        taken = f", {_seconds(time_of(blocks, options))} on the line" if options.serial else ""
        lines.append(f"every {scan:g} s: {_count(len(blocks), 'request')} for {_count(len(tags), 'tag')}{taken}")
        lines += [f"  {_line(block)}" for block in blocks[:_SHOWN]]
        if len(blocks) > _SHOWN:
            lines.append(f"  and {len(blocks) - _SHOWN} more")
        if not options.request_per_tag:
            lines += [f"  {saving}" for saving in _savings(spans, options, len(blocks))]
    return lines


def doubts(devices: Sequence[Device]) -> list[str]:
    """What will not go well on the line of these devices."""
    first: ModbusDevice = devices[0].config
    return [*_disagreements(devices), *(_budget(devices, first) if first.serial else [])]


_LINE = ("transport", "serial", "baud", "parity", "data_bits", "stop_bits", "rs485")
"""Options of a line, which the first device on it says for all."""


def _budget(devices: Sequence[Device], line: ModbusDevice) -> list[str]:
    settings = {name: getattr(line, name) for name in _LINE}
    configs = {device.name: device.config.model_copy(update=settings) for device in devices}
    times = [
        (scan, time_of(blocks_of(spans_of(tags), configs[device.name]), configs[device.name]))
        for device in devices
        for scan, tags in by_scan(device).items()
    ]
    share, longest = total(times), max(taken for _, taken in times)
    at = f"at {line.baud} baud"
    said = []
    if share > _FULL:
        scan = min(scan for scan, _ in times)
        word = "cannot keep its scans" if share > 1 else "has nothing to spare for a lost answer"
        said.append(
            f"{line.serial}: this line needs {_seconds(share * scan)} for a {scan:g} s scan {at}, so it {word}; "
            f'scan = "{_slower(share, scan):g}s", a higher baud rate or fewer tags would help'
        )
    if longest > line.timeout:
        said.append(
            f'{line.serial}: a scan takes {_seconds(longest)} {at}; write timeout = "{2 * longest:.0f}s" or more'
        )
    return said


def _disagreements(devices: Sequence[Device]) -> list[str]:
    """Options of the line in which a device differs from the first, whose word counts."""
    first = devices[0]
    said = []
    for device in devices[1:]:
        for name in (*_LINE, "tls", "timeout", "max_in_flight"):
            own, counts = getattr(device.config, name), getattr(first.config, name)
            if own != counts:
                said.append(
                    f"{device.name}: its {name} does not count: {first.name}, the first on this line, has {counts!r}"
                )
        if device.config.any_unit or (first.config.any_unit and device is devices[1]):
            said.append(f"{device.name}: any_unit is not safe on a line of several devices; leave it out")
    return said


def _slower(share: float, scan: float) -> float:
    """A scan at which the line has time to spare, in tenths of a second."""
    return -(-share * scan / _FULL * 10 // 1) / 10


def _line(block: Block) -> str:
    unused = block.end - block.start - len({at for span in block.spans for at in range(span.start, span.end)})
    tags = sum(len(span.rows) for span in block.spans)
    what = _count(block.end - block.start, block.area.word)
    return f"{block}: {what}, {_count(tags, 'tag')}" + (f", {unused} of them unused" if unused else "")


def _savings(spans: Sequence[Span], device: ModbusDevice, now: int) -> list[str]:
    """The smallest max_gap that saves a request, and the smallest one that saves the most; for networks, where a request
    costs more than what it reads."""
    if device.serial:
        return []
    gaps = {right.start - left.end for left, right in pairwise(spans) if right.area is left.area}
    counts = {gap: len(blocks_of(spans, device, gap)) for gap in sorted(gaps) if gap > allowed_gap(device)}
    better = {gap: count for gap, count in counts.items() if count < now}
    if not better:
        return []
    best = min(better, key=lambda gap: (better[gap], gap))
    return [f"max_gap = {gap} would make it {_count(better[gap], 'request')}" for gap in sorted({min(better), best})]


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _seconds(time: float) -> str:
    return f"{time:.3g} s" if time >= 1 else f"{time * 1000:.0f} ms"
