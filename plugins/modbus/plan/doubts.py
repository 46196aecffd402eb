"""What will not go well on a line, for `check`: whether its time suffices, and what its devices say differently."""

from collections.abc import Sequence

from gateway.kit.blocks import by_scan, seconds
from gateway.plugin import Device

from ..config import ModbusDevice
from ..line.times import total
from .reading import ModbusReading

_FULL = 0.8
"""Share of the line's time from which a single lost answer makes scans late."""


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
        (scan, reading.time_of(reading.blocks(reading.spans(tags))))
        for device in devices
        for reading in (ModbusReading(configs[device.name]),)
        for scan, tags in by_scan(device).items()
    ]
    share, longest = total(times), max(taken for _, taken in times)
    at = f"at {line.baud} baud"
    said = []
    if share > _FULL:
        scan = min(scan for scan, _ in times)
        word = "cannot keep its scans" if share > 1 else "has nothing to spare for a lost answer"
        said.append(
            f"{line.serial}: this line needs {seconds(share * scan)} for a {scan:g} s scan {at}, so it {word}; "
            f'scan = "{_slower(share, scan):g}s", a higher baud rate or fewer tags would help'
        )
    if longest > line.timeout:
        said.append(
            f'{line.serial}: a scan takes {seconds(longest)} {at}; write timeout = "{2 * longest:.0f}s" or more'
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
