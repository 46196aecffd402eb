"""HTML that cannot be forged: whatever is put into it is escaped, except what is HTML already."""

from collections.abc import Iterable
from html import escape

from gateway.plugin import encodable

LABELLED = ("rows", "sinks", "devices")
"""Kinds of tables whose cells carry the headings of their columns, for a phone; what a tag's cells are one sees."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *inside: object, **attributes: object) -> Html:
    """An element; `class_` and `for_` are "class" and "for", an underscore is "-", True an attribute without a value, None or
    False is none."""
    said = "".join(
        f" {key.strip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in ("input", "link", "meta"):
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{joined(inside)}</{name}>")


def joined(parts: Iterable[object]) -> Html:
    """One after the other."""
    return Html("".join(part if isinstance(part, Html) else text(part) for part in parts if part is not None))


def text(value: object) -> str:
    """Escaped; also what changes the direction of writing, or cannot be seen, stays within its element."""
    return escape(encodable(str(value)), quote=True)


def table(heads: Iterable[str], rows: Iterable[Iterable[object]], label: str, *, stacked: str = "") -> Html:
    """With a row of headings; each row's cells may be elements `td` of their own. `stacked`: the class of a
    table whose cells stand below each other on a phone."""
    heads = tuple(heads)
    said = heads if stacked in LABELLED else ("",) * len(heads)
    head = tag("tr", *(tag("th", each, scope="col") for each in heads))
    body = (tag("tr", *(_cell(cell, each) for cell, each in zip(row, said, strict=True))) for row in rows)
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", *body), aria_label=label),
        class_=f"wide stack {stacked}" if stacked else "wide", tabindex=0, role="region", aria_label=label,
    )  # fmt: skip


def _cell(cell: object, head: str) -> Html:
    """`head`: what it is of, where its column has no heading."""
    if not (isinstance(cell, Html) and cell.startswith(("<td", "<th"))):
        return tag("td", cell, data_label=head or None)
    return Html(f'<td data-label="{text(head)}"{cell[3:]}') if head and cell.startswith("<td") else cell
