"""Whether a value is of the kind that its tag is known to be of: a server may change a variable's type at any time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.plugin import Tag, quality

from .blocks import Block

BAD_TYPE_MISMATCH = 0x8074_0000
SEMANTICS = 0x4000
"""Info bit of a status code: what the variable means, such as its unit, has changed (OPC 10000-4 §7.39)."""
TEXTS = ("string", "bytes")
"""Types of tags whose values are no numbers."""


class Kinds:
    """What each of some tags is known to be: a number, a text, or anything where nobody has told."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._types = [tag.type for tag in tags]
        self._texts = np.array([type_ in TEXTS for type_ in self._types], np.bool_)
        self._any_texts = bool(self._texts.any())

    def judge(self, block: Block, rows: NDArray[np.intp] | None = None) -> list[int]:
        """Spoil the good values of another kind. `rows` says whose value each is; by default they come in order. Returns the
        rows whose description is not what it was."""
        changed = [at for at in block.exact if self._is_no_number(block, at, int(at if rows is None else rows[at]))]
        if self._any_texts:
            texts = self._texts if rows is None else self._texts[rows]
            numbers = texts & ~np.isnan(block.value) & (block.quality < quality.BAD)
            changed += np.flatnonzero(numbers).tolist()
        for at in changed:
            type_ = self._types[at if rows is None else int(rows[at])]
            block.spoil(at, BAD_TYPE_MISMATCH, f"its value is of another kind than {type_}, as the server said before")
        if block.quality.any():
            changed += np.flatnonzero(block.quality & SEMANTICS).tolist()
        return [at if rows is None else int(rows[at]) for at in changed]

    def _is_no_number(self, block: Block, at: int, row: int) -> bool:
        type_ = self._types[row]
        known = bool(type_) and type_ not in TEXTS
        return known and not isinstance(block.exact[at], int) and bool(block.quality[at] < quality.BAD)
