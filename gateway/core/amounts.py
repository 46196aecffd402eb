"""Durations and sizes as people write and read them."""

import re

_DURATION = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_LARGEST = 2.0**60
"""Seconds and bytes; more is a slip of the finger, and what calculates with it must not overflow."""
_COMMA = re.compile(r"\s*(\d+),(\d+)\s*([A-Za-zµ]+)\s*")
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]+)\s*")


def parse_duration(text: str) -> float:
    """Seconds of a duration such as "500ms", "1 s", "2.5min", "7d". Raises ValueError with the way to write it."""
    return _parse(text, _DURATION, 'a duration such as "500ms", "1s", "5min", "2h" or "7d"')


def parse_size(text: str) -> int:
    """Bytes of a size such as "64 KiB" or "2 GB". Raises ValueError with the way to write it."""
    return round(_parse(text, _SIZE, 'a size such as "512 KiB", "64 MiB" or "2 GiB"'))


def _parse(text: str, units: dict[str, float] | dict[str, int], expected: str) -> float:
    match = _AMOUNT.fullmatch(text)
    unit = match and units.get(match[2])
    if (comma := _COMMA.fullmatch(text)) and comma[3] in units:
        raise ValueError(f'write a decimal point: "{comma[1]}.{comma[2]}{comma[3]}"')
    if not match or unit is None:
        raise ValueError(f"write {expected}, not {text!r}")
    amount = float(match[1]) * unit
    if amount > _LARGEST:
        raise ValueError(f"{match[1][:20]} {match[2]} is more than anything can have: write {expected}")
    return amount


def format_duration(seconds: float) -> str:
    """A duration for a person, with at most two units: "0.4 s", "3 min 20 s", "6 d 4 h"."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, below, below_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {name}" + (f" {rest} {below_name}" if rest else "")
    return f"{whole} s"


def format_size(size: float) -> str:
    """A size for a person: "512 B", "1.5 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
