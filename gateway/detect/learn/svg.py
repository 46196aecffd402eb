"""Plots of a series over time as SVG, for pages without scripts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 860, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 8, 20
_COLUMNS = 400
"""A longer series is drawn as the least and largest value of so many parts."""


def series(
    t_ns: NDArray[np.int64],
    value: NDArray[np.float64],
    lines: Sequence[tuple[float, str, str]],
    span: tuple[float, float],
) -> str:
    """A curve with horizontal lines (value, text, CSS class); `span`: the values at the bottom and top of the plot. Gaps of
    the series are bridged by nothing: parts without a value are left out."""
    low, high = span if span[1] > span[0] else (span[0] - 1, span[0] + 1)
    begin, end = int(t_ns[0]), max(int(t_ns[-1]), int(t_ns[0]) + 1)
    part = (t_ns - begin) * (_COLUMNS - 1) // (end - begin)
    marks = [_rule(_y(at, low, high), text, kind) for at, text, kind in lines]
    columns = [_column(int(place), value[part == place], low, high) for place in np.unique(part)]
    scale = f'<text x="{_LEFT - 4}" y="{_TOP + 8}" class="axis end">{high:.4g}</text>'
    scale += f'<text x="{_LEFT - 4}" y="{HEIGHT - _BOTTOM}" class="axis end">{low:.4g}</text>'
    scale += f'<text x="{_LEFT}" y="{HEIGHT - 4}" class="axis">{_moment(begin)}</text>'
    scale += f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}" class="axis end">{_moment(end)}</text>'
    path = f'<path class="curve" d="{"".join(columns)}"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(marks)}{path}{scale}</svg>'


def _column(place: int, values: NDArray[np.float64], low: float, high: float) -> str:
    x = _LEFT + place * (WIDTH - _LEFT - _RIGHT) / (_COLUMNS - 1)
    top, bottom = _y(float(values.max()), low, high), _y(float(values.min()), low, high)
    return f"M{x:.1f} {top:.1f}V{max(bottom, top + 1.5):.1f}"


def _rule(y: float, text: str, kind: str) -> str:
    line = f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="{kind}"/>'
    return line + f'<text x="{WIDTH - _RIGHT}" y="{y - 3:.1f}" class="{kind} end">{escape(text)}</text>'


def _y(value: float, low: float, high: float) -> float:
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return _TOP + (1 - share) * (HEIGHT - _TOP - _BOTTOM)


def _moment(t_ns: int) -> str:
    return f"{datetime.fromtimestamp(t_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"
