"""How long a request takes on the line, as far as that follows from the options."""

from collections.abc import Sequence

from ..config import ModbusDevice

_RTU_FRAME = 4
"""Bytes of an RTU frame that are no data: unit, function, CRC; an answer has a byte count too."""

_TURNAROUND = 0.005
"""Seconds a serial device takes to begin its answer. Unknown before it is asked; many take 2 to 20 ms."""

_ROUND_TRIP = 0.002
"""Seconds from a request to its answer in a plant's network."""

_FAST = 19200
"""From this baud rate on the silence between frames is fixed (Modbus over Serial Line V1.02, §2.5.1.1)."""


def byte_time(config: ModbusDevice) -> float:
    """Seconds a byte of a frame takes on a serial line; 0 for other lines."""
    if not config.serial:
        return 0.0
    bits = 1 + config.data_bits + (config.parity != "none") + config.stop_bits
    return bits / config.baud * (2 if config.transport == "ascii" else 1)


def silence(config: ModbusDevice) -> float:
    """Seconds between two frames: 3.5 characters, or 1.75 ms on fast lines, for RTU on a serial line."""
    if not config.serial or config.transport == "ascii":
        return 0.0
    return 3.5 * byte_time(config) if config.baud < _FAST else 0.00175


def request_time(config: ModbusDevice, size: int) -> float:
    """Seconds for a read whose answer holds `size` bytes of data, with the silence behind it."""
    if not config.serial:
        return _ROUND_TRIP + config.pause
    sent = _RTU_FRAME + 4 + _RTU_FRAME + 1 + size
    return sent * byte_time(config) + _TURNAROUND + silence(config) + max(silence(config), config.pause)


def worth_reading_over(config: ModbusDevice) -> int:
    """Unused registers that take no longer to read than another request would."""
    if not config.serial:
        return _GAP
    return min(_GAP, int(request_time(config, 0) / (2 * byte_time(config))))


_GAP = 16
"""Registers to read over at most when nothing is said: few devices have holes, and those that refuse them are learned."""


def total(times: Sequence[tuple[float, float]]) -> float:
    """Share of the line's time that scans of (period, time on the line) take; above 1 they cannot all be in time."""
    return sum(taken / period for period, taken in times)
