"""Curves as SVG, drawn by the server: no script, no style within, and in words for who does not see them."""

from collections.abc import Iterator, Sequence

from ..html import Html, joined, tag
from ..screen import clock, moment, shown

WIDTH, HEIGHT = 600.0, 120.0
"""Of the drawing, in its own units; it is as wide as there is room."""
EDGE = 4.0
"""Free above and below the curve."""
DAY_MS = 86_400_000
Values = Sequence[float | None]


def curve(
    ts: Sequence[int],
    values: Values,
    *,
    label: str | Html,
    said: str,
    level: float | None = None,
    base: float | None = None,
    span: tuple[int, int] | None = None,
    marks: Sequence[tuple[int, str, str]] = (),
) -> Html:
    """One curve over time (ms since 1970), with a dashed line at `level`, and room down to `base`; `said` tells all of it in
    words. `span`: from when to when, if not that of the values; `marks`: events, as time, class and words."""
    there = [each for each in values if each is not None]
    if not there or not ts:
        return tag("figure", tag("figcaption", label))
    first, last = span or (ts[0], ts[-1])
    low, high = _limits([*there, *(each for each in (level, base) if each is not None)])
    drawn = tag("path", d=_path(ts, values, _Scale(first, last, low, high)), class_="curve", fill="none")
    lines = [tag("path", d=_line(level, low, high), class_="level", fill="none")] if level is not None else []
    picture = tag(
        "svg", *lines, *_marks(marks, first, last), drawn, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", preserveAspectRatio="none",
        role="img", aria_label=said,
    )  # fmt: skip
    said_at = clock if last - first < DAY_MS else moment
    ends = tag("p", said_at(first), tag("span", "…"), said_at(last), class_="axis")
    scale = tag("p", tag("span", shown(high)), tag("span", shown(low)), class_="scale", aria_hidden="true")
    return tag("figure", tag("figcaption", label), tag("div", scale, picture, class_="plot"), ends)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    return low, high


class _Scale:
    """From time and value to a place in the drawing."""

    def __init__(self, first: int, last: int, low: float, high: float) -> None:
        self._first, self._low = first, low
        self._x = WIDTH / max(1, last - first)
        self._y = (HEIGHT - 2 * EDGE) / ((high - low) or 1.0)

    def place(self, at: int, value: float) -> str:
        return f"{(at - self._first) * self._x:.1f} {HEIGHT - EDGE - (value - self._low) * self._y:.1f}"


def _path(ts: Sequence[int], values: Values, scale: _Scale) -> str:
    """Broken where there is no value; a value between two holes is a dot."""

    def parts() -> Iterator[str]:
        broken = True
        for at, value in zip(ts, values, strict=True):
            if value is None:
                broken = True
                continue
            place = scale.place(at, value)
            yield f"M{place}L{place}" if broken else f"L{place}"
            broken = False

    return "".join(parts())


def _line(level: float, low: float, high: float) -> str:
    y = _Scale(0, 1, low, high).place(0, level).split()[1]
    return f"M0 {y}L{WIDTH:g} {y}"


def _marks(marks: Sequence[tuple[int, str, str]], first: int, last: int) -> Iterator[Html]:
    scale = _Scale(first, last, 0.0, 1.0)
    for at, kind, said in marks:
        if first <= at <= last:
            x = scale.place(at, 0.0).split()[0]
            yield tag("path", tag("title", said), d=f"M{x} 0L{x} {HEIGHT:g}", class_=f"mark {kind}", fill="none")


def curves(drawn: Sequence[Html]) -> Html:
    """Several, below each other or side by side as there is room."""
    return tag("div", joined(drawn), class_="curves")
