"""Readings of values that came one by one."""

import math
import time
from collections.abc import Mapping

import numpy as np

from gateway.core.quality import BAD, GOOD
from gateway.plugin import Device, Exact, Readings, Tag

Told = Exact | float | bool | None
"""A tag's value; None, or NaN, for a bad one."""


def readings_of(device: Device, values: Mapping[Tag, Told | tuple[Told, int]], t_ns: int | None = None) -> Readings:
    """One reading for each of these tags of a device: a value, or a value and its quality (`gateway.plugin.quality`). `t_ns`
    is the device's own time of them, in nanoseconds since 1970; without one it is now."""
    pairs = [told if isinstance(told, tuple) else (told, BAD if _is_none(told) else GOOD) for told in values.values()]
    column = np.full(len(pairs), np.nan)
    exact: dict[int, Exact] = {}
    for row, (value, _) in enumerate(pairs):
        if isinstance(value, float) or (isinstance(value, int) and abs(value) <= 1 << 53):
            column[row] = value
        elif value is not None:
            exact[row] = value
    return Readings(
        device,
        np.full(len(pairs), time.time_ns() if t_ns is None else t_ns),
        np.array([tag.id for tag in values], np.uint32),
        column,
        np.array([quality for _, quality in pairs], np.uint32),
        exact,
        own_time=t_ns is None,
    )


def _is_none(told: Told) -> bool:
    return told is None or (isinstance(told, float) and math.isnan(told))
