"""From what a driver returned to readings."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import PluginError
from gateway.core.quality import BAD, GOOD
from gateway.core.readings import NO_EXACT, Exact, Readings
from gateway.core.tag import Device, Tags
from gateway.plugin.driver import Values

_EXACT_INT = 2**53
"""Integers up to here are exact in a float64."""

_good: dict[int, NDArray[np.uint32]] = {}


def as_readings(device: Device, tags: Tags, values: Values, t_ns: int) -> Readings:
    """The readings of one poll, taken at `t_ns` unless the driver says otherwise.

    Raises PluginError if the driver returned another number of values than it was asked for, or of no known type.
    """
    if isinstance(values, Readings):
        return values
    ids = tags.ids
    count = len(ids)
    if len(values) != count:
        raise PluginError(f"read returned {len(values)} values for {count} tags")
    if isinstance(values, np.ndarray):
        column, exact = values, NO_EXACT
    else:
        column, exact = _column(values)
    bad = np.isnan(column)
    quality = _all_good(count)
    if bad.tobytes() != bytes(count):  # many times faster than bad.any()
        quality = np.where(bad, np.uint32(BAD), np.uint32(GOOD))
        for row in exact:
            quality[row] = GOOD
    times = np.empty(count, np.int64)
    times.fill(t_ns)
    return Readings(device, times, ids, column, quality, exact, own_time=True)


def _all_good(count: int) -> NDArray[np.uint32]:
    quality = _good.get(count)
    if quality is None:
        quality = _good[count] = np.zeros(count, np.uint32)
        quality.flags.writeable = False
    return quality


def _column(values: Sequence[Any]) -> tuple[NDArray[np.float64], dict[int, Exact]]:
    column = np.empty(len(values))
    exact: dict[int, Exact] = {}
    for row, value in enumerate(values):
        if isinstance(value, float | bool) or (isinstance(value, int) and abs(value) <= _EXACT_INT):
            column[row] = value
        elif value is None:
            column[row] = math.nan
        elif isinstance(value, int | str | bytes | list):
            column[row] = math.nan
            exact[row] = value
        else:
            try:
                column[row] = value
            except (TypeError, ValueError):
                raise PluginError(f"read returned a {type(value).__name__}, which is no value") from None
    return column, exact
