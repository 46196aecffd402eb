"""Names that patterns describe."""

import fnmatch
from collections.abc import Sequence


def matching(patterns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The names that any of the patterns (`*`, `?`) describes, in their own order."""
    return tuple(name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))
