"""From what a driver returned to readings."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import PluginError
from gateway.core.quality import BAD, GOOD
from gateway.core.readings import Exact, Readings
from gateway.core.tag import Device, Tags
from gateway.plugin import checked
from gateway.plugin.driver import Values

_EXACT_INT = 2**53
"""Integers up to here are exact in a float64."""

_FLOAT64 = np.dtype(np.float64)


def as_readings(device: Device, tags: Tags, values: Values, t_ns: int) -> Readings:
    """The readings of one poll, taken at `t_ns` unless the driver says otherwise.

    Raises PluginError if the driver returned another number of values than it was asked for, or of no known type. A text in
    which characters had to be replaced is uncertain; a value that is too large is bad.
    """
    if isinstance(values, Readings):
        return checked.readings(values, device, t_ns)
    ids = tags.ids
    count = len(ids)
    exact: dict[int, Exact] = {}
    if type(values) is np.ndarray and values.dtype is _FLOAT64 and values.shape == (count,):
        column = values.copy()  # the driver may use its array again
    else:
        column = _checked(values, count, exact)
    bad = np.isnan(column)
    quality = _all_good(count)
    if bad.tobytes() != bytes(count):  # many times faster than bad.any()
        quality = np.where(bad, np.uint32(BAD), np.uint32(GOOD))
        for row, value in list(exact.items()):
            taken, verdict = checked.exact_value(value)
            quality[row] = verdict or GOOD
            if taken is None:
                del exact[row]
            else:
                exact[row] = taken
    times = np.empty(count, np.int64)
    times.fill(t_ns)
    return Readings(device, times, ids, column, quality, exact, own_time=True)


@lru_cache(256)
def _all_good(count: int) -> NDArray[np.uint32]:
    quality = np.zeros(count, np.uint32)
    quality.flags.writeable = False
    return quality


def _checked(values: Any, count: int, exact: dict[int, Exact]) -> NDArray[np.float64]:
    """One float64 for each of so many tags; what none can hold goes to `exact`."""
    if not hasattr(values, "__len__"):
        raise PluginError(f"read returned a {type(values).__name__}, not one value for each tag")
    if len(values) != count:
        raise PluginError(f"read returned {len(values)} values for {count} tags")
    if not isinstance(values, np.ndarray):
        return _column(values, exact)
    if values.dtype != _FLOAT64:
        return _column(values.tolist(), exact)
    if values.ndim != 1:
        raise PluginError(f"read returned an array of {values.ndim} dimensions for {count} tags")
    return values.copy()


def _column(values: Sequence[Any], exact: dict[int, Exact]) -> NDArray[np.float64]:
    column = np.empty(len(values))
    for row, value in enumerate(values):
        if isinstance(value, float | bool) or (isinstance(value, int) and abs(value) <= _EXACT_INT):
            column[row] = value
        elif value is None:
            column[row] = math.nan
        elif isinstance(value, int | str | bytes | list | dict):
            column[row] = math.nan
            exact[row] = value
        else:
            try:
                column[row] = value
            except (TypeError, ValueError, OverflowError):
                raise PluginError(f"read returned a {type(value).__name__}, which is no value") from None
    return column
