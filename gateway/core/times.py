"""Points in time as text: RFC 3339, with every nanosecond."""

import re
from datetime import UTC, datetime
from functools import lru_cache

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d\d:\d\d)?", re.IGNORECASE
)


def rfc3339(t_ns: int) -> str:
    """Nanoseconds since 1970 UTC, such as "2026-11-22T02:33:00.123456789Z"."""
    seconds, ns = divmod(t_ns, 1_000_000_000)
    return f"{_second(seconds)}.{ns:09}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time(text: str) -> int:
    """The inverse; date, minute or second are enough, and without an offset it is local time. Raises ValueError."""
    match = _TIME.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError(text)
        date, minute, second, fraction, offset = match.groups()
        zone = (offset or "").upper().replace("Z", "+00:00")
        moment = datetime.fromisoformat(f"{date}T{minute or '00:00'}:{second or '00'}{zone}")
    except ValueError:
        raise ValueError(
            f'write a time such as 2026-11-22, "2026-11-22 02:33" or 2026-11-22T02:33:00Z, not {text!r}'
        ) from None
    return round(moment.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
